"""`/metrics` as Prometheus reads it, and the log line of each request."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import timedelta

import pytest
from django.db import OperationalError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from prometheus_client.parser import text_string_to_metric_families

from annotation import clock
from annotation.actions import queue
from annotation.models import Assignment, Delivery, Event, Webhook
from frontend.serving import bodies, health, metrics, pages
from frontend.serving.log_lines import JsonLines, Lines, answering
from training.actions.rounds import start_round
from training.models import TrainingRun, WorkerSign

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture(autouse=True)
def _token(settings):
    settings.METRICS_TOKEN = "secret"
    yield
    health._thread.submit(connections.close_all).result()


def ask(authorization: str = "Bearer secret", path: str = "/metrics") -> tuple[int, str]:
    """Return the status and the text of an answer; a path that is passed on is a 404."""
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    async def elsewhere(*_: object) -> None:
        sent[:] = [{"status": 404}, {"body": b""}]

    async def scene() -> None:
        headers = [(b"authorization", authorization.encode())] if authorization else []
        await metrics.Metrics(elsewhere)({"type": "http", "path": path, "headers": headers}, None, send)

    asyncio.run(scene())
    return sent[0]["status"], sent[1]["body"].decode()


def figures() -> dict[tuple[str, ...], float]:
    """Return all values by name and labels, these in the order of their names, as Prometheus' own parser reads them."""
    status, text = ask()
    assert status == 200
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, *(text for _, text in sorted(sample.labels.items()))): sample.value for sample in found}


def test_only_those_with_the_token_read_it_and_without_one_it_is_not_there(settings):
    assert ask("")[0] == ask("Bearer wrong")[0] == ask("Basic secret")[0] == 401
    assert ask(path="/")[0] == 404
    settings.METRICS_TOKEN = ""
    assert ask()[0] == ask("Bearer ")[0] == 404


def test_queue_leases_runs_deliveries_and_workers(project, policy, admin, annotator, open_ranking_task):
    before = figures()
    assert before["prefloop_database_up",] == 1
    assert ("prefloop_worker_silent_seconds",) not in before
    for _ in range(3):
        open_ranking_task(["a", "b"], seats=2)
    for person in (admin, annotator):
        queue.claim_next(project=project, by=person)
    Assignment.objects.filter(annotator=annotator).update(expires_at=clock.now() - timedelta(seconds=1))
    start_round(project=project, methods=["sample"], by=None)
    TrainingRun.objects.update(status="running", attempt=1, heartbeat_at=clock.now() - timedelta(seconds=90))
    hook = Webhook.objects.create(project=project, url="https://a.example.org/", secret="s", events=Event.JUDGMENT)
    behind = Webhook.objects.create(project=project, url="https://b.example.org/", secret="s", events=Event.JUDGMENT)
    for to, minutes in ((hook, -10), (hook, 10), (behind, 30), (behind, -60)):  # the last one waits for its first
        due = clock.now() + timedelta(minutes=minutes)
        one = {"webhook": to, "event": Event.JUDGMENT, "body": "{}", "attempts_allowed": 8, "next_attempt_at": due}
        Delivery.objects.create(**one)
    WorkerSign.objects.create(name="here:1", seen_at=clock.now() - timedelta(seconds=30))
    found = figures()
    assert {state: found["prefloop_assignments", state] for state in ("empty", "held", "lapsed")} == {
        "empty": 4,
        "held": 1,
        "lapsed": 1,
    }
    assert (found["prefloop_runs", "running"], found["prefloop_runs", "failed"]) == (1, 0)
    assert 90 <= found["prefloop_run_silent_seconds",] < 600
    assert found["prefloop_messages_waiting", "webhook"] == 4
    assert 600 <= found["prefloop_messages_overdue_seconds", "webhook"] < 1200
    assert found["prefloop_messages_overdue_seconds", "mail"] == 0
    assert 30 <= found["prefloop_worker_silent_seconds",] < 600
    assert found["process_open_fds",] > 0


def test_requests_are_counted_by_view_and_never_by_address(project, alice, stranger, as_user):
    outside, address = as_user(stranger), project.get_absolute_url()
    before = figures()
    assert alice.get(address).status_code == 200
    assert outside.get(address).status_code == 404
    assert alice.generic("BREW", "/nowhere/at/all/").status_code == 404
    asyncio.run(pages.send_refusal(nothing, bodies.RequestRefused(413, "Too large", "Send less.")))
    after = figures()
    grown = {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)}
    counted = {key: value for key, value in grown.items() if key[0] == "prefloop_requests_total"}
    assert counted == {
        ("prefloop_requests_total", "GET", "200", "project"): 1,
        ("prefloop_requests_total", "GET", "404", "project"): 1,
        ("prefloop_requests_total", "other", "404", "none"): 1,
    }
    assert grown["prefloop_request_seconds_count", "project"] == 2
    assert grown["prefloop_refused_requests_total", "413"] == 1
    assert project.slug not in ask()[1]


async def nothing(_message: dict) -> None: ...


def test_without_the_database_the_process_answers_for_itself_and_later_for_all(monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(BaseDatabaseWrapper, "cursor", fails)
        found = figures()
    assert found["prefloop_database_up",] == 0
    assert ("prefloop_runs", "running") not in found
    assert found["process_open_fds",] > 0
    if connection.vendor == "postgresql":  # its restart breaks the connection that the thread keeps
        assert figures()["prefloop_database_up",] == 1
        health._thread.submit(lambda: connections["default"].connection.close()).result()
    assert figures()["prefloop_database_up",] == 1


def fails(*_: object, **__: object) -> None:
    raise OperationalError("the server closed the connection unexpectedly")


def test_each_answer_has_an_id_and_its_lines_have_it(project, alice, admin, caplog, monkeypatch):
    written: list[str] = []
    monkeypatch.setattr(caplog.handler, "emit", lambda record: written.append(JsonLines().format(record)))
    caplog.set_level(logging.INFO, logger="prefloop.requests")
    answer = alice.get(project.get_absolute_url(), headers={"x-request-id": "proxy-0001"})
    assert answer.headers["X-Request-ID"] == "proxy-0001"
    line = json.loads(written[-1])
    assert (line["logger"], line["request_id"], line["level"]) == ("prefloop.requests", "proxy-0001", "INFO")
    shown = {name: line[name] for name in ("method", "view", "status", "slug", "user_id")}
    assert shown == {"method": "GET", "view": "project", "status": 200, "slug": project.slug, "user_id": admin.pk}
    for bad in ("short", "x" * 65, "two words and more", "line\r\nbreak-1"):
        assert len(alice.get("/", headers={"x-request-id": bad}).headers["X-Request-ID"]) == 32
    alice.get("/invitation/a-secret-key/")
    assert "a-secret-key" not in written[-1]


def test_lines_outside_of_a_request_have_no_id_and_errors_are_whole():
    record = logging.LogRecord("training", logging.ERROR, __file__, 1, "Run %d", (7,), None)
    record.request = "what Django puts there"
    lines = Lines("{levelname} {name}{of_request}: {message}", style="{")
    assert lines.format(record) == "ERROR training: Run 7"
    with answering("proxy-0001"):
        assert lines.format(record) == "ERROR training [proxy-0001]: Run 7"
    assert record.request == "what Django puts there"
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    line = json.loads(JsonLines().format(record))
    assert "request_id" not in line
    assert line["exception"].endswith("ValueError: two\nlines")
    assert "\n" not in JsonLines().format(record)
