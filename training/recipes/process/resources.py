"""Device, cores, memory and time of a run."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from annotation import large_blocks
from training.rundir import Row

BEGAN = time.monotonic()
LARGE = 4 * 1024**2


def use_all_cores() -> None:
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(len(os.sched_getaffinity(0)))


def give_back_large_blocks() -> None:
    """Give blocks of LARGE bytes and more back as they are freed: a PPO run held 1.8 GB of tensors and took 2.7.

    The pages are huge ones where the system has them (training/recipes/__init__.py), so fresh ones cost little.
    """
    large_blocks.give_back(LARGE)


def pick_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def available_memory(device: torch.device) -> int:
    """Return the bytes that are free on a GPU, or that this machine and this process's control group still have."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [_number("/proc/meminfo", "MemAvailable:") * 1024]
    limit, used_now = _number("/sys/fs/cgroup/memory.max"), _number("/sys/fs/cgroup/memory.current")
    if limit:
        found.append(max(0, limit - used_now))
    return min((value for value in found if value), default=1 << 62)


def _number(path: str, label: str = "") -> int:
    """Return the number behind a label in a file of the kernel; 0 where there is none."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        words = Path(path).read_text("utf-8").split()
        return int(words[words.index(label) + 1 if label else 0])
    return 0


def peak_rss_mb() -> float:
    """Return the peak resident memory of this process in MiB (Linux counts in KiB, macOS in bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 if sys.platform != "darwin" else 1024**2), 1)


def used() -> Row:
    """Return the seconds of processors and of GPUs that this attempt took, without earlier attempts."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    processors = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    gpus = torch.cuda.device_count() if torch.cuda.is_initialized() else 0
    return {"processor_seconds": round(processors, 1), "gpu_seconds": round(gpus * (time.monotonic() - BEGAN), 1)}


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

    def report(self) -> Row:
        """Return time and memory for result.json."""
        return {
            "seconds": self.total(),
            "seconds_by_stage": self.rounded(),
            "peak_rss_mb": peak_rss_mb(),
        }
