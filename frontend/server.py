"""Pages, API, sockets, worker and playground in one process: the embedded default."""

from __future__ import annotations

import resource
import signal
import threading
from types import FrameType

import uvicorn

from frontend.readiness import can_train
from frontend.serving.connections import BoundedConnection
from frontend.serving.sockets import BoundedSocket
from training.worker.loop import Worker
from training.worker.playground import Generator


class EmbeddedServer:
    """`run` serves until Ctrl-C or SIGTERM; `start` and `stop` do the same from beside."""

    def __init__(self, *, host: str, port: int, with_worker: bool = True) -> None:
        self.host, self.port = host, port
        config = uvicorn.Config(
            "frontend.asgi:application",
            host=host,
            port=port,
            log_level="warning",
            lifespan="off",
            log_config=None,  # its lines look as all others do
            timeout_graceful_shutdown=3,
            http=BoundedConnection,
            # Sockets only say "look again" and take nothing.
            ws=BoundedSocket,
            ws_max_size=1024,
            ws_max_queue=4,
            ws_per_message_deflate=False,
        )
        self.server = uvicorn.Server(config)
        self.worker = Worker() if with_worker else None
        self.generator = Generator()
        self.threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        host = "127.0.0.1" if self.host == "0.0.0.0" else self.host
        return f"http://{host}:{self.port}"

    def run(self) -> None:
        # uvicorn raises the signal again once it has shut down; by default SIGTERM would then end the process before
        # the worker could put its run back.
        previous = signal.signal(signal.SIGTERM, as_keyboard_interrupt)
        allow_many_files()
        try:
            self._start_work()
            self.server.run()
        except KeyboardInterrupt:
            pass
        finally:
            signal.signal(signal.SIGTERM, previous)
            self.stop()

    def start(self) -> None:
        self._start_work()
        self._start(self.server.run, "server")

    def stop(self) -> None:
        self.server.should_exit = True
        if self.worker:
            self.worker.stop()
        self.generator.stop()
        for thread in self.threads:
            thread.join(timeout=30)
        self.threads = []

    def _start_work(self) -> None:
        # Without the train extra a run or a reply could only fail: both wait in their queue for a worker that has it.
        if self.worker:
            self._start(self.worker.run_forever if can_train() else self.worker.deliver_forever, "worker")
        if can_train():
            self._start(self.generator.run_forever, "playground")

    def _start(self, target: object, name: str) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)  # type: ignore[arg-type]
        thread.start()
        self.threads.append(thread)


def allow_many_files() -> None:
    """Raise this process's limit of open files as far as it may: by default 1,024 connections would use it up."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def as_keyboard_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
