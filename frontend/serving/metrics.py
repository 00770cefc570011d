"""Figures for Prometheus at `/metrics`, for those who send PREFLOOP_METRICS_TOKEN; without that setting there are none.

Requests and the process's own figures are counted where they happen; queue, leases, runs, deliveries and workers are
read from the database when they are asked for. Of several processes behind one address each counts its own requests,
unless PROMETHEUS_MULTIPROC_DIR names an empty folder that all of them write into.
"""

from __future__ import annotations

import hmac
import logging
import os
from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.db.models import Count, Max, Min
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from annotation import clock
from annotation.delivery import webhooks
from annotation.models import Assignment, Delivery, MailMessage, SeatStatus
from frontend.serving import health
from training.models import RoundStatus, RunStatus, TrainingRound, TrainingRun, WorkerSign

logger = logging.getLogger(__name__)
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
PATH = "/metrics"

OF_PROCESS = CollectorRegistry()
REQUESTS = Counter(
    "prefloop_requests", "Requests that were answered by a page.", ["method", "view", "status"], registry=OF_PROCESS
)
REFUSED = Counter(
    "prefloop_refused_requests", "Requests that were refused before a page saw them.", ["status"], registry=OF_PROCESS
)
SECONDS = Histogram(
    "prefloop_request_seconds", "Time that a page took to answer.", ["view"], buckets=BUCKETS, registry=OF_PROCESS
)
ProcessCollector(registry=OF_PROCESS)
GCCollector(registry=OF_PROCESS)


class DatabaseFigures(Collector):
    """What the database knows, read anew each time."""

    def collect(self) -> Iterable[Metric]:
        """Return the figures; `prefloop_database_up` is 0, and alone, where the database does not answer."""
        try:
            figures, up = list(_figures()), 1.0
        except (DatabaseError, InterfaceError):
            logger.warning("%s: the database does not answer", PATH, exc_info=True)
            figures, up = [], 0.0
        return [GaugeMetricFamily("prefloop_database_up", "1 if the database answers.", value=up), *figures]


def _figures() -> Iterator[Metric]:
    yield _seats()
    yield from _runs()
    yield from _messages()
    now, seen = clock.now(), WorkerSign.objects.aggregate(at=Max("seen_at"))["at"]
    if seen:
        yield _gauge("prefloop_worker_silent_seconds", "Since a worker gave a sign.", (now - seen).total_seconds())


def _seats() -> Metric:
    """Return how many annotations are open, reserved by a person, and reserved although the time for it is over."""
    seats = GaugeMetricFamily("prefloop_assignments", "Annotations that are not done, by state.", labels=["state"])
    held = Assignment.objects.filter(status=SeatStatus.HELD)
    lapsed = held.filter(expires_at__lt=clock.now()).count()
    seats.add_metric(["empty"], Assignment.objects.filter(status=SeatStatus.EMPTY).count())
    seats.add_metric(["held"], held.count() - lapsed)
    seats.add_metric(["lapsed"], lapsed)
    return seats


def _runs() -> Iterator[Metric]:
    runs = GaugeMetricFamily("prefloop_runs", "Runs of training rounds, by status.", labels=["status"])
    counted = dict(TrainingRun.objects.order_by().values_list("status").annotate(number=Count("pk")))
    for status in RunStatus:
        runs.add_metric([status.value], counted.get(status.value, 0))
    yield runs
    now, queued = clock.now(), TrainingRound.objects.filter(status=RoundStatus.QUEUED)
    since = queued.aggregate(at=Min("created_at"))["at"]
    yield _gauge("prefloop_round_queued_seconds", "For how long a round has waited to begin.", _age(now, since))
    beat = TrainingRun.objects.filter(status=RunStatus.RUNNING).aggregate(at=Min("heartbeat_at"))["at"]
    yield _gauge("prefloop_run_silent_seconds", "Since the quietest running run gave a sign.", _age(now, beat))


def _messages() -> Iterator[Metric]:
    waiting = GaugeMetricFamily("prefloop_messages_waiting", "Messages that wait to be sent.", labels=["kind"])
    overdue = GaugeMetricFamily(
        "prefloop_messages_overdue_seconds", "Since the next attempt of a message was due.", labels=["kind"]
    )
    now = clock.now()
    attempted_next = {"webhook": webhooks.next_of_each(), "mail": MailMessage.objects.pending()}
    for kind, model in (("webhook", Delivery), ("mail", MailMessage)):
        waiting.add_metric([kind], model.objects.pending().count())
        overdue.add_metric([kind], _age(now, attempted_next[kind].aggregate(due=Min("next_attempt_at"))["due"]))
    yield waiting
    yield overdue


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value=value)


def _age(now: Any, since: Any) -> float:
    """Return the seconds since a moment; 0 where there is none, or it is still to come."""
    return max(0.0, (now - since).total_seconds()) if since else 0.0


OF_DATABASE = CollectorRegistry()
OF_DATABASE.register(DatabaseFigures())


def requests_of_all() -> bytes:
    """Return the figures of this process, or of all that write into PROMETHEUS_MULTIPROC_DIR."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return bytes(generate_latest(OF_PROCESS))
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return bytes(generate_latest(registry))


class Metrics:
    """The ASGI application of `/metrics`; passes every other request on."""

    def __init__(self, pages: Any) -> None:
        self.pages = pages

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"] != PATH or not settings.METRICS_TOKEN:
            await self.pages(scope, receive, send)
        elif not _is_known(dict(scope["headers"]).get(b"authorization", b"")):
            await _answer(send, 401, b"text/plain; charset=utf-8", b"Send PREFLOOP_METRICS_TOKEN as a bearer token.")
        else:
            text = await health.beside_pages(lambda: bytes(generate_latest(OF_DATABASE)), b"prefloop_database_up 0.0\n")
            await _answer(send, 200, CONTENT_TYPE_LATEST.encode(), text + requests_of_all())


def _is_known(authorization: bytes) -> bool:
    return hmac.compare_digest(authorization, f"Bearer {settings.METRICS_TOKEN}".encode())


async def _answer(send: Any, status: int, kind: bytes, body: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
