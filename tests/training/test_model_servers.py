"""Which servers of models may be asked: those that the operator lists, by pages, API and plans alike."""

from __future__ import annotations

import pytest

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
