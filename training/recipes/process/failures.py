"""Why a recipe ended, in words, where the reason is not the recipe's: a full disk, too little memory, a broken file."""

from __future__ import annotations

import errno
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from training.phrases import phrase
from training.rundir import NO_SPACE, RunDir, where_now

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
# Rust's writers have the error number in their message; torch only reports that its file is too short.
DISK_FULL_WORDS = ("No space left on device", "Disk quota exceeded", "inline_container", "PytorchStreamWriter")
DISK_BROKEN = (errno.EIO, errno.EROFS)
DISK_BROKEN_WORDS = ("Input/output error", "Read-only file system")
TOO_LITTLE_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")
LOST_NEIGHBOUR = ("Connection closed by peer", "Connection reset by peer", "gloo/transport", "NCCL error")
WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "*.gguf")
_DISK_BROKEN = phrase("the disk of %(folder)s takes no data (%(why)s). Once it does, try the round again")
_OUT_OF_MEMORY = phrase("out of memory (%(why)s): smaller batches and shorter texts need less")
_NEEDS_ABOUT = phrase(
    "no space left: %(free)s of %(total)s are free on the disk of %(folder)s, and what was being written needs about "
    "%(size)s. Make room, then try the round again"
)
_NEEDS_MORE = phrase(
    "no space left: %(free)s of %(total)s are free on the disk of %(folder)s, and what was being written needs more "
    "than %(size)s. Make room, then try the round again"
)
_BROKEN = phrase("%(problem)s (it ended with %(why)s)")
_NO_STATE = phrase("%(file)s, from which the run should go on, cannot be read")
_NO_FOLDER = phrase("%(folder)s is not there")
_UNREADABLE = phrase("%(file)s cannot be read: %(why)s")
_MISSING = phrase("%(file)s is missing")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")


def in_words(problem: Exception, run: RunDir) -> tuple[str, int] | None:
    """Return the reason and the exit code; None where the cause is the recipe itself."""
    chain = list(_chain(problem))
    if any(_is_full_disk(each) for each in chain):
        return _no_space(run), NO_SPACE
    if any(_is_broken_disk(each) for each in chain):
        return _DISK_BROKEN % {"folder": run.path, "why": problem}, 1
    if is_out_of_memory(problem):
        first = str(problem).strip().partition("\n")[0]
        return _OUT_OF_MEMORY % {"why": first}, 1
    if broken := next(_broken_files(run), None):
        first = f"{type(problem).__name__}: {str(problem).partition(chr(10))[0]}"
        return _BROKEN % {"problem": broken, "why": first}, 1
    return None


def is_out_of_memory(problem: Exception) -> bool:
    """Tell whether memory, of a GPU or of the machine, did not suffice."""
    return any(_is_little_memory(each) for each in _chain(problem))


def is_lost_neighbour(problem: Exception) -> bool:
    """Tell whether this process only lost its connection to another one of the run, which ended first."""
    known = (torch.distributed.DistError,) if torch.distributed.is_available() else ()
    return any(isinstance(each, known) or _says(each, LOST_NEIGHBOUR) for each in _chain(problem))


def _chain(problem: BaseException | None) -> Iterator[BaseException]:
    while problem is not None:
        yield problem
        problem = problem.__cause__ or problem.__context__


def _is_full_disk(problem: BaseException) -> bool:
    if isinstance(problem, OSError) and problem.errno in DISK_FULL:
        return True
    return isinstance(problem, (RuntimeError, OSError, SafetensorError)) and _says(problem, DISK_FULL_WORDS)


def _is_broken_disk(problem: BaseException) -> bool:
    if isinstance(problem, OSError) and problem.errno in DISK_BROKEN:
        return True
    return isinstance(problem, SafetensorError) and _says(problem, DISK_BROKEN_WORDS)


def _is_little_memory(problem: BaseException) -> bool:
    if isinstance(problem, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(problem, RuntimeError) and _says(problem, TOO_LITTLE_MEMORY)


def _says(problem: BaseException, words: tuple[str, ...]) -> bool:
    return any(word in str(problem) for word in words)


# --- a full disk -----------------------------------------------------------------------------------------------


def _no_space(run: RunDir) -> str:
    """Return the message about a full disk, after deleting half-written files to make room for it in the log."""
    halves = list(run.path.glob("*.tmp"))
    whole = [path for path in (run.state_path, run.path / "state.old", run.checkpoint_path) if path.exists()]
    written, needed = sum(map(_size, halves)), max(map(_size, whole), default=0)
    disk = shutil.disk_usage(run.path)
    for path in halves:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    free = {"free": _megabytes(disk.free), "total": _megabytes(disk.total), "folder": run.path}
    if needed > written:
        return _NEEDS_ABOUT % {**free, "size": _megabytes(needed)}
    return _NEEDS_MORE % {**free, "size": _megabytes(written)}


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file() or file.is_symlink())


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB" if count >= 1e7 else f"{count / 1e6:,.2f} MB"


# --- files that cannot be read ---------------------------------------------------------------------------------


def _broken_files(run: RunDir) -> Iterator[str]:
    """Return broken files of the models that the run starts from and of the state that it resumes from."""
    try:
        inputs = run.config().get("inputs", {})
    except (OSError, ValueError):
        return
    for value in inputs.values():
        if isinstance(value, str) and os.path.isabs(value):
            yield from broken_model_files(Path(value))
    if (state := run.load_state()) is not None:
        for path in sorted(state.rglob("*.pt")):
            if not zipfile.is_zipfile(path):
                yield _NO_STATE % {"file": path}
        yield from _broken_weights(state)


def broken_model_files(folder: Path) -> Iterator[str]:
    """Return a sentence for each broken file of a model and, for an adapter, of its base."""
    if not folder.is_dir():
        yield _NO_FOLDER % {"folder": folder}
        return
    read = {}
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as problem:
            yield _UNREADABLE % {"file": path, "why": problem}
        else:
            read[path.name] = content if isinstance(content, dict) else {}
    yield from _broken_weights(folder)
    shards = read.get("model.safetensors.index.json", {}).get("weight_map", {})
    yield from (
        _MISSING % {"file": folder / name} for name in sorted(set(shards.values())) if not (folder / name).exists()
    )
    if "config.json" in read:
        if not any(any(folder.glob(pattern)) for pattern in WEIGHTS):
            yield _MISSING % {"file": folder / "model.safetensors"}
        if not any((folder / name).exists() for name in TOKENIZERS):
            yield _MISSING % {"file": folder / "tokenizer.json"}
    base = read.get("adapter_config.json", {}).get("base_model_name_or_path") or read.get("reward.json", {}).get("base")
    base = base and where_now(base, folder)
    if base and os.path.isabs(base) and Path(base) != folder:
        yield from broken_model_files(Path(base))


def _broken_weights(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*.safetensors")):
        try:
            with safe_open(path, "pt"):
                pass
        except (OSError, SafetensorError) as problem:
            yield _UNREADABLE % {"file": path, "why": problem}
