"""Memory that goes back to the system as it is freed. Standard library only, as recipes use it."""

from __future__ import annotations

import contextlib
import ctypes

M_MMAP_THRESHOLD = -3  # of mallopt(3)


def give_back(size: int) -> None:
    """Tell glibc to take blocks of `size` bytes and more from the system one by one, and to give each back when freed.

    By default it does so only until a larger block was freed, and then keeps them in its heaps, of which each thread
    has one: with gaps between that blocks of other sizes do not fit into.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library: it has its own ways
        ctypes.CDLL("libc.so.6").mallopt(M_MMAP_THRESHOLD, size)
