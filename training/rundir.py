"""The run directory: everything that passes between the worker (Django) and a recipe (torch).

    config.json      in   method, its settings, and the paths it starts from
    data.jsonl       in   one row per line
    metrics.jsonl    out  {"step": 3, "objective/kl": 0.41, ...}: appended, one line per step
    samples.jsonl    out  one row per line, appended
    progress.json    out  {"done": 12, "total": 40, "unit": "updates"}
    state/           out  the newest resumable state of an unfinished run
    checkpoint/      out  the artefact (an adapter, a reward model)
    result.json      out  written last of all: its presence means success
    ended.json       out  {"reason": ...}: a process of the run ended by itself, not by a signal
    writer.json      in   {"submission": ...}: the one attempt that may write here, see `admit`
    log.txt          out  what the process printed (the executor opens it)

Only the standard library and modules that need no more: a recipe runs from a shell with nothing but this folder, and
the web process can read it without torch. Every whole file is replaced by rename, so a reader never sees half of one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from annotation.durable import make_folder, put_folder_in_place, put_in_place, sync_below
from annotation.plain_text import cleaned_text
from training.phrases import phrase
from training.run_files import read_again, read_json, read_tail

Row = dict[str, Any]
Messages = list[dict[str, str]]  # a conversation, as chat templates take it

# What a recipe does now, as the page of its round shows it.
LOADING = phrase("Loading the model")
BASELINE = phrase("Measuring the policy before training")
TRAINING = phrase("Training")
GENERATING = phrase("Generating responses")
EVALUATING = phrase("Evaluating")
LEARNING_CURVE = phrase("Computing the learning curve")
SAVING = phrase("Saving and checking")
PHASE = "phase: "  # begins a line in which the preparation of a model says what it does now
NO_SPACE = 74  # exit code of a recipe whose disk is full: its log may be cut off for the same reason
SUBMISSION = "PREFLOOP_SUBMISSION"  # environment of a recipe: for which attempt it was started
WORKER = "PREFLOOP_WORKER"  # environment of a recipe on the worker's own machine: `process_sign` of the worker


class TakenOver(Exception):
    """Another attempt writes into the run directory now: this process must not."""


def process_sign(pid: int) -> str:
    """Return `pid:ticks`, with the time at which that process began; without it where there is no such process."""
    try:
        state, *_, began = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:20]
    except OSError:  # it is gone, or this system has no /proc
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return ""
        except OSError:
            pass
        return f"{pid}:"
    return f"{pid}:{began}" if state not in "ZX" else ""  # a dead process stays until its parent has asked for it


def where_now(path: str, near: Path) -> str:
    """Return where a folder is that a file in `near` names by its whole path, or did before the home was moved.

    A folder that is not there any more is looked for by the end of its path under each folder above `near`:
    /old/models/base, named by a file in /new/runs/7/checkpoint, is /new/models/base.
    """
    named = Path(path)
    if not named.is_absolute() or named.exists():
        return path
    for above in near.resolve().parents:
        for length in range(len(named.parts) - 1, 1, -1):
            if (found := above.joinpath(*named.parts[-length:])).exists():
                return str(found)
    return path


class RunDir:
    """One run's directory. The worker fills it with `prepare`; a recipe opens it with `RunDir(path)`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config_path = self.path / "config.json"
        self.data_path = self.path / "data.jsonl"
        self.metrics_path = self.path / "metrics.jsonl"
        self.samples_path = self.path / "samples.jsonl"
        self.progress_path = self.path / "progress.json"
        self.phase_path = self.path / "phase.json"
        self.state_path = self.path / "state"
        self.checkpoint_path = self.path / "checkpoint"
        self.result_path = self.path / "result.json"
        self.ended_path = self.path / "ended.json"
        self.writer_path = self.path / "writer.json"
        self.log_path = self.path / "log.txt"
        self.submission = os.environ.get(SUBMISSION, "")
        self.listeners: list[Callable[[int, dict[str, float]], None]] = []  # called with each row of metrics

    # --- the worker's side -------------------------------------------------------------------------------------

    def prepare(self, *, config: Row, rows: Iterable[Row]) -> None:
        """Write config.json and data.jsonl, keeping whatever an earlier attempt of the same run left behind."""
        make_folder(self.path)
        temporary = self.data_path.with_suffix(".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        put_in_place(temporary, self.data_path)
        _write_json(self.config_path, config)

    def is_prepared(self) -> bool:
        return self.config_path.exists()

    def admit(self, submission: str) -> None:
        """Let the processes of this attempt write from now on, and no process of an earlier one.

        A host that was frozen, or cut off from the database, may wake up with its recipe still alive. Every write of a
        recipe looks here first, and each attempt has names of its own for what is not in its place yet.
        """
        _write_json(self.writer_path, {"submission": submission})
        for half in set(self.path.glob("*.tmp")) - set(self.path.glob(f"*.{submission}.tmp")):
            shutil.rmtree(half, ignore_errors=True) if half.is_dir() else half.unlink(missing_ok=True)

    def writer(self) -> str:
        """Return the attempt that may write here; empty where none was admitted by name."""
        return str((_read_json(self.writer_path) or {}).get("submission", ""))

    def metrics(self) -> Iterator[Row]:
        """Yield the metrics that were logged, whole lines only: the last one may be half-written."""
        return map(_storable, _read_lines(self.metrics_path))

    def metrics_since(self, offset: int) -> tuple[list[Row], int]:
        """Return whole lines from byte `offset` on, and where to go on.

        A resumed attempt drops its last rows and writes them again, with other times in them: where no line begins at
        `offset` any more, all is read anew.
        """
        try:
            start, whole = read_again(lambda: _whole_lines(self.metrics_path, offset))
        except FileNotFoundError:
            return [], 0
        if not whole:
            return [], start
        return [_storable(json.loads(line)) for line in whole.split(b"\n")], start + len(whole) + 1

    def samples(self) -> Iterator[Row]:
        """Yield the rows of samples.jsonl, without characters that a database refuses: models do write U+0000."""
        return map(_storable, _read_lines(self.samples_path))

    def progress(self) -> Row | None:
        return _read_json(self.progress_path)

    def phase(self) -> str:
        """Return what the recipe says that it does now; empty before it says anything."""
        found = _read_json(self.phase_path)
        return "" if found is None else str(found["phase"])

    def result(self) -> Row | None:
        return _read_json(self.result_path)

    def log_tail(self, characters: int = 4000) -> str:
        """Return the end of what the process printed."""
        return read_tail(self.log_path, characters)

    def note(self, text: str) -> None:
        """Append a line to the log, between two attempts."""
        with contextlib.suppress(OSError), self.log_path.open("a", encoding="utf-8") as log:
            log.write(f"{text}\n")

    # --- the recipe's side -------------------------------------------------------------------------------------

    def config(self) -> Row:
        config = _read_json(self.config_path)
        if config is None:
            raise FileNotFoundError(f"{self.config_path} is missing: the run was never prepared")
        inputs = config.get("inputs", {})
        for name, value in inputs.items():
            if isinstance(value, str):
                inputs[name] = where_now(value, self.path)
        return config

    def rows(self) -> Iterator[Row]:
        return _read_lines(self.data_path)

    def check_writer(self) -> None:
        """Raise TakenOver where this process belongs to an attempt that another one has followed."""
        if self.submission and (writer := self.writer()) not in ("", self.submission):
            raise TakenOver(f"attempt {writer} writes into {self.path} now, and this process is of {self.submission}")

    def beside(self, path: Path) -> Path:
        """Return where to write what will take the place of `path`: no other attempt writes there."""
        return path.with_name(f"{path.name}{f'.{self.submission}' if self.submission else ''}.tmp")

    def log_metrics(self, step: int, **values: float) -> None:
        """Append one line of metrics; names with slashes are passed as `log_metrics(step, **{"objective/kl": kl})`."""
        self.check_writer()
        _append(self.metrics_path, {"step": step, **values})
        for listener in self.listeners:
            listener(step, values)

    def log_sample(self, row: Row) -> None:
        self.check_writer()
        _append(self.samples_path, row)

    def report_progress(self, done: int, total: int, unit: str) -> None:
        self._write(self.progress_path, {"done": done, "total": total, "unit": unit}, durably=False)

    def report_phase(self, phase: str) -> None:
        """Say what the recipe does from now on, in a few words. Of several processes of a run the first one writes."""
        if os.environ.get("RANK", "0") == "0":
            self._write(self.phase_path, {"phase": phase}, durably=False)

    def save_state(self, write: Callable[[Path], None]) -> None:
        """Replace the resumable state by what `write(folder)` puts into a fresh folder.

        Rename cannot replace a folder that has files in it, so the old state steps aside first; `load_state` knows
        both names, and a crash at any point leaves one whole state to resume from.
        """
        fresh, old = self.beside(self.state_path), self.path / "state.old"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        write(fresh)
        sync_below(fresh)  # before the old one goes
        self.check_writer()
        shutil.rmtree(old, ignore_errors=True)
        if self.state_path.exists():
            self.state_path.rename(old)
        put_folder_in_place(fresh, self.state_path)
        shutil.rmtree(old, ignore_errors=True)

    def load_state(self) -> Path | None:
        """Return the newest whole state of an earlier attempt, or None for a fresh start."""
        for path in (self.state_path, self.path / "state.old"):
            if path.exists():
                return path
        return None

    def rewind(self, step: int) -> None:
        """Drop metrics and samples later than `step`: a resumed attempt writes them again, from the same state."""
        for path in (self.metrics_path, self.samples_path):
            if path.exists():
                kept = [row for row in _read_lines(path) if row.get("step", 0) <= step]
                temporary = self.beside(path)
                temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept), "utf-8")
                self.check_writer()
                put_in_place(temporary, path)

    def end(self, reason: str) -> None:
        """Record why a process of this run ended by itself: a launcher's exit code cannot tell.

        Where the disk is full, the log alone says it, and no half-written file stays behind.
        """
        try:
            self._write(self.ended_path, {"reason": reason})
        except OSError:
            with contextlib.suppress(OSError):
                self.beside(self.ended_path).unlink(missing_ok=True)

    def finish(self, result: Row) -> None:
        """Write result.json, last of all, and delete the state, which is no longer needed and can be large."""
        self._write(self.result_path, result)
        shutil.rmtree(self.state_path, ignore_errors=True)

    def _write(self, path: Path, value: Row, *, durably: bool = True) -> None:
        temporary = self.beside(path)
        temporary.write_text(json.dumps(value, ensure_ascii=False, indent=1), "utf-8")
        self.check_writer()
        _put(temporary, path, durably=durably)


