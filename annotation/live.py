"""Telling open pages to look again. A lost message loses nothing: pages also ask by themselves now and then.

Nothing is sent in the request that announces it: a channel layer that hangs would hold a thread of the pages for
seconds, and each message from an event loop of its own would cost a new connection to Redis.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import threading
import time
from concurrent.futures import Future, wait
from typing import Any

from channels.layers import InMemoryChannelLayer, get_channel_layer

logger = logging.getLogger(__name__)
AGAIN_AFTER_SECONDS = 1.0  # between two messages of one topic of a project: each one wakes every open page
PATIENCE_SECONDS = 5.0  # with a channel layer that does not answer
MOST_TOPICS = 1000  # of which a process remembers when they were last announced
FLUSH_SECONDS = 2.0  # at the end of a process

# The in-process layer belongs to the event loop of the sockets; pages and worker run in other threads.
_socket_loop: asyncio.AbstractEventLoop | None = None


def group_name(project_id: int) -> str:
    return f"project-{project_id}"


def sockets_run_here() -> None:
    """Note the event loop of the consumer that calls this: messages are handed to it from now on."""
    global _socket_loop
    _socket_loop = asyncio.get_running_loop()


def announce(project_id: int, topic: str) -> None:
    """Tell every open page of a project to look again. `topic` is "queue", "people" or "round".

    The first message goes out at once; for all that follow within a second, one more at its end.
    """
    _send(project_id, {"type": "look.again", "topic": topic})


def end_membership(project_id: int, user_id: int) -> None:
    """Close the open pages' sockets of a person who has left the project."""
    _send(project_id, {"type": "membership.ended", "user_id": user_id})


class _Pace:
    """Decides when the next message of a topic goes out, in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: dict[tuple[int, str], float] = {}  # when one may go out, on the monotonic clock

    def delay(self, topic: tuple[int, str]) -> float | None:
        """Return after how many seconds to send; None where a message that is still to go out says it already."""
        with self._lock:
            now = time.monotonic()
            if len(self._next) >= MOST_TOPICS:
                self._next = {each: at for each, at in self._next.items() if at > now}
            delay = max(0.0, self._next.get(topic, now) - now)
            if delay > AGAIN_AFTER_SECONDS:
                return None
            self._next[topic] = now + delay + AGAIN_AFTER_SECONDS
            return delay


class _Loop:
    """An event loop in a thread of its own, started when it is first needed: it keeps the layer's connection."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._thread is None or not self._thread.is_alive():  # a fork has no threads
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="announcements", daemon=True)
                self._thread.start()
            return self._loop


_PACE = _Pace()
_LOOP = _Loop()
_under_way: set[Future[None]] = set()


def _send(project_id: int, message: dict[str, Any]) -> None:
    try:
        layer = get_channel_layer()
        loop = _socket_loop if isinstance(layer, InMemoryChannelLayer) else _LOOP.running()
        if loop is None or not loop.is_running():
            return  # no socket is open in this process
        delay = _PACE.delay((project_id, message["topic"])) if "topic" in message else 0.0
        if delay is None:
            return
        sending = asyncio.run_coroutine_threadsafe(_deliver(layer, group_name(project_id), message, delay), loop)
    except Exception:
        # A page that is told late is no reason to lose the judgment that was just stored.
        logger.warning("Could not announce %r", message, exc_info=True)
        return
    _under_way.add(sending)
    sending.add_done_callback(_under_way.discard)


async def _deliver(layer: Any, group: str, message: dict[str, Any], delay: float) -> None:
    await asyncio.sleep(delay)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await layer.group_send(group, message)
    except Exception as problem:  # what a driver raises is its own (redis.RedisError is no OSError)
        logger.warning("Could not announce %r: %s", message, problem or type(problem).__name__)


@atexit.register
def _flush() -> None:
    """Wait for what is under way: a command that ends with its last announcement would lose it."""
    with contextlib.suppress(RuntimeError):  # the set changes meanwhile
        wait(list(_under_way), FLUSH_SECONDS)
