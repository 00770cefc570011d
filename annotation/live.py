"""Telling open pages to look again. A lost message loses nothing: pages also ask by themselves now and then."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import InMemoryChannelLayer, get_channel_layer

logger = logging.getLogger(__name__)

# The in-process layer belongs to the event loop of the sockets; pages and worker run in other threads.
_socket_loop: asyncio.AbstractEventLoop | None = None


def group_name(project_id: int) -> str:
    return f"project-{project_id}"


def sockets_run_here() -> None:
    """Note the event loop of the consumer that calls this: messages are handed to it from now on."""
    global _socket_loop
    _socket_loop = asyncio.get_running_loop()


def announce(project_id: int, topic: str) -> None:
    """Tell every open page of a project to look again. `topic` is "queue", "people" or "round"."""
    _send(project_id, {"type": "look.again", "topic": topic})


def end_membership(project_id: int, user_id: int) -> None:
    """Close the open pages' sockets of a person who has left the project."""
    _send(project_id, {"type": "membership.ended", "user_id": user_id})


def _send(project_id: int, message: dict[str, Any]) -> None:
    layer = get_channel_layer()
    try:
        if not isinstance(layer, InMemoryChannelLayer):
            async_to_sync(layer.group_send)(group_name(project_id), message)
        elif _socket_loop is not None and _socket_loop.is_running():
            asyncio.run_coroutine_threadsafe(layer.group_send(group_name(project_id), message), _socket_loop)
    except Exception:
        # A page that is told late is no reason to lose the judgment that was just stored.
        logger.warning("Could not announce %r", message, exc_info=True)