def _read_json(path: Path) -> Row | None:
    """Return the JSON object of a file, its texts without what a database refuses; None where there is no such file."""
    found: Row | None = _storable(read_json(path))
    return found


def _storable(value: Any) -> Any:
    """Return a value of JSON whose texts have no characters that a database refuses."""
    match value:
        case str():
            return cleaned_text(value)
        case dict():
            return {cleaned_text(name): _storable(entry) for name, entry in value.items()}
        case list():
            return [_storable(entry) for entry in value]
    return value


def _write_json(path: Path, value: Row) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, ensure_ascii=False, indent=1), "utf-8")
    _put(temporary, path)


def _put(temporary: Path, path: Path, *, durably: bool = True) -> None:
    if durably:
        put_in_place(temporary, path)
    else:
        temporary.replace(path)


def _read_lines(path: Path) -> Iterator[Row]:
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.endswith("\n"):
                return
            yield json.loads(line)


def _whole_lines(path: Path, offset: int) -> tuple[int, bytes]:
    """Return from which byte on, and the whole lines from there without their last line end."""
    with path.open("rb") as file:
        start = offset if _begins_a_line(file, offset) else 0
        file.seek(start)
        return start, file.read().rpartition(b"\n")[0]


def _begins_a_line(file: BinaryIO, offset: int) -> bool:
    if offset == 0:
        return True
    if offset > file.seek(0, os.SEEK_END):
        return False
    file.seek(offset - 1)
    return file.read(1) == b"\n"


def _append(path: Path, row: Row) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
