"""Disks that fail for real: a small one that is full, and one whose kernel refuses to sync."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Seccomp: the kernel answers fsync and fdatasync of the process, and of all that it starts, with an error.
NO_FSYNC = """
import ctypes, os, platform, struct, sys
error, command = int(sys.argv[1]), sys.argv[2:]
architecture, calls = {"x86_64": (0xC000003E, (74, 75)), "aarch64": (0xC00000B7, (82, 83))}[platform.machine()]
LOAD, JUMP_IF_EQUAL, RETURN, ALLOW, ERRNO = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050000
steps = [(LOAD, 0, 0, 4), (JUMP_IF_EQUAL, 1, 0, architecture), (RETURN, 0, 0, ALLOW), (LOAD, 0, 0, 0)]
steps += [(JUMP_IF_EQUAL, len(calls) - at, 0, call) for at, call in enumerate(calls)]
steps += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, ERRNO | error)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))

class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]

program = Program(len(steps), ctypes.cast(code, ctypes.c_void_p))
libc = ctypes.CDLL(None, use_errno=True)
NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2
if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(SECCOMP, FILTER, ctypes.byref(program), 0, 0):
    sys.exit("seccomp: " + os.strerror(ctypes.get_errno()))
os.execvp(command[0], command)
"""


def without_fsync(why: int = errno.EIO) -> list[str]:
    """Return the beginning of a command that may write and may not sync. Skips the test where there is no seccomp."""
    launcher = [sys.executable, "-c", NO_FSYNC, str(why)]
    known = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")
    if not known or subprocess.run([*launcher, "true"], capture_output=True, check=False).returncode:
        _not_here("the kernel has no seccomp")
    return launcher


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of that size ("64k", "1m") at a folder. Skips the test where nothing can be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        _not_here("nothing can be mounted here: this needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Use up what is free on a disk, to the last byte, and return the file that does."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (2**20, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"0" * size) == size:
                    pass
    return filler


def _not_here(why: str) -> None:
    if os.environ.get("CI") == "true" and os.geteuid() == 0:
        pytest.fail(why)
    pytest.skip(why)
