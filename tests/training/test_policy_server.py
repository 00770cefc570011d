"""The served policy: a real process with tiny models, asked over HTTP as products do, and feedback on what it said."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client
from django.utils import timezone

from annotation.actions import feedback_erasure
from annotation.actions.tokens import make_token
from annotation.models import Completion, Feedback, PolicyVersion, Prompt, Scope, ServedResponse
from tests.tiny_model import tiny_checkpoint
from training.products.promotions import store_promotion
from training.worker.policy_server import PolicyServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database, pytest.mark.recipes]
ASKED = {"messages": [{"role": "user", "content": "How is the sea?"}], "max_tokens": 6, "seed": 1}
FEEDBACK = "/api/v1/projects/letters/feedback/"


@pytest.fixture
def versions(project, policy, tmp_path) -> list[PolicyVersion]:
    policy.checkpoint = str(tiny_checkpoint(tmp_path / "base"))
    policy.save()
    other = tiny_checkpoint(tmp_path / "other", seed=1)
    return [policy, PolicyVersion.objects.create(project=project, number=1, checkpoint=str(other), parent=policy)]


@pytest.fixture
def serve(project, versions, forked_recipes):
    """Serve the project on a free port, in a thread; return the port."""
    running: list[tuple[PolicyServer, threading.Thread]] = []

    def begin(**shares: float) -> int:
        server = PolicyServer(project, ("127.0.0.1", 0), {int(name[1:]): share for name, share in shares.items()})
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.append((server, thread))
        return server.server_port

    yield begin
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def token(admin) -> str:
    return make_token(user=admin, name="product", scopes=[Scope.SERVE, Scope.FEEDBACK])[1]


def ask(port: int, token: str, body: dict | None = None, path: str = "/v1/chat/completions") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connection.request("GET" if body is None else "POST", path, body and json.dumps(body), headers)
    response = connection.getresponse()
    found = response.status, response.read()
    connection.close()
    return found


def said(port: int, token: str, **more) -> dict:
    status, content = ask(port, token, {**ASKED, **more})
    assert status == 200, content
    return json.loads(content)


def test_a_response_is_served_plain_and_streamed_and_takes_feedback_by_its_id(project, serve, token, versions):
    port = serve()
    store_promotion(policy=versions[1], by=None, why="better")
    plain = said(port, token, user="u7", model="policy", top_p=1, stop=None)
    assert (plain["object"], plain["model"], plain["choices"][0]["message"]["role"]) == (
        "chat.completion",
        "v1",
        "assistant",
    )
    assert plain["usage"]["total_tokens"] == plain["usage"]["prompt_tokens"] + plain["usage"]["completion_tokens"]
    status, content = ask(port, token, {**ASKED, "stream": True})
    events = [line.removeprefix("data: ") for line in content.decode().split("\n\n") if line]
    assert (status, events[-1]) == (200, "[DONE]")
    chunks = [json.loads(event) for event in events[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert text == plain["choices"][0]["message"]["content"]  # of the same seed
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-2:] == [
        None,
        plain["choices"][0]["finish_reason"],
    ]
    assert not Completion.objects.exists()

    product = Client(headers={"Authorization": f"Bearer {token}"})
    sent = {"key": "a", "response_id": plain["id"], "thumb": "up", "user": "u7"}
    assert product.post(FEEDBACK, sent, content_type="application/json").json()["status"] == "created"
    assert product.post(FEEDBACK, sent, content_type="application/json").json()["status"] == "unchanged"
    completion = Completion.objects.get()
    assert (completion.policy, completion.text) == (versions[1], text)
    assert (Feedback.objects.get().version, completion.prompt.messages) == ("v1", ASKED["messages"])
    unknown = {**sent, "key": "b", "response_id": f"chatcmpl-{'0' * 32}"}
    refused = product.post(FEEDBACK, unknown, content_type="application/json").json()
    assert "is kept: it was never served here" in refused["errors"]["response_id"]

    assert feedback_erasure.erase_user(project=project, user="u7", by=None).deleted == 2
    assert not Completion.objects.exists()
    assert not Prompt.objects.exists()
    ServedResponse.objects.update(created_at=timezone.now() - timedelta(days=31))
    feedback_erasure.delete_old()
    assert not ServedResponse.objects.exists()


def test_a_promotion_counts_from_the_next_request_on_and_drops_none(serve, token, versions):
    port = serve()
    store_promotion(policy=versions[0], by=None, why="first")
    found: list[tuple[int, str]] = []
    go_on = threading.Event()

    def keep_asking() -> None:
        while not go_on.is_set():
            status, content = ask(port, token, ASKED)
            found.append((status, json.loads(content).get("model", "")))
        connections.close_all()

    threads = [threading.Thread(target=keep_asking) for _ in range(2)]
    for thread in threads:
        thread.start()
    while len(found) < 3:
        go_on.wait(0.02)
    store_promotion(policy=versions[1], by=None, why="better")
    while sum(model == "v1" for _, model in found) < 3:
        assert all(status == 200 for status, _ in found)
        go_on.wait(0.02)
    go_on.set()
    for thread in threads:
        thread.join()
    assert {status for status, _ in found} == {200}
    assert said(port, token)["model"] == "v1"


def test_a_client_that_goes_away_in_the_middle_leaves_the_server_ready_for_the_next(serve, token, versions):
    port = serve()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = json.dumps({**ASKED, "stream": True, "max_tokens": 60})
    connection.request("POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {token}"})
    connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()
    assert said(port, token)["object"] == "chat.completion"


def test_versions_are_named_or_shared_out_by_end_user(serve, token, versions):
    port = serve(v1=0.5)
    store_promotion(policy=versions[0], by=None, why="first")
    assert said(port, token, model="v1")["model"] == "v1"
    by_user = {user: said(port, token, user=user)["model"] for user in map("u{}".format, range(8))}
    assert set(by_user.values()) == {"v0", "v1"}
    assert all(said(port, token, user=user)["model"] == model for user, model in list(by_user.items())[:2])
    status, content = ask(port, token, path="/v1/models")
    assert (status, [each["id"] for each in json.loads(content)["data"]]) == (200, ["policy", "v1", "v0"])


def test_what_cannot_be_served_is_said_in_the_shape_of_the_interface(
    project, serve, token, versions, admin, annotator, monkeypatch
):
    port = serve()
    assert ask(port, "", path="/health") == (200, b'{"status": "ok"}')
    for value, status in [("", 401), ("pf_unknown", 401)]:
        assert ask(port, value, ASKED)[0] == status
    for user, scopes in [(admin, [Scope.FEEDBACK]), (annotator, [Scope.SERVE])]:
        assert ask(port, make_token(user=user, name="other", scopes=scopes)[1], ASKED)[0] == 403
    wrong = [
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "user", "content": " "}]}, 400, "messages"),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, 400, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "messages"),
        ({"model": "v9"}, 404, "model"),
        ({"model": "gpt"}, 404, "model"),
        ({"n": 2}, 400, "n"),
        ({"stop": ["."]}, 400, "stop"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"temperature": "hot"}, 400, "temperature"),
        ({"stream": "yes"}, 400, "stream"),
        ({"user": 7}, 400, "user"),
    ]
    for change, status, field in wrong:
        found, content = ask(port, token, {**ASKED, **change})
        assert (found, json.loads(content)["error"]["param"]) == (status, field)
    assert ask(port, token, {**ASKED, "max_tokens": 4000})[0] == 400  # more than the model reads, so it refuses
    assert said(port, token, messages=[{"role": "user", "content": [{"type": "text", "text": "Hm?"}]}])["model"] == "v1"


def test_the_command_refuses_shares_that_cannot_be(project, versions):
    cases = [(["v1=0.7", "v0=0.6"], "more than 1"), (["v5=0.1"], "no version v5"), (["v1"], "such as v3=0.1")]
    for shares, words in cases:
        with pytest.raises(CommandError, match=words):
            call_command("serve_policy", "--project", "letters", *(f"--share={share}" for share in shares))
