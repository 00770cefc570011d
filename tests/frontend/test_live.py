"""Sockets: members are told to look again, strangers are turned away. On the channel layer that is configured."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import timedelta
from types import SimpleNamespace

import pytest
import redis
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.db import connections
from django.test import Client
from django.utils import timezone

from annotation import live
from annotation.actions import presence
from annotation.models import Membership, Project, Role

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def _cookie(user: User) -> str:
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return f"{django_settings.SESSION_COOKIE_NAME}={session.session_key}"


@database_sync_to_async
def _people() -> tuple[Project, str, str]:
    project = Project.objects.create(slug="letters", name="Letters")
    member, stranger = User.objects.create_user("member"), User.objects.create_user("stranger")
    Membership.objects.create(project=project, user=member, role=Role.ANNOTATOR)
    return project, _cookie(member), _cookie(stranger)


def _socket(
    cookie: str = "", slug: str = "letters", origin: str = "http://localhost", query: bytes = b""
) -> ApplicationCommunicator:
    from frontend.asgi import application

    scope = {
        "type": "websocket",
        "path": f"/ws/projects/{slug}/",
        "query_string": query,
        "headers": [(b"origin", origin.encode()), (b"host", b"localhost"), (b"cookie", cookie.encode())],
        "subprotocols": [],
    }
    return ApplicationCommunicator(application, scope)


async def _is_accepted(page: ApplicationCommunicator) -> bool:
    await page.send_input({"type": "websocket.connect"})
    return (await page.receive_output(timeout=5))["type"] == "websocket.accept"


# From another thread, as the worker and the pages do it.
_announce = sync_to_async(live.announce, thread_sensitive=False)


def test_a_member_is_told_to_look_again_and_nobody_else_gets_in():
    async def scene() -> None:
        project, member, stranger = await _people()
        page = _socket(member)
        assert await _is_accepted(page)
        await _announce(project.pk, "queue")
        assert json.loads((await page.receive_output(timeout=5))["text"]) == {"topic": "queue"}
        await _announce(project.pk + 1, "queue")
        assert await page.receive_nothing(timeout=0.3)
        await page.send_input({"type": "websocket.disconnect", "code": 1000})
        await page.wait(timeout=5)
        for turned_away in (
            _socket(stranger),
            _socket(),
            _socket(member, slug="nowhere"),
            _socket(member, origin="http://elsewhere.test"),
        ):
            assert not await _is_accepted(turned_away)
        await database_sync_to_async(connections.close_all)()  # of the thread that the sockets' queries ran in

    asyncio.run(scene())


async def _topic(page: ApplicationCommunicator) -> str:
    return json.loads((await page.receive_output(timeout=5))["text"])["topic"]


async def _close(page: ApplicationCommunicator) -> None:
    await page.send_input({"type": "websocket.disconnect", "code": 1000})
    await page.wait(timeout=5)


def test_who_has_the_work_page_open_is_seen_on_the_project_page():
    @database_sync_to_async
    def shown(cookie: str) -> str:
        client = Client(headers={"cookie": cookie})
        return client.get("/projects/letters/").content.decode()

    async def scene() -> None:
        _, member, _ = await _people()
        overview, work = _socket(member), _socket(member, query=b"at=work")
        assert await _is_accepted(overview)
        assert "Active now" not in await shown(member)
        assert await _is_accepted(work)
        assert await _topic(overview) == "people"
        assert "Active now: member" in await shown(member)
        await _close(work)
        assert await _topic(overview) == "people"
        assert "Active now" not in await shown(member)
        await _close(overview)
        await database_sync_to_async(connections.close_all)()

    asyncio.run(scene())


def test_many_judgments_at_once_are_one_message_and_a_last_one(monkeypatch):
    monkeypatch.setattr(live, "_PACE", live._Pace())  # another test's message of the same topic is no first one here
    monkeypatch.setattr(live, "AGAIN_AFTER_SECONDS", 3.0)  # longer than twenty judgments take on a busy machine

    async def scene() -> None:
        project, member, _ = await _people()
        page = _socket(member)
        assert await _is_accepted(page)
        for _ in range(20):
            await _announce(project.pk, "queue")
        assert [await _topic(page), await _topic(page)] == ["queue", "queue"]
        assert await page.receive_nothing(timeout=0.5)
        await _close(page)
        await database_sync_to_async(connections.close_all)()

    asyncio.run(scene())


def test_topics_of_earlier_seconds_are_forgotten(monkeypatch):
    """A server has thousands of projects, and the process that serves them runs for months."""
    now = 1000.0
    monkeypatch.setattr(live.time, "monotonic", lambda: now)
    pace = live._Pace()
    for project in range(live.MOST_TOPICS):
        assert pace.delay((project, "queue")) == 0.0
    now += live.AGAIN_AFTER_SECONDS / 2
    assert pace.delay((7, "queue")) == live.AGAIN_AFTER_SECONDS / 2  # nothing is forgotten too early
    now += 2 * live.AGAIN_AFTER_SECONDS
    assert pace.delay((7, "queue")) == 0.0
    assert len(pace._next) == 1


def test_a_work_page_that_gave_no_sign_for_a_minute_is_closed():
    project = Project.objects.create(slug="letters", name="Letters")
    now = timezone.now()
    for name, seconds in (("here", 50), ("gone", 70)):
        user = User.objects.create_user(name)
        Membership.objects.create(project=project, user=user, at_work_at=now - timedelta(seconds=seconds))
    assert [membership.user.username for membership in presence.at_work(project)] == ["here"]


@pytest.mark.parametrize("ended", ["membership", "account", "session"])
def test_a_socket_is_closed_when_what_lets_it_in_has_ended_without_a_word(ended, monkeypatch):
    """As by the shell, or by another server process: nothing is announced, and the next look finds it."""
    monkeypatch.setattr("frontend.consumers.LOOK_EVERY_SECONDS", 0.05)

    @database_sync_to_async
    def end() -> None:
        if ended == "membership":
            Membership.objects.filter(user__username="member").delete()
        elif ended == "account":
            User.objects.filter(username="member").update(is_active=False)
        else:
            SessionStore.get_model_class().objects.all().delete()

    async def scene() -> None:
        _, member, _ = await _people()
        page = _socket(member)
        assert await _is_accepted(page)
        assert await page.receive_nothing(timeout=0.2)  # several looks, and it is still a member
        await end()
        closing = await page.receive_output(timeout=10)
        assert (closing["type"], closing["code"]) == ("websocket.close", 4403)
        await page.send_input({"type": "websocket.disconnect", "code": 4403})
        await page.wait(timeout=5)

    asyncio.run(scene())


class HangingLayer:
    """Stands in for Redis that accepts connections and answers nothing."""

    def __init__(self, **_: object) -> None:
        self.asked: list[dict[str, object]] = []

    async def group_send(self, _group: str, message: dict[str, object]) -> None:
        self.asked.append(message)
        await asyncio.sleep(3600)


def test_who_announces_waits_for_no_channel_layer_and_a_burst_is_sent_twice(monkeypatch, caplog):
    """Each judgment announces itself: with Redis frozen, each one held a thread of the pages for five seconds."""
    layer = HangingLayer()
    monkeypatch.setattr(live, "get_channel_layer", lambda: layer)
    monkeypatch.setattr(live, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(live, "AGAIN_AFTER_SECONDS", 0.1)
    monkeypatch.setattr(live, "_PACE", live._Pace())
    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: 100.0))  # all of it happens at one moment
    for _ in range(500):
        live.announce(1, "queue")
    live.end_membership(1, 7)
    live.wait(list(live._under_way), 30)
    told = sorted(str(message["type"]) for message in layer.asked)
    assert told == ["look.again", "look.again", "membership.ended"]
    assert "Could not announce" in caplog.text


@pytest.mark.skipif("REDIS_URL" not in os.environ, reason="counts the connections to a real Redis")
def test_announcements_share_one_connection_to_redis():
    server = redis.Redis.from_url(os.environ["REDIS_URL"])
    live.end_membership(1, 7)
    live.wait(list(live._under_way), 30)
    before = server.info("stats")["total_connections_received"]
    for _ in range(50):
        live.end_membership(1, 7)
    live.wait(list(live._under_way), 30)
    assert server.info("stats")["total_connections_received"] - before < 5  # another test may open some
