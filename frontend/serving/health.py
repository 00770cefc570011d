"""Whether the server lives and whether it is ready, answered beside the page threads.

`/health/` says that the process answers; `/ready/` looks at what pages need: database, disk, channel layer, worker.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from channels.layers import get_channel_layer
from django.conf import settings
from django.db import close_old_connections, connection

from annotation import clock
from training.models import WorkerSign

logger = logging.getLogger(__name__)
LEAST_FREE_BYTES = 100 * 2**20
KEPT_SECONDS = 2.0  # so that asking often costs nothing
PATIENCE_SECONDS = 5.0
OK = "ok"
_T = TypeVar("_T")

# One thread of its own: a look at a database that does not answer must not take a page's.
_thread = ThreadPoolExecutor(1, thread_name_prefix="health")


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()
    return OK


def _disk() -> str:
    free = shutil.disk_usage(settings.HOME).free
    if free < LEAST_FREE_BYTES:
        return f"only {free // 2**20} MB free in PREFLOOP_HOME"
    with tempfile.TemporaryFile(dir=settings.HOME) as file:
        file.write(b"0" * 4096)
        file.flush()
        os.fsync(file.fileno())
    return OK


def _worker() -> str:
    newest = WorkerSign.objects.order_by("-seen_at").first()
    if newest is None:
        return "none has reported yet"
    silent = (clock.now() - newest.seen_at).total_seconds()
    return OK if silent < settings.TRAINING_HEARTBEAT_TIMEOUT_SECONDS else f"silent for {silent:.0f} s"


async def _channel_layer() -> str:
    layer = get_channel_layer()
    channel = await layer.new_channel("ready")
    await layer.send(channel, {"type": "ready"})
    await layer.receive(channel)
    return OK


async def beside_pages(look: Callable[[], _T], otherwise: _T) -> _T:
    """Return what `look` returns in the thread that is kept for this, or `otherwise` where it takes too long."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await _in_thread(look)
    except TimeoutError:
        return otherwise


async def _in_thread(look: Callable[[], _T]) -> _T:
    def fresh() -> _T:
        close_old_connections()  # one that broke, as a restart of the database breaks it, would stay so
        return look()

    return await asyncio.get_running_loop().run_in_executor(_thread, fresh)


async def _looked_at(name: str, look: Any) -> str:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            if asyncio.iscoroutinefunction(look):
                return str(await look())
            return str(await _in_thread(look))
    except TimeoutError:
        return f"no answer within {PATIENCE_SECONDS:.0f} s"
    except Exception as problem:  # what a driver raises is its own (redis.RedisError is no OSError)
        logger.warning("/ready/: %s: %s", name, problem)
        return "does not work; the server's log says why"


async def readiness() -> tuple[int, dict[str, str]]:
    """Return the HTTP status and the state of each part: 503 unless database, disk and channel layer work.

    A silent worker leaves people able to judge, so it is reported ("degraded") with status 200.
    """
    looks = {"database": _database, "disk": _disk, "channel_layer": _channel_layer, "worker": _worker}
    parts = {name: await _looked_at(name, look) for name, look in looks.items()}
    if any(state != OK for name, state in parts.items() if name != "worker"):
        return 503, {"status": "unavailable", **parts}
    return 200, {"status": OK if parts["worker"] == OK else "degraded", **parts}


class Health:
    """The ASGI application of both addresses; passes every other request on."""

    def __init__(self, pages: Any) -> None:
        self.pages = pages
        self.look: asyncio.Task[tuple[int, dict[str, str]]] | None = None
        self.looked_at = 0.0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"] == "/health/":
            await _answer(send, 200, {"status": OK})
        elif scope["path"] == "/ready/":
            await _answer(send, *await self._newest())
        else:
            await self.pages(scope, receive, send)

    async def _newest(self) -> tuple[int, dict[str, str]]:
        """Return the result of the newest check; requests at the same time share one check."""
        now = asyncio.get_running_loop().time()
        if self.look is None or (self.look.done() and now - self.looked_at > KEPT_SECONDS):
            self.look, self.looked_at = asyncio.ensure_future(readiness()), now
        return await asyncio.shield(self.look)


async def _answer(send: Any, status: int, content: dict[str, str]) -> None:
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
