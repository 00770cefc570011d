"""What every recipe needs around its own work: the entry point, the stop signal, seeds, time and memory."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import logging
import os
import random
import resource
import shutil
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import torch
import transformers

from training.methods import InvalidConfig, MethodConfig
from training.recipes.process.errors import RecipeError
from training.rundir import Row, RunDir

logger = logging.getLogger("recipe")
Config = TypeVar("Config", bound=MethodConfig)
BEGAN = time.monotonic()
PARENT_POLL_SECONDS = 1.0
DYING_SECONDS = 5.0


class _Terminated(BaseException):
    """SIGTERM arrived. Not an Exception, so that no `except Exception` on the way out swallows it."""


Recipe = Callable[[RunDir, Config, Row], Row]


def run_recipe(recipe: Recipe[Config], config_class: type[Config]) -> NoReturn:
    """The program `python -m training.recipes.<recipe> RUN_DIR`.

    Exit code 0: result.json is there. 1, or NO_SPACE: failed for a reason that another attempt would meet again. Ended
    by a signal: worth another attempt, which resumes from the state of the last finished step.
    """
    log_to_stdout()
    if len(sys.argv) != 2:
        _leave("usage: python -m training.recipes.<recipe> RUN_DIR")
    signal.signal(signal.SIGTERM, _terminate)
    die_with_parent()
    keep_freed_memory()
    use_all_cores()
    try:
        execute(recipe, config_class, RunDir(sys.argv[1]))
    except _Terminated:
        logger.info("Stopped by SIGTERM; the next attempt goes on from the last saved state")
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    except (RecipeError, InvalidConfig) as problem:
        _leave(str(problem))
    except Exception as problem:
        from training.recipes.process import failures  # costs a little, and is seldom needed

        reason = failures.in_words(problem, RunDir(sys.argv[1]))
        if reason is None:
            raise
        _leave(*reason)
    raise SystemExit(0)


def execute(recipe: Recipe[Config], config_class: type[Config], run: RunDir) -> None:
    """Read config.json, run the recipe, write result.json last of all. A finished run is left alone.

    Of several processes of one run, the first writes the result; they all come to the same one.
    """
    if run.result() is not None:
        logger.info("Already finished: %s", run.result_path)
        return
    try:
        given = run.config()
        config = config_class(**given.get("settings", {}))
    except (FileNotFoundError, TypeError) as problem:
        raise RecipeError(str(problem)) from None
    from training.recipes.process import tracking  # which needs RecipeError from here

    tracking.attach(run)
    seed_everything(getattr(config, "seed", 0))
    result = recipe(run, config, given.get("inputs", {}))
    if int(os.environ.get("RANK", "0")) == 0:
        run.finish({**result, **used()})


def _leave(message: str, exit_code: int = 1) -> NoReturn:
    logger.error("error: %s", message)
    raise SystemExit(exit_code)


def _terminate(signum: int, frame: object) -> None:
    raise _Terminated


def log_to_stdout() -> None:
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    for noisy in ("httpx", "filelock", "peft", "huggingface_hub"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    # PEFT asks transformers in words that it no longer likes; nothing for the reader of a log to act on.
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
    # Progress bars are for terminals; a log file wants lines.
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def die_with_parent() -> None:
    """End this process when the one that started it is gone: a killed worker must leave no orphan at the same files.

    Set RECIPE_OUTLIVES_PARENT=1 to start a recipe by hand and log out.
    """
    if os.environ.get("RECIPE_OUTLIVES_PARENT") == "1":
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)
        # A long tensor operation holds back the Python signal handler; do not wait for it for ever.
        time.sleep(DYING_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def use_all_cores() -> None:
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(len(os.sched_getaffinity(0)))


def keep_freed_memory() -> None:
    """Tell glibc to keep large freed blocks for the next tensor of that size instead of giving them back.

    Logits over a vocabulary are 100 MB and more; asking the kernel for fresh pages each time takes a quarter of PPO.
    """
    mmap_threshold, trim_threshold = -3, -1
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(mmap_threshold, 2**30)
        libc.mallopt(trim_threshold, 2**31 - 1)


def pick_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def derived_seed(seed: int, *parts: str | int) -> int:
    """A seed of its own for every place that draws random numbers: (7, "sample", 3) → always the same number.

    With it no random state lives longer than one step, so a resumed run draws what the uninterrupted one would.
    """
    text = json.dumps([seed, *parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def generator(seed: int, *parts: str | int) -> torch.Generator:
    return torch.Generator().manual_seed(derived_seed(seed, *parts))


def seed_everything(seed: int) -> None:
    random.seed(seed)
    torch.manual_seed(seed)


def peak_rss_mb() -> float:
    """Peak resident memory of this process, in MiB (Linux counts in KiB, macOS in bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 if sys.platform != "darwin" else 1024**2), 1)


def used() -> Row:
    """Seconds of processors and of GPUs that this attempt took: what an attempt that was killed took, nobody knows."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    processors = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    gpus = torch.cuda.device_count() if torch.cuda.is_initialized() else 0
    return {"processor_seconds": round(processors, 1), "gpu_seconds": round(gpus * (time.monotonic() - BEGAN), 1)}


def replace_folder(target: Path, write: Callable[[Path], None]) -> None:
    """Let `write(folder)` fill a folder, and put it in the place of `target` only when it is whole."""
    fresh = target.with_name(f"{target.name}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    write(fresh)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


class Stopwatch:
    """Seconds by stage. With `spent` of an earlier attempt, a resumed run reports the whole time."""

    def __init__(self, spent: dict[str, float] | None = None) -> None:
        self.spent: dict[str, float] = dict(spent or {})
        self.latest: dict[str, float] = {}

    @contextlib.contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.latest[stage] = time.perf_counter() - began
            self.spent[stage] = self.spent.get(stage, 0.0) + self.latest[stage]

    def rounded(self) -> dict[str, float]:
        return {stage: round(seconds, 1) for stage, seconds in self.spent.items()}

    def total(self) -> float:
        return round(sum(self.spent.values()), 1)


def required_path(inputs: Row, name: str) -> str:
    path: Any = inputs.get(name)
    if not path:
        raise RecipeError(f"config.json names no inputs.{name}")
    return str(path)
