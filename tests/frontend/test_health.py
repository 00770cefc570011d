"""`/ready/` by HTTP messages: 503 where people cannot judge, "degraded" where only the worker is silent."""

from __future__ import annotations

import asyncio
import json
import shutil
from datetime import timedelta

import pytest
from django.db import OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from frontend.serving import health
from training.models import WorkerSign

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]
ALL_OK = dict.fromkeys(("database", "disk", "channel_layer", "worker"), "ok")


@pytest.fixture(autouse=True)
def _home(settings, tmp_path):
    settings.HOME = tmp_path
    yield
    health._thread.submit(connections.close_all).result()


def ask(path: str = "/ready/") -> tuple[int, dict[str, str]]:
    """Return the status and the JSON of an answer."""
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    async def scene() -> None:
        await health.Health(None)({"type": "http", "path": path}, None, send)

    asyncio.run(scene())
    return sent[0]["status"], json.loads(sent[1]["body"])


def seen(seconds_ago: float) -> None:
    WorkerSign.objects.create(name="here:1", seen_at=timezone.now() - timedelta(seconds=seconds_ago))


def test_all_works():
    seen(1)
    assert ask() == (200, {"status": "ok", **ALL_OK})


def test_a_silent_worker_is_degraded_and_no_reason_to_send_people_away(settings):
    settings.TRAINING_HEARTBEAT_TIMEOUT_SECONDS = 60
    seen(600)
    status, said = ask()
    assert (status, said["status"]) == (200, "degraded")
    assert said["worker"].startswith("silent for 6")


def test_no_worker_yet_is_degraded():
    status, said = ask()
    assert (status, said["status"], said["worker"]) == (200, "degraded", "none has reported yet")


def test_a_database_that_fails_is_503_without_its_words(monkeypatch):
    def fail(*_args, **_kwargs):
        raise OperationalError("password authentication failed for user prefloop")

    monkeypatch.setattr(BaseDatabaseWrapper, "cursor", fail)
    status, said = ask()
    assert (status, said["status"]) == (503, "unavailable")
    assert "password" not in json.dumps(said)
    assert ask("/health/") == (200, {"status": "ok"})


def test_a_database_that_does_not_answer_is_503(monkeypatch):
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(health, "_database", lambda: __import__("time").sleep(1))
    assert ask()[0] == 503


def test_a_full_disk_is_503(monkeypatch):
    seen(1)
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=5 * 2**20))
    assert ask() == (503, {"status": "unavailable", **ALL_OK, "disk": "only 5 MB free in PREFLOOP_HOME"})


def test_a_home_that_cannot_be_written_is_503(settings, tmp_path):
    seen(1)
    settings.HOME = tmp_path / "gone"
    assert ask()[0] == 503


def test_a_channel_layer_that_cannot_be_reached_is_503(settings):
    """Redis where nothing listens: its driver raises exceptions of its own."""
    pytest.importorskip("channels_redis")
    seen(1)
    backend = "channels_redis.pubsub.RedisPubSubChannelLayer"
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend, "CONFIG": {"hosts": ["redis://127.0.0.1:1"]}}}
    status, said = ask()
    assert (status, said["status"]) == (503, "unavailable")
    assert said["channel_layer"] != "ok"
    assert said["database"] == "ok"
