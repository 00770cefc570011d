"""The key that signs sessions: one for all threads and processes, made whole."""

from __future__ import annotations

import stat
import threading
from concurrent.futures import ThreadPoolExecutor

from frontend.secret_key import read_or_make

THREADS = 16


def test_threads_that_need_it_at_once_get_the_same(tmp_path):
    """The first requests to a new server arrive together, each in a thread of its own."""
    for number in range(20):
        path = tmp_path / str(number) / "secret_key"
        together = threading.Barrier(THREADS)

        def ask(_: int, path=path, together=together) -> str:
            together.wait()
            return read_or_make(path)

        with ThreadPoolExecutor(THREADS) as threads:
            keys = set(threads.map(ask, range(THREADS)))
        assert len(keys) == 1
        assert [left.name for left in path.parent.iterdir()] == ["secret_key"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
