"""Webhooks against a real server of our own: what it is told, when, how often, and what it can check."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import re
import socket
import threading
import time
import uuid
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from annotation import clock, outgoing
from annotation.actions import snapshots
from annotation.delivery import post, webhooks
from annotation.models import Delivery, DeliveryStatus, Event, Ranking, Webhook
from training.actions import rounds
from training.models import TrainingRound, TrainingRun
from training.worker.loop import Worker

pytestmark = [pytest.mark.django_db, pytest.mark.database]
API = "/api/v1/projects/letters/webhooks/"
KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


class Receiver(ThreadingHTTPServer):
    """Answers with the statuses it is given, one after the other, and 200 after that."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.statuses: list[int] = []
        self.got: list[tuple[dict[str, str], str]] = []
        self.says = b"thank you"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/told?by=prefloop"

    @property
    def bodies(self) -> list[dict]:
        return [json.loads(body) for _, body in self.got]


class Answers(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        self.send_response(status)
        if status in (301, 302, 307):
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(self.server.says)))
        self.end_headers()
        self.wfile.write(self.server.says)

    def log_message(self, *args) -> None: ...


@pytest.fixture
def receiver(settings):
    settings.WEBHOOK_PRIVATE_ADDRESSES = True
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def hook(alice, receiver) -> Webhook:
    """Told of everything, added on the page."""
    fields = {"url": receiver.url, "secret": SECRET}
    events = ["judgment.submitted", "snapshot.taken", "round.finished"]
    alice.post("/projects/letters/webhooks/", {**fields, "events": events})
    return Webhook.objects.get()


def deliver() -> None:
    call_command("deliver_webhooks", "--until-idle")


def let_time_pass() -> None:
    """As long as the wait for the next attempt is."""
    Delivery.objects.filter(status=DeliveryStatus.PENDING).update(next_attempt_at=clock.now())


def verified(secret_key: bytes, headers: dict[str, str], body: str) -> bool:
    """As a receiver checks it, by the words of the Standard Webhooks specification."""
    signed = ".".join([headers["webhook-id"], headers["webhook-timestamp"], body])
    expected = base64.b64encode(hmac.new(secret_key, signed.encode(), hashlib.sha256).digest()).decode()
    version, _, given = headers["webhook-signature"].partition(",")
    return version == "v1" and hmac.compare_digest(expected, given)


