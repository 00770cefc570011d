"""Which servers of models may be asked: those that the operator lists, by pages, API and plans alike."""

from __future__ import annotations

import socket
import threading

import pytest

from annotation.model_server import ModelClient, ServerProblem
from annotation.outgoing import NotAllowed, model_server, model_servers
from training.models import TrainingRound

LISTED = "http://127.0.0.1:8000/v1"
METADATA = "http://169.254.169.254/latest/meta-data/iam/security-credentials/role?x="


@pytest.fixture
def start(admin, as_user, policy):
    def start(server: str, method: str = "sample"):
        body = {"methods": [method], "settings": {method: {"server": server, "server_model": "small"}}}
        address = "/api/v1/projects/letters/rounds/"
        return as_user(admin).post(address, body, content_type="application/json")

    return start


@pytest.mark.parametrize(
    "address",
    [
        METADATA,
        "http://127.0.0.1:9397/v1",
        f" {LISTED}",
        f"{LISTED}?x=",
        f"{LISTED}#",
        f"{LISTED}/../admin",
        "http://127.0.0.1:8000@elsewhere.test/v1",
        "http://127.0.0.1:8000",
        "http://127.0.0.1:99999/v1",
        "file:///etc/passwd",
    ],
)
@pytest.mark.parametrize("method", ["sample", "self_instruct"])
def test_an_address_that_is_not_listed_is_refused_by_name(start, make_prompt, monkeypatch, address, method):
    monkeypatch.setenv("PREFLOOP_SERVERS", LISTED)
    make_prompt("Hello")
    answer = start(address, method)
    assert answer.status_code == 400, answer.content
    assert f"{method}.server" in answer.json()["errors"] if "errors" in answer.json() else b"server" in answer.content
    assert not TrainingRound.objects.exists()


def test_a_listed_address_is_taken(start, make_prompt, monkeypatch):
    monkeypatch.setenv("PREFLOOP_SERVERS", f"https://elsewhere.test/v1=A_KEY, {LISTED}/")
    make_prompt("Hello")
    assert start(LISTED).status_code == 201


def test_without_a_list_no_server_is_asked_and_the_message_says_where_it_is(start, make_prompt, monkeypatch):
    monkeypatch.delenv("PREFLOOP_SERVERS", raising=False)
    make_prompt("Hello")
    answer = start(LISTED)
    assert answer.status_code == 400
    assert b"PREFLOOP_SERVERS" in answer.content


def test_the_form_refuses_it_too(admin, as_user, policy, make_prompt, monkeypatch):
    monkeypatch.setenv("PREFLOOP_SERVERS", LISTED)
    make_prompt("Hello")
    form = {"plan": "sample", "sample.server": METADATA}
    page = as_user(admin).post("/projects/letters/rounds/new/", form)
    assert "should be one of" in page.content.decode()
    assert not TrainingRound.objects.exists()


def test_entries_name_an_address_and_the_variable_of_its_key():
    servers = model_servers({"PREFLOOP_SERVERS": "http://a.test/v1/=KEY_OF_A,,https://b.test"})
    assert [(server.url, server.key_variable) for server in servers] == [
        ("http://a.test/v1", "KEY_OF_A"),
        ("https://b.test", ""),
    ]
    for entry in ("a.test", "http://a.test?x", "http://a.test=a key", "http://u:p@a.test"):
        with pytest.raises(NotAllowed):
            model_server("http://a.test", {"PREFLOOP_SERVERS": entry})


# What is sent where a reply is expected, and with what it ends for who reads of it.
NO_REPLIES = {
    b"SSH-2.0-S3CRET\r\n": "what it answers is not HTTP",
    b"HTTP/1.1 S3CRET OK\r\n\r\n": "what it answers is not HTTP",
    b"HTTP/S3CRET 200 OK\r\n\r\n": "what it answers is not HTTP",
    b"HTTP/1.1 503 S3CRET\r\nRetry-After: \xb2\r\nContent-Length: 6\r\n\r\nS3CRET": "503 Service Unavailable",
    b"HTTP/1.1 307 S3CRET\r\nLocation: http://127.0.0.1/S3CRET\r\n\r\n": "redirects (307 Temporary Redirect)",
    b"HTTP/1.1 403 S3CRET\r\nContent-Length: 6\r\n\r\nS3CRET": "refuses the key in ITS_KEY (403 Forbidden)",
    b'HTTP/1.1 200 OK\r\n\r\n{"data": [{"id": {"S3CRET": 1}}, {"id": "a"}, {"id": "b"}]}': "to one of a, b",
    b"": "Remote end closed connection without response",
}


@pytest.mark.parametrize(("sent", "told"), NO_REPLIES.items())
def test_nothing_that_stands_in_place_of_a_reply_is_told(sent, told):
    """Also not a first line that is not of HTTP: the banner of another service that listens there."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(sent)

        answering = threading.Thread(target=answer)
        answering.start()
        client = ModelClient(url, {"PREFLOOP_SERVERS": f"{url}=ITS_KEY", "ITS_KEY": "its key"}, attempts=1)
        with pytest.raises(ServerProblem) as refusal:
            client.only_model()
        answering.join()
    assert told in str(refusal.value)
    assert "S3CRET" not in str(refusal.value)
