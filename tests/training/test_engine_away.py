"""An engine whose answer cannot be understood does not answer: what runs there goes on."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from training.executors.base import EngineAway, Executor, Job, Phase
from training.executors.ray import RayExecutor
from training.executors.slurm import SlurmExecutor
from training.rundir import RunDir

REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}"
CUT = b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"status"'
CUT_REFUSAL = b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n9"


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """The address of a server that gives each request this answer, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                connection, _ = server.accept()
                with connection:
                    if connection.recv(65536) == b"end":
                        return
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            with socket.create_connection(server.getsockname()) as last:
                last.sendall(b"end")
            thread.join()


def is_away(executor: Executor, job: Job) -> str:
    """Return why, as poll says it; cancel raises EngineAway alone."""
    state = executor.poll(job)
    assert state.phase is Phase.UNKNOWN
    with pytest.raises(EngineAway):
        executor.cancel(job)
    return state.why


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (CUT, "IncompleteRead"),
        (b"garbage\r\n\r\n", "garbage"),
        (b"", "does not answer"),
        (REFUSED, "PREFLOOP_RAY_TOKEN"),
        (CUT_REFUSAL, "answered with status 500"),
    ],
    ids=["cut", "garbage", "nothing", "refused", "cut-refusal"],
)
def test_ray_that_answers_badly_is_away(tmp_path, settings, answer, why):
    job = Job("1", "s", "ppo", RunDir(tmp_path))
    with answering(answer) as settings.RAY_ADDRESS:
        assert why in is_away(RayExecutor(), job)


def test_slurm_whose_answer_makes_no_sense_is_away(tmp_path, monkeypatch):
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\necho squeue: warning\n")
    squeue.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert "invalid literal" in is_away(SlurmExecutor(), Job("1", "s", "ppo", RunDir(tmp_path)))


def test_slurm_whose_commands_are_gone_is_away(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "squeue is not installed" in is_away(SlurmExecutor(), Job("1", "s", "ppo", RunDir(tmp_path)))