def test_the_signature_is_that_of_the_specification():
    """The example that the libraries of standardwebhooks.com are tested with."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", '{"test": 2432232314}'
    signature = post.signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_judgment_is_told_signed(hook, receiver, annotator, as_user, open_ranking_task, project):
    task = open_ranking_task(["Ja.", "Nein – ≠."])
    client = as_user(annotator)
    seat = client.post("/api/v1/projects/letters/tasks/claim/").json()
    body = {"client_uuid": str(uuid.uuid4()), "tiers": [[each["id"]] for each in seat["candidates"]]}
    for _ in range(2):  # sent twice, stored and told once
        submit = f"/api/v1/projects/letters/assignments/{seat['id']}/submit/"
        assert client.post(submit, body, content_type="application/json").status_code == 200
    assert receiver.got == []  # nobody who judges waits for another server
    deliver()
    [(headers, told)] = receiver.got
    assert verified(KEY, headers, told)
    assert not verified(KEY, headers, told.replace("ranking", "rankinG"))
    assert not verified(b"another key, 24 bytes...", headers, told)
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 10
    assert headers["content-type"] == "application/json"
    assert json.loads(told)["type"] == "judgment.submitted"
    assert json.loads(told)["data"] == {
        "project": "letters",
        "judgment_id": Ranking.objects.get().pk,
        "kind": "ranking",
        "task_id": task.pk,
        "prompt_id": task.prompt_id,
        "annotator_id": annotator.pk,
    }


def test_a_snapshot_and_the_end_of_a_round_are_told(hook, receiver, alice, project, policy, ranked_task, admin):
    alice.post("/api/v1/projects/letters/snapshots/", {}, content_type="application/json")
    started = alice.post("/api/v1/projects/letters/rounds/", {"methods": ["sample"]}, content_type="application/json")
    assert started.status_code == 201
    alice.post("/projects/letters/rounds/1/cancel/")
    deliver()
    assert [(body["type"], body["data"].get("number")) for body in receiver.bodies] == [
        ("judgment.submitted", None),
        ("snapshot.taken", 1),
        ("round.finished", 1),
    ]
    assert receiver.bodies[1]["data"]["rows"] == 3
    assert receiver.bodies[2]["data"]["status"] == "cancelled"
    assert receiver.bodies[2]["data"]["reason"] == "Cancelled by alice."


def test_a_round_that_fails_is_told_by_the_worker(hook, receiver, project, policy):
    round = TrainingRound.objects.create(project=project, number=1)
    TrainingRun.objects.create(round=round, position=0, method="reward")  # without a snapshot it cannot be prepared
    Worker().run_until_idle()
    assert [body["data"]["status"] for body in receiver.bodies] == ["failed"]
    assert receiver.bodies[0]["type"] == "round.finished"


def test_only_the_events_that_were_asked_for_and_of_that_project(alice, receiver, ranked_task, project, settings):
    settings.PROJECT_CREATORS = "all"
    alice.post("/projects/letters/webhooks/", {"url": receiver.url, "events": ["snapshot.taken"]})
    alice.post("/api/v1/projects/", {"name": "Other"}, content_type="application/json")
    alice.post("/projects/other/webhooks/", {"url": receiver.url, "events": ["snapshot.taken"]})
    ranked_task()
    alice.post("/api/v1/projects/letters/snapshots/", {}, content_type="application/json")
    deliver()
    assert [(body["type"], body["data"]["project"]) for body in receiver.bodies] == [("snapshot.taken", "letters")]


def test_what_is_rolled_back_is_told_to_nobody(hook, receiver, project, admin, ranked_task):
    deliver()
    receiver.got.clear()
    with transaction.atomic():
        snapshots.take_snapshot(project=project, by=admin)
        assert Delivery.objects.filter(event="snapshot.taken").exists()
        transaction.set_rollback(True)
    assert project.snapshots.count() == 0
    deliver()
    assert receiver.got == []


def test_a_round_that_is_over_is_told_once(hook, receiver, project, admin):
    round = TrainingRound.objects.create(project=project, number=1)
    rounds.cancel_round(round=round, by=admin)
    with pytest.raises(Exception, match="already over"):
        rounds.cancel_round(round=round, by=admin)
    deliver()
    assert len(receiver.got) == 1


def test_a_500_is_tried_again_with_the_same_id_and_a_200_stops(hook, receiver, alice):
    receiver.statuses = [500, 503]
    alice.post(f"{API}{hook.pk}/test/")
    waits = []
    for _ in range(3):
        deliver()
        waits.append(Delivery.objects.get().next_attempt_at - timezone.now())
        let_time_pass()
    assert len(receiver.got) == 3
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len({body for _, body in receiver.got}) == 1
    assert all(verified(KEY, headers, body) for headers, body in receiver.got)
    # Ten seconds after the first failure and forty after the second, a quarter more or less.
    assert timedelta(seconds=7) < waits[0] < timedelta(seconds=13)
    assert timedelta(seconds=29) < waits[1] < timedelta(seconds=51)
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.attempts, delivery.last_status) == ("delivered", 3, 200)
    assert delivery.last_answer == "thank you"
    deliver()
    assert len(receiver.got) == 3


def test_nothing_is_tried_before_its_time(hook, receiver, alice):
    receiver.statuses = [500]
    alice.post(f"{API}{hook.pk}/test/")
    deliver()
    deliver()
    assert len(receiver.got) == 1


def test_after_the_last_attempt_it_has_failed_and_can_be_sent_again(hook, receiver, alice, settings):
    settings.WEBHOOK_ATTEMPTS = 3
    receiver.statuses = [500] * 4
    receiver.says = b"<b>out of order</b>\0"
    alice.post(f"/projects/letters/webhooks/{hook.pk}/test/")
    for _ in range(5):
        deliver()
        let_time_pass()
    assert len(receiver.got) == 3
    page = alice.get(f"/projects/letters/webhooks/{hook.pk}/").content.decode()
    assert "Failed" in page
    assert "&lt;b&gt;out of order&lt;/b&gt;" in page
    assert "\0" not in page
    again = re.search(r'action="(/projects/letters/webhooks/\d+/\d+/again/)"', page)
    alice.post(again[1])
    deliver()  # the fourth 500
    assert Delivery.objects.get().status == "pending"
    let_time_pass()
    deliver()
    assert Delivery.objects.get().status == "delivered"
    assert Delivery.objects.get().attempts == 5
    assert "Delivered" in alice.get(f"/projects/letters/webhooks/{hook.pk}/").content.decode()


def test_the_order_is_kept_and_one_webhook_does_not_hold_up_another(hook, receiver, alice, settings):
    receiver.statuses = [500]
    ids = [alice.post(f"{API}{hook.pk}/test/").json()["message_id"] for _ in range(3)]
    deliver()
    assert [headers["webhook-id"] for headers, _ in receiver.got] == ids[:1]
    other = alice.post(API, {"url": receiver.url, "events": ["snapshot.taken"]}, content_type="application/json").json()
    theirs = alice.post(f"{API}{other['id']}/test/").json()["message_id"]
    deliver()
    let_time_pass()
    deliver()
    assert [headers["webhook-id"] for headers, _ in receiver.got] == [ids[0], theirs, *ids]


def test_an_attempt_whose_worker_died_is_made_again_and_the_late_one_changes_nothing(hook, receiver, alice):
    alice.post(f"{API}{hook.pk}/test/")
    taken = webhooks._claim()
    assert taken is not None
    deliver()
    assert receiver.got == []  # somebody is at it
    let_time_pass()
    deliver()
    webhooks._settle(taken, post.HookResponse(500, "late"))
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.last_answer, delivery.attempts) == ("delivered", "thank you", 2)


def test_a_worker_that_died_at_the_last_attempt_leaves_a_failure(hook, receiver, alice, settings):
    settings.WEBHOOK_ATTEMPTS = 1
    alice.post(f"{API}{hook.pk}/test/")
    webhooks._claim()
    let_time_pass()
    deliver()
    assert Delivery.objects.get().status == "failed"
    assert receiver.got == []


def test_redirects_are_not_followed(hook, receiver, alice):
    receiver.statuses = [302]
    alice.post(f"{API}{hook.pk}/test/")
    deliver()
    assert len(receiver.got) == 1
    assert Delivery.objects.get().last_status == 302
    assert Delivery.objects.get().status == "pending"


def test_a_private_address_is_refused_when_it_is_sent(hook, receiver, alice, settings):
    settings.WEBHOOK_PRIVATE_ADDRESSES = False
    alice.post(f"{API}{hook.pk}/test/")
    deliver()
    assert receiver.got == []
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.attempts, delivery.last_status) == ("failed", 1, None)
    assert delivery.last_answer == "127.0.0.1 is 127.0.0.1, which is not a public address."


def test_a_name_that_leads_inside_is_refused_whatever_else_it_stands_for(hook, receiver, settings, monkeypatch):
    settings.WEBHOOK_PRIVATE_ADDRESSES = False
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("93.184.215.14", "10.0.0.7")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
    answer = post.post("http://two-faced.example/", {}, "{}")
    assert answer.hopeless
    assert answer.text == "two-faced.example is 10.0.0.7, which is not a public address."


def test_a_name_is_looked_up_once_so_that_it_cannot_change_after_the_check(receiver, monkeypatch):
    asked = []
    here = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", receiver.server_port))]
    real = socket.getaddrinfo

    def look_up(host, *args, **kwargs):
        asked.append(host)
        return here if host == "fickle.example" else real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    answer = post.post(f"http://fickle.example:{receiver.server_port}/", {}, "{}")
    assert answer.status == 200
    assert asked.count("fickle.example") == 1
    assert receiver.got[0][0]["host"] == f"fickle.example:{receiver.server_port}"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "::ffff:0:7f00:1",
        "fec0::1",
        "2002:7f00:1::",
        "::127.0.0.1",
        "192.0.0.8",
        "192.88.99.1",
        "3fff::1",
        "5f00::1",
    ],
)
def test_addresses_that_are_not_public(address):
    assert not outgoing.is_public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_that_are_public(address):
    assert outgoing.is_public(address)


def test_an_address_where_nobody_answers_is_tried_again(hook, receiver, alice):
    Webhook.objects.update(url="http://127.0.0.1:9/")
    alice.post(f"{API}{hook.pk}/test/")
    deliver()
    delivery = Delivery.objects.get()
    assert delivery.status == "pending"
    assert delivery.last_answer.startswith("No answer: ")


def test_an_answer_that_drips_ends_with_the_time_for_all_of_it(settings, monkeypatch):
    settings.WEBHOOK_PRIVATE_ADDRESSES = True
    monkeypatch.setattr(post, "WHOLE_SECONDS", 0.6)
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def drip() -> None:
        line, _ = listener.accept()
        with line, contextlib.suppress(OSError):
            line.send(b"HTTP/1.1 200 OK")
            while not over.wait(0.1):  # for as long as anybody listens
                line.send(b" ")

    threading.Thread(target=drip, daemon=True).start()
    answer = post.post(f"http://127.0.0.1:{listener.getsockname()[1]}/", {}, "{}")
    over.set()
    listener.close()
    assert answer == post.HookResponse(None, "No answer within 0.6 seconds.")


def test_a_long_answer_is_cut_and_a_plain_server_behind_https_is_no_answer(hook, receiver):
    receiver.says = b"x" * 100_000
    assert len(post.post(receiver.url, {}, "{}").text) == 2000
    answer = post.post(receiver.url.replace("http:", "https:"), {}, "{}")
    assert answer.status is None
    assert not answer.hopeless


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"url": "ftp://example.org/"}, "should be an address such as http"),
        ({"url": "https://me:secret@example.org/"}, "should hold no name and no password"),
        ({"url": "nowhere"}, "Enter a valid URL"),
        ({"events": []}, "at least one event"),
        ({"events": ["webhook.test"]}, "not one of the available choices"),
        ({"secret": "short"}, "24 to 64 bytes"),
        ({"secret": "whsec_AAAA"}, "24 to 64 bytes"),
        ({"secret": "whsec_" + "ä" * 40}, "24 to 64 bytes"),
    ],
)
def test_what_is_no_webhook_is_refused_in_words(alice, project, fields, message):
    good = {"url": "https://example.org/told", "events": ["snapshot.taken"]}
    assert message in alice.post("/projects/letters/webhooks/", good | fields).content.decode()
    refused = alice.post(API, good | fields, content_type="application/json")
    assert refused.status_code == 400
    assert message in json.dumps(refused.json(), ensure_ascii=False)
    assert not Webhook.objects.exists()


def test_a_secret_is_made_where_none_is_given_and_told_once_over_the_api(alice, project):
    body = {"url": "https://example.org/told", "events": ["snapshot.taken", "round.finished"]}
    made = alice.post(API, body, content_type="application/json")
    assert made.status_code == 201
    assert len(base64.b64decode(made.json()["secret"].removeprefix("whsec_"))) == 32
    [listed] = alice.get(API).json()["results"]
    assert listed["events"] == ["snapshot.taken", "round.finished"]
    assert "secret" not in listed
    assert alice.delete(f"{API}{listed['id']}/").status_code == 204
    assert alice.get(API).json()["results"] == []


def test_the_embedded_worker_delivers_while_it_has_other_work(hook, receiver, alice, settings, monkeypatch):
    """In the loop of `serve` and of `run_worker` a run may take hours; a webhook does not wait for its end."""
    told = threading.Event()
    worker = Worker()
    monkeypatch.setattr(webhooks, "deliver_next", lambda: told.set())
    monkeypatch.setattr(worker, "work_once", lambda: told.wait(20))
    thread = threading.Thread(target=worker.run_forever, daemon=True)
    thread.start()
    assert told.wait(10)
    worker.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_the_database_refuses_what_no_delivery_can_be(hook, receiver, alice):
    alice.post(f"{API}{hook.pk}/test/")
    for wrong in ({"finished_at": timezone.now()}, {"status": "delivered"}, {"attempts": 99}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Delivery.objects.update(**wrong)
    with pytest.raises(IntegrityError), transaction.atomic():
        Webhook.objects.update(events="")
    assert Event.TEST not in hook.events.split()


def test_the_page_looks_again_by_itself_while_something_waits(hook, receiver, alice):
    address = f"/projects/letters/webhooks/{hook.pk}/"
    alice.post(f"{address}test/")
    waiting = alice.get(address, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in waiting
    assert "every 3s" in waiting
    deliver()
    assert "every 3s" not in alice.get(address, headers={"HX-Request": "true"}).content.decode()
    assert SECRET in alice.get(address).content.decode()
    alice.post(f"{address}remove/")
    assert not Webhook.objects.exists()
