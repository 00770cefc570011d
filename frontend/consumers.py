from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs

from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings
from django.db import DatabaseError

from annotation import live
from annotation.actions import presence
from annotation.models import Membership
from frontend.serving.limits import LIMITS

logger = logging.getLogger(__name__)

SIGN_EVERY_SECONDS = 20
LOOK_EVERY_SECONDS = 60  # whether the person is still a member and signed in
TOO_MANY, NOT_A_MEMBER, TAKES_NOTHING = 4429, 4403, 1008


# Open sockets of this process, by person.
_open: Counter[int] = Counter()
QUIET_SECONDS = 1.0  # a page that fetched after every judgment would do nothing else


class ProjectConsumer(AsyncJsonWebsocketConsumer):  # type: ignore[misc]
    """Tells an open page of a project which parts to fetch again; it accepts no messages.

    The work page connects with `?at=work`: its member counts as present while it is open.
    """

    group: str | None = None

    async def connect(self) -> None:
        self.membership = await self._membership()
        if self.membership is None:
            await self.close(NOT_A_MEMBER)
            return
        if _open[self.membership.user_id] >= LIMITS.sockets_per_person:
            await self.close(TOO_MANY)
            return
        _open[self.membership.user_id] += 1
        live.sockets_run_here()
        self.group = live.group_name(self.membership.project_id)
        self.told: dict[str, float] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()
        self._start(self._look_whether_still_a_member())
        self.is_at_work = parse_qs(self.scope["query_string"]).get(b"at") == [b"work"]
        if self.is_at_work:
            self._start(self._give_signs())

    async def disconnect(self, _code: int) -> None:
        if self.group is None:
            return
        _open[self.membership.user_id] -= 1
        if not _open[self.membership.user_id]:
            del _open[self.membership.user_id]
        for task in self.tasks:
            task.cancel()
        await self.channel_layer.group_discard(self.group, self.channel_name)
        if self.is_at_work:
            await database_sync_to_async(presence.leave)(membership_id=self.membership.pk)

    async def receive(self, *_: Any, **__: Any) -> None:
        """Close the socket: pages send nothing here."""
        await self.close(TAKES_NOTHING)

    async def membership_ended(self, event: dict[str, Any]) -> None:
        """Close the socket if it is this person who has left the project."""
        if event["user_id"] == self.membership.user_id:
            await self.close(NOT_A_MEMBER)

    async def _look_whether_still_a_member(self) -> None:
        """Close the socket once the membership, the account or the session has ended elsewhere."""
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            with contextlib.suppress(DatabaseError):
                if await self._membership_now() is None:
                    await self.close(NOT_A_MEMBER)
                    return

    async def look_again(self, event: dict[str, Any]) -> None:
        """Send a topic at once, or where it was sent recently once after a pause, for all messages meanwhile."""
        topic, now = event["topic"], asyncio.get_running_loop().time()
        wait = self.told.get(topic, 0.0) + QUIET_SECONDS - now
        if wait <= 0:
            self.told[topic] = now
            await self.send_json({"topic": topic})
        elif wait <= QUIET_SECONDS:
            self.told[topic] = now + wait  # in the future: a message is scheduled for then
            self._start(self._say_later(topic, wait))

    async def _say_later(self, topic: str, wait: float) -> None:
        await asyncio.sleep(wait)
        with contextlib.suppress(OSError):  # the page was closed meanwhile
            await self.send_json({"topic": topic})

    async def _give_signs(self) -> None:
        while True:
            try:
                await database_sync_to_async(presence.arrive)(membership_id=self.membership.pk)
            except DatabaseError:
                logger.warning("Could not record who is at work", exc_info=True)
            await asyncio.sleep(SIGN_EVERY_SECONDS)

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _membership_now(self) -> Membership | None:
        key = self.scope["session"].session_key
        self.scope["session"] = import_module(settings.SESSION_ENGINE).SessionStore(key)  # read anew: it may be gone
        self.scope["user"] = await get_user(self.scope)
        found: Membership | None = await self._membership()
        return found

    @database_sync_to_async  # type: ignore[untyped-decorator]
    def _membership(self) -> Membership | None:
        user, slug = self.scope["user"], self.scope["url_route"]["kwargs"]["slug"]
        if not user.is_authenticated:
            return None
        return Membership.objects.filter(user=user, project__slug=slug).first()


class NoSuchAddress(AsyncJsonWebsocketConsumer):  # type: ignore[misc]
    """Refuses a socket at an address that is none; without it the log would have a stack trace for each."""

    async def connect(self) -> None:
        await self.close(NOT_A_MEMBER)
