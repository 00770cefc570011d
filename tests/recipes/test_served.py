"""Answers from a server, against a small one that misbehaves on purpose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from annotation import model_server
from annotation.outgoing import SERVERS_VARIABLE
from tests.recipes.conftest import Prepare, finish, prompt_rows
from training.methods import InvalidConfig, SampleConfig
from training.recipes.process.errors import RecipeError
from training.recipes.text import served

pytestmark = pytest.mark.recipes

ROOT = Path(__file__).resolve().parent.parent.parent


def message(content: Any, **more: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": content, **more}, "finish_reason": "stop"}


def cut_short(handler: BaseHTTPRequestHandler) -> None:
    """A body that ends before its announced length, and the connection with it."""
    handler.send_response(200)
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [{"mess')
    handler.close_connection = True


# Words of a prompt → what the server sends: bytes, or the first choices of its reply.
ODD: dict[str, Any] = {
    "no object": b"[1, 2]",
    "web page": b"<html><body>Sign in</body></html>",
    "latin": '{"choices": ["é"]}'.encode("latin-1"),
    "deep": b'{"choices": ' + b"[" * 100_000,
    "without choices": b'{"error": {"message": "out of memory"}}',
    "no choice": b'{"choices": []}',
    "truncated": cut_short,
    "null": [message(None)],
    "strange": ["a string", {"message": 7}, message(7)],
    "parts": [message([{"type": "thinking", "thinking": "…"}, {"type": "text", "text": "two "}, {"text": "parts"}])],
    "picture": [message([{"type": "image_url", "image_url": {"url": "x"}}])],
    "half": [message("Cut \ud83d emoji\x00.")],
    "tool": [message(None, tool_calls=[{"id": "1"}])],
    "thinks": [message("<think>let me see</think>Yes."), message("<think>for ever"), message("", reasoning="hm")],
    "refusal": [message(None, refusal="I would rather not.")],
    "huge": [message("a" * 1_000_001)],
}


class FakeServer(ThreadingHTTPServer):
    """Answers "<last word of the prompt> <seed>-<n>"; `mood` says what else it does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.asked: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.models = ["small"]
        self.at_once = 64  # choices in one reply at the most
        self.refuses_several = False
        self.troubles: list[tuple[int, dict[str, str]]] = []  # codes and headers for the next chat requests
        self.status = 200  # of all chat requests
        self.logprobs = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: FakeServer

    def do_GET(self) -> None:
        self.reply(200, {"data": [{"id": name} for name in self.server.models]})

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.keys.add(self.headers.get("Authorization"))
            server.asked.append(body)
            trouble = server.troubles.pop(0) if server.troubles else (server.status, {})
        if self.path != "/v1/chat/completions":
            self.reply(404, {"detail": "Not Found"})
        elif trouble[0] != 200:
            self.reply(trouble[0], {"error": {"message": "as you wished", "code": trouble[0]}}, trouble[1])
        elif server.refuses_several and body["n"] > 1:
            self.reply(400, {"error": {"message": "Only one completion choice is allowed"}})
        elif odd := next((name for name in ODD if name in body["messages"][-1]["content"]), ""):
            self.odd(ODD[odd], body)
        elif "too long" in body["messages"][-1]["content"]:
            self.reply(400, {"error": {"message": "This prompt is too long"}})
        else:
            count = min(body["n"], server.at_once)
            choices = [self.choice(body, number) for number in range(count)]
            self.reply(200, {"choices": choices, "usage": {"completion_tokens": 7 * count}})

    def odd(self, sent: Any, body: dict[str, Any]) -> None:
        """Answer with bytes as they are, or with choices of which some are odd."""
        if callable(sent):
            return sent(self)
        if isinstance(sent, bytes):
            self.send_response(200)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)
            return None
        whole = [self.choice(body, number) for number in range(body["n"])]
        return self.reply(200, {"choices": [*sent, *whole][: body["n"]]})

    def choice(self, body: dict[str, Any], number: int) -> dict[str, Any]:
        word = body["messages"][-1]["content"].split()[-1]
        choice: dict[str, Any] = {
            "message": {"role": "assistant", "content": f"{word} {body['seed']}-{number}"},
            "finish_reason": "length" if number == 1 else "stop",
        }
        if self.server.logprobs:
            choice["logprobs"] = {"content": [{"logprob": -0.5}, {"logprob": -1.25}]}
        return choice

    def reply(self, code: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.setattr(model_server, "FIRST_WAIT", 0.01)
    fake = FakeServer()
    monkeypatch.setenv(SERVERS_VARIABLE, f"{fake.url}, http://127.0.0.1:9/v1")
    thread = threading.Thread(target=fake.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield fake
    fake.shutdown()
    fake.server_close()
    thread.join()


def settings(server: FakeServer, **more: Any) -> dict[str, Any]:
    return {"completions_per_prompt": 3, "batch_size": 6, "max_new_tokens": 12, "server": server.url, **more}


def test_rows_as_they_are_of_a_policy(prepare: Prepare, server: FakeServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SMALL_KEY", "sesame")
    monkeypatch.setenv(SERVERS_VARIABLE, f"https://elsewhere.test/v1=OTHER_KEY, {server.url}=SMALL_KEY")
    run = prepare("served", "sample", settings(server, temperature=0.7), {}, prompt_rows(5))
    result = finish(run)
    rows = list(run.samples())
    assert [(row["step"], row["prompt_id"], row["index"]) for row in rows] == [
        (number // 2 + 1, number, index) for number in range(5) for index in range(3)
    ]
    # Three answers to "… 4 words." in one request: the second was cut, and how long each is was not told.
    seed = next(body["seed"] for body in server.asked if "4 words" in body["messages"][-1]["content"])
    assert [row["text"] for row in rows[-3:]] == [f"words. {seed}-{number}" for number in range(3)]
    assert [row["finished"] for row in rows[-3:]] == [True, False, True]
    assert {(row["tokens"], row["logprob"]) for row in rows} == {(None, None)}
    assert result["completions"] == 15
    assert result["finished_share"] == 0.6667
    assert result["mean_tokens"] is None
    assert server.keys == {"Bearer sesame"}
    assert len(server.asked) == 5
    asked = {name: value for name, value in server.asked[0].items() if name not in ("messages", "seed")}
    assert asked == {"model": "small", "n": 3, "max_tokens": 12, "temperature": 0.7, "top_p": 1.0}
    assert run.progress() == {"done": 5, "total": 5, "unit": "prompts"}


def test_log_probabilities_where_the_server_gives_them(prepare: Prepare, server: FakeServer):
    server.logprobs = True
    run = prepare("logprobs", "sample", settings(server), {}, prompt_rows(1))
    assert finish(run)["mean_tokens"] == 2
    assert [(row["tokens"], row["logprob"]) for row in run.samples()] == [(2, -1.75)] * 3


def test_busy_and_failing_for_a_while(prepare: Prepare, server: FakeServer):
    server.troubles = [(429, {"Retry-After": "0"}), (500, {}), (503, {})]
    run = prepare("busy", "sample", settings(server), {}, prompt_rows(2))
    assert finish(run)["completions"] == 6
    assert len(server.asked) == 5


def test_it_waits_as_long_as_the_server_says(prepare: Prepare, server: FakeServer, monkeypatch: pytest.MonkeyPatch):
    slept: list[float] = []
    monkeypatch.setattr(model_server.time, "sleep", slept.append)
    server.troubles = [(429, {"Retry-After": "9"})]
    finish(prepare("patient", "sample", settings(server), {}, prompt_rows(1)))
    assert len(slept) == 1
    assert 9 <= slept[0] <= 13.5


def test_a_server_that_never_recovers(prepare: Prepare, server: FakeServer):
    server.status = 502
    with pytest.raises(RecipeError, match="does not answer after 8 attempts: 502 Bad Gateway"):
        finish(prepare("down", "sample", settings(server), {}, prompt_rows(1)))
    assert len(server.asked) == 8


def test_nobody_there(prepare: Prepare, server: FakeServer):
    gone = settings(server) | {"server": "http://127.0.0.1:9/v1"}
    with pytest.raises(RecipeError, match="refused"):
        finish(prepare("gone", "sample", gone, {}, prompt_rows(1)))


@pytest.mark.parametrize("refuses", [True, False])
def test_one_by_one_where_the_server_gives_fewer_than_asked(prepare: Prepare, server: FakeServer, refuses: bool):
    server.at_once, server.refuses_several = 1, refuses
    run = prepare("fewer", "sample", settings(server), {}, prompt_rows(2))
    assert finish(run)["mean_tokens"] == 7
    texts = [row["text"] for row in run.samples()]
    assert len(set(texts)) == 6  # another seed each time, or they would all be alike
    singles = Counter(body["n"] for body in server.asked)
    assert singles == ({3: 2, 1: 6} if refuses else {3: 2, 1: 4})


def test_what_no_attempt_could_put_right(prepare: Prepare, server: FakeServer):
    wanted = {
        401: "wants a key: name its variable behind the address in PREFLOOP_SERVERS",
        403: "wants a key",
        404: r"answers 404 Not Found. Is the address right .* the model 'small'\?",
        307: "redirects .307 Temporary Redirect.",
    }
    for status, message in wanted.items():
        server.status = status
        server.asked.clear()
        run = prepare(str(status), "sample", settings(server), {}, prompt_rows(1))
        with pytest.raises(RecipeError, match=message):
            finish(run)
        assert len(server.asked) == 1
        assert run.result() is None


def test_a_server_gets_its_own_key_and_no_other(prepare: Prepare, server: FakeServer, monkeypatch):
    monkeypatch.setenv("OTHER_KEY", "sesame")
    monkeypatch.setenv(SERVERS_VARIABLE, f"https://elsewhere.test/v1=OTHER_KEY, {server.url}")
    finish(prepare("own", "sample", settings(server), {}, prompt_rows(1)))
    assert server.keys == {None}


def test_a_server_that_the_operator_does_not_list_is_not_asked(prepare: Prepare, server: FakeServer, monkeypatch):
    monkeypatch.setenv(SERVERS_VARIABLE, f"https://elsewhere.test/v1, {server.url}0")
    with pytest.raises(RecipeError, match=r"should be one of https://elsewhere\.test/v1, "):
        finish(prepare("unlisted", "sample", settings(server), {}, prompt_rows(1)))
    assert not server.asked
    assert not server.keys


def test_what_a_server_writes_beside_an_error_is_not_told(prepare: Prepare, server: FakeServer):
    for status in (400, 401, 404, 502):
        server.status = status
        run = prepare(f"secret-{status}", "sample", settings(server), {}, prompt_rows(1))
        try:
            finish(run)
        except RecipeError as problem:
            said = str(problem)
        else:
            said = json.dumps(run.result()) + "".join(path.read_text() for path in run.path.rglob("*.json"))
        assert "as you wished" not in said + run.log_tail()


def test_a_wrong_key_is_not_told(prepare: Prepare, server: FakeServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SMALL_KEY", "sesame")
    monkeypatch.setenv(SERVERS_VARIABLE, f"https://elsewhere.test/v1=OTHER_KEY, {server.url}=SMALL_KEY")
    server.status = 401
    with pytest.raises(RecipeError, match="refuses the key in SMALL_KEY") as problem:
        finish(prepare("key", "sample", settings(server), {}, prompt_rows(1)))
    assert "sesame" not in str(problem.value)


def test_which_of_several_models(prepare: Prepare, server: FakeServer):
    server.models = ["small", "large"]
    with pytest.raises(RecipeError, match="several models: set server_model to one of small, large"):
        finish(prepare("which", "sample", settings(server), {}, prompt_rows(1)))
    finish(prepare("this", "sample", settings(server, server_model="large"), {}, prompt_rows(1)))
    assert {body["model"] for body in server.asked} == {"large"}


def test_a_refused_prompt_is_counted_and_not_asked_again(prepare: Prepare, server: FakeServer):
    rows = prompt_rows(4)
    rows[1]["messages"][0]["content"] = "far too long"
    whole = prepare("whole", "sample", settings(server), {}, rows)
    refused = [{"prompt_id": 1, "reason": "the server says 400 Bad Request; its own log says why"}]
    assert finish(whole)["refused"] == refused
    assert [row["prompt_id"] for row in whole.samples()] == [0] * 3 + [2] * 3 + [3] * 3

    # Killed in the middle of a line of the second batch, with the refusal of the first one in its state.
    killed = prepare("killed", "sample", settings(server), {}, rows)
    lines = whole.samples_path.read_text().splitlines(keepends=True)
    killed.samples_path.write_text("".join(lines[:5]) + lines[5][:20])
    killed.save_state(lambda folder: (folder / served.REFUSED_FILE).write_text(json.dumps(refused)))
    server.asked.clear()
    assert finish(killed)["refused"] == refused
    assert len(server.asked) == 2
    assert killed.samples_path.read_text() == whole.samples_path.read_text()


# What is kept of three answers, and why the others are not.
OUTCOMES = {
    "no object": (0, {"the reply is no JSON object": 3}),
    "web page": (0, {"the reply is no JSON": 3}),
    "latin": (0, {"the reply is no UTF-8": 3}),
    "deep": (0, {"the reply is no JSON": 3}),
    "without choices": (0, {"the reply has no choices": 3}),
    "no choice": (0, {"the reply has no choices": 3}),
    "truncated": (0, {"the server answers others, and after 8 attempts": 3}),
    "null": (2, {"a response is empty": 1}),
    "strange": (0, {"a choice has no message": 2, "an answer's content is no text but int": 1}),
    "parts": (3, {}),
    "picture": (2, {"an answer has a part that is no text": 1}),
    "half": (3, {}),
    "tool": (2, {"an answer calls a tool": 1}),
    "thinks": (1, {"an answer ended before its thoughts did": 2}),
    "refusal": (3, {}),
    "huge": (2, {"an answer is longer than 1,000,000 characters": 1}),
}


@pytest.mark.parametrize("name", ODD)
def test_one_odd_answer_costs_that_answer(prepare: Prepare, server: FakeServer, name: str):
    rows = prompt_rows(3)
    rows[1]["messages"][0]["content"] = name
    run = prepare("odd", "sample", settings(server, batch_size=3), {}, rows)
    result = finish(run)
    kept, reasons = OUTCOMES[name]
    found = Counter(row["prompt_id"] for row in run.samples())
    assert found == Counter({0: 3, 1: kept, 2: 3})
    assert [row["answers"] for row in result["refused"]] == list(reasons.values())
    for row, reason in zip(result["refused"], reasons, strict=True):
        assert row["prompt_id"] == 1
        assert row["reason"].startswith(reason)
        assert reason in " ".join(result["in_words"])


def test_odd_text_is_cleaned_and_thoughts_are_hidden_or_shown(prepare: Prepare, server: FakeServer):
    first: dict[str, str] = {}
    for name, thoughts in (("parts", "off"), ("half", "off"), ("refusal", "off"), ("thinks", "hidden")):
        rows = prompt_rows(1)
        rows[0]["messages"][0]["content"] = name
        run = prepare(name, "sample", settings(server), {"chat": {"thoughts": thoughts}}, rows)
        finish(run)
        first[name] = next(run.samples())["text"]
    wanted = {"parts": "two parts", "half": "Cut  emoji.", "refusal": "I would rather not.", "thinks": "Yes."}
    assert first == wanted
    shown = prepare("shown", "sample", settings(server), {"chat": {"thoughts": "shown"}}, rows)
    finish(shown)
    assert [row["text"] for row in shown.samples()] == ["<think>let me see</think>Yes.", "<think>for ever"]


def test_what_the_template_is_told_is_sent(prepare: Prepare, server: FakeServer):
    tools = [{"type": "function", "function": {"name": "add"}}]
    chat = {"chat": {"template_kwargs": {"enable_thinking": False, "tools": tools}}}
    finish(prepare("told", "sample", settings(server), chat, prompt_rows(1)))
    assert server.asked[0]["chat_template_kwargs"] == {"enable_thinking": False}
    assert server.asked[0]["tools"] == tools


def test_answers_left_out_are_not_asked_again_when_a_run_goes_on(prepare: Prepare, server: FakeServer):
    rows = prompt_rows(3)
    rows[0]["messages"][0]["content"] = "null"
    whole = prepare("whole", "sample", settings(server, batch_size=3), {}, rows)
    refused = finish(whole)["refused"]
    killed = prepare("killed", "sample", settings(server, batch_size=3), {}, rows)
    lines = whole.samples_path.read_text().splitlines(keepends=True)
    killed.samples_path.write_text("".join(lines[:5]))
    killed.save_state(lambda folder: (folder / served.REFUSED_FILE).write_text(json.dumps(refused)))
    server.asked.clear()
    assert finish(killed)["refused"] == refused
    assert len(server.asked) == 1
    assert killed.samples_path.read_text() == whole.samples_path.read_text()


def test_a_server_that_is_no_model_s_ends_the_run_soon(prepare: Prepare, server: FakeServer):
    rows = prompt_rows(40)
    for row in rows:
        row["messages"][0]["content"] = "web page"
    with pytest.raises(RecipeError, match="no answer that can be used: the reply is no JSON"):
        finish(prepare("page", "sample", settings(server), {}, rows))
    assert len(server.asked) < 40 * 3


def test_none_of_the_prompts(prepare: Prepare, server: FakeServer):
    server.status = 400
    with pytest.raises(RecipeError, match=r"None of the prompts can be answered\. Rows: 2; .*400 Bad Request"):
        finish(prepare("all", "sample", settings(server), {}, prompt_rows(2)))


@pytest.mark.parametrize(
    "address", ["localhost:8000", "file:///etc/passwd", "http://", "http://[", "http://me:it@h/v1"]
)
def test_an_address_that_is_none(address: str):
    with pytest.raises(InvalidConfig) as problem:
        SampleConfig(server=address)
    assert list(problem.value.errors) == ["server"]


def test_no_tensor_library_is_needed():
    program = "import sys, training.recipes.text.served; assert not {'torch', 'transformers'} & set(sys.modules)"
    checked = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
