from __future__ import annotations

from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer

from annotation import live
from annotation.models import Membership


class ProjectConsumer(AsyncJsonWebsocketConsumer):  # type: ignore[misc]
    """Passes "look again" on to one open page. It takes no messages from it."""

    group: str | None = None

    async def connect(self) -> None:
        project_id = await self._project_of_member()
        if project_id is None:
            await self.close()
            return
        live.sockets_run_here()
        self.group = live.group_name(project_id)
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, _code: int) -> None:
        if self.group is not None:
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def look_again(self, event: dict[str, Any]) -> None:
        await self.send_json({"topic": event["topic"]})

    @database_sync_to_async  # type: ignore[untyped-decorator]
    def _project_of_member(self) -> int | None:
        user, slug = self.scope["user"], self.scope["url_route"]["kwargs"]["slug"]
        if not user.is_authenticated:
            return None
        return Membership.objects.filter(user=user, project__slug=slug).values_list("project_id", flat=True).first()
