"""The policy of a project over HTTP, in the shape of OpenAI's chat completions.

    POST /v1/chat/completions   plain, or a stream of server-sent events
    GET  /v1/models             the version in use and those that can be named
    GET  /health

One child process has the model (training/recipes/chat.py) and writes one response at a time; this process imports no
tensor library. Each request asks the database which version is in use, so a promotion counts from the next request on,
and what is being written stays with its version.
"""

from __future__ import annotations

import hashlib
import json
import logging
import random
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import connections
from django.http import Http404

from annotation import access
from annotation.actions import served, tokens
from annotation.imports.items import Item
from annotation.imports.refusals import Refusal
from annotation.imports.rows import prompt_row
from annotation.models import PolicyVersion, Project, Role, Scope
from training.products.chat import chat_inputs
from training.products.promotions import current_policy
from training.worker.playground import SILENT_SECONDS, Child, ChildGone

logger = logging.getLogger(__name__)

VERSION = re.compile(r"v[0-9]{1,8}")
IN_USE = "policy"  # the name of the version in use, whichever that is
MOST_BYTES = 2**20
MOST_WAITING = 16  # requests, the one that is written included
MOST_TOKENS = 4096
LONGEST_USER = 100
COLDEST, HOTTEST = 0.01, 5.0  # temperatures; 0 is taken for the coldest
SILENT_CLIENT_SECONDS = 30
# What would change the response and is not there: the values that change nothing are accepted.
NOT_SUPPORTED: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "top_p": (1,),
    "stop": ([], ""),
    "tools": ([],),
    "functions": ([],),
    "logprobs": (False,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "response_format": ({"type": "text"},),
}


class NotServed(Exception):
    """A request that gets no response; the message is for the client."""

    def __init__(self, status: HTTPStatus, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status, self.field = status, field


@dataclass(frozen=True)
class Wanted:
    """A request that can be served."""

    policy: PolicyVersion
    messages: list[dict[str, str]]
    max_tokens: int
    temperature: float
    seed: int
    user: str
    stream: bool


class Writer:
    """The child process that writes, one request after the other; it is started again where it ended."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.places = threading.BoundedSemaphore(MOST_WAITING)
        self.child: Child | None = None

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place among those that wait. Raises NotServed where there is none."""
        if not self.places.acquire(blocking=False):
            raise NotServed(HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST_WAITING} requests are waiting. Try again later.")
        try:
            yield
        finally:
            self.places.release()

    def write(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the response so far, again and again, and whole in the end. Raises NotServed for a refusal.

        It is written to its end also where the reader stops, since the child cannot be told to stop in the middle.
        """
        with self.turn:
            lines = self._lines(request)
            try:
                for line in lines:  # noqa: UP028 - `yield from` would close it where the reader stops
                    yield line
            finally:
                for _ in lines:
                    pass

    def _lines(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        begun = False
        for last_try in (False, True):
            try:
                for line in self._answer(request):
                    begun = True
                    yield line
                return
            except ChildGone as gone:
                logger.warning("the process of the model %s", gone)
                self.stop()
                if begun or last_try:
                    raise NotServed(
                        HTTPStatus.INTERNAL_SERVER_ERROR, f"The process that writes responses {gone}."
                    ) from None

    def _answer(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if self.child is None or not self.child.is_alive:
            self.child = Child()
        self.child.ask(request)
        heard = time.monotonic()
        while True:
            line = self.child.next_line(0.5)
            if line is None:
                if time.monotonic() - heard > SILENT_SECONDS:
                    raise ChildGone(f"said nothing for {SILENT_SECONDS:.0f} seconds")
                continue
            heard = time.monotonic()
            if "error" in line:
                raise NotServed(HTTPStatus.BAD_REQUEST, line["error"])
            yield line
            if "finished" in line:
                return

    def stop(self) -> None:
        if self.child:
            self.child.stop()
        self.child = None


class PolicyServer(ThreadingHTTPServer):
    """Serves one project; `shares` gives other versions than the one in use a share of the end users, by number."""

    daemon_threads = False  # closing it waits for what is being written
    request_queue_size = 64

    def __init__(self, project: Project, address: tuple[str, int], shares: dict[int, float]) -> None:
        self.project, self.shares, self.writer = project, shares, Writer()
        super().__init__(address, Handler)

    def server_close(self) -> None:
        super().server_close()
        self.writer.stop()

    def version_for(self, user: str) -> PolicyVersion:
        """Return the version that an end user gets: always the same one while the shares stay as they are."""
        name = user or uuid.uuid4().hex
        place = int(hashlib.sha256(f"{self.project.slug} {name}".encode()).hexdigest()[:13], 16) / 16**13
        for number, share in sorted(self.shares.items()):
            if place < share:
                return self.named(number)
            place -= share
        return current_policy(self.project)

    def named(self, number: int) -> PolicyVersion:
        """Return a version by its number; raise NotServed where there is none."""
        found = self.project.policies.filter(number=number).first()
        if found is None:
            raise NotServed(HTTPStatus.NOT_FOUND, f"This project has no version v{number}.", "model")
        return found

    def read(self, body: Any) -> Wanted:
        """Return what a request asks for; raise NotServed with what is wrong."""
        if not isinstance(body, dict):
            raise _wrong("The body should be a JSON object.")
        for name, harmless in NOT_SUPPORTED.items():
            if body.get(name) is not None and body[name] not in harmless:
                raise _wrong(f"{name} is not supported; leave it out.", name)
        user = body.get("user") or ""
        if not isinstance(user, str) or len(user) > LONGEST_USER:
            raise _wrong(f"user should be a text of up to {LONGEST_USER} characters.", "user")
        stream = body.get("stream") or False
        if not isinstance(stream, bool):
            raise _wrong("stream should be true or false.", "stream")
        asked = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
        most = _number(body, asked, self.project.answer_tokens, 1, MOST_TOKENS)
        temperature = _number(body, "temperature", self.project.temperature, 0, HOTTEST)
        seed = _number(body, "seed", random.getrandbits(31), 0, 2**62)
        if most != int(most) or seed != int(seed):
            raise _wrong("max_tokens and seed should be whole numbers.")
        return Wanted(
            policy=self._policy(body.get("model"), user),
            messages=_messages(body.get("messages")),
            max_tokens=int(most),
            temperature=max(temperature, COLDEST),
            seed=int(seed),
            user=user,
            stream=stream,
        )

    def _policy(self, model: Any, user: str) -> PolicyVersion:
        if model in (None, "", IN_USE, self.project.slug):
            try:
                return self.version_for(user)
            except PolicyVersion.DoesNotExist:
                raise NotServed(HTTPStatus.SERVICE_UNAVAILABLE, "This project has no policy yet.") from None
        if isinstance(model, str) and VERSION.fullmatch(model):
            return self.named(int(model[1:]))
        raise NotServed(HTTPStatus.NOT_FOUND, f"model should be {IN_USE}, or a version such as v1.", "model")

    def write(self, wanted: Wanted) -> Iterator[dict[str, Any]]:
        """Yield what the version says so far; the last line is whole and has `finished`."""
        yield from self.writer.write(
            {
                "checkpoint": wanted.policy.checkpoint,
                "messages": wanted.messages,
                "max_new_tokens": wanted.max_tokens,
                "temperature": wanted.temperature,
                "seed": wanted.seed,
                **chat_inputs(self.project),
            }
        )


def _wrong(message: str, field: str | None = None) -> NotServed:
    return NotServed(HTTPStatus.BAD_REQUEST, message, field)


def _number(body: dict[str, Any], name: str, default: float, least: float, most: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise _wrong(f"{name} should be a number from {least:,} to {most:,}.", name)
    return value


def _messages(given: Any) -> list[dict[str, str]]:
    """Return the conversation, cleaned as prompts of files are. Content in parts of text is taken as one text."""
    if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
        raise _wrong("messages should be a list of objects with role and content.", "messages")
    try:
        return prompt_row(1, Item(prompt=[{**each, "content": _text(each.get("content"))} for each in given])).messages
    except Refusal as problem:
        raise _wrong(f"messages: {problem}.", "messages") from None


def _text(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    parts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in content]
    if not all(isinstance(part, str) for part in parts):
        raise _wrong("Only parts of type text are supported.", "messages")
    return "\n".join(str(part) for part in parts)


class Handler(BaseHTTPRequestHandler):
    server: PolicyServer
    protocol_version = "HTTP/1.1"
    timeout = SILENT_CLIENT_SECONDS

    def do_GET(self) -> None:
        self._answered(self._get)

    def do_POST(self) -> None:
        self._answered(self._post)

    def log_message(self, format: str, *values: Any) -> None:
        logger.info("%s %s", self.address_string(), format % values)

    def _answered(self, answer: Any) -> None:
        """Answer a request, or say why not, in OpenAI's shape; its database connection ends with it."""
        self.close_connection = True
        self.sent = False
        try:
            answer()
        except NotServed as why:
            kind = "invalid_request_error" if why.status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
            self._fail(why.status, {"message": str(why), "type": kind, "param": why.field, "code": None})
        except OSError as gone:  # the client went away
            logger.info("a client went away: %s", gone)
        except Exception:
            logger.exception("a request failed")
            problem = {"message": "The server failed; its log says why.", "type": "server_error", "param": None}
            self._fail(HTTPStatus.INTERNAL_SERVER_ERROR, {**problem, "code": None})
        finally:
            connections.close_all()

    def _get(self) -> None:
        if self.path == "/health":
            self._json(HTTPStatus.OK, {"status": "ok"})
            return
        if self.path != "/v1/models":
            raise NotServed(HTTPStatus.NOT_FOUND, "There is no such address.")
        self._authorize()
        project = self.server.project
        versions = project.policies.order_by("-number").values_list("number", "created_at")
        models = [{"id": IN_USE, "created": int(project.created_at.timestamp())}]
        models += [{"id": f"v{number}", "created": int(at.timestamp())} for number, at in versions]
        data = [{**model, "object": "model", "owned_by": project.slug} for model in models]
        self._json(HTTPStatus.OK, {"object": "list", "data": data})

    def _post(self) -> None:
        if self.path != "/v1/chat/completions":
            raise NotServed(HTTPStatus.NOT_FOUND, "There is no such address.")
        self._authorize()
        wanted = self.server.read(self._body())
        answer = self._stream if wanted.stream else self._whole
        with self.server.writer.place():
            answer(wanted, uuid.uuid4())

    def _authorize(self) -> None:
        """Raise NotServed unless the request has the token of an admin that may ask the served policy."""
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        token = tokens.find_token(value.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            if seconds := tokens.count_unknown(self.client_address[0]):
                raise NotServed(HTTPStatus.TOO_MANY_REQUESTS, f"Too many unknown tokens. Wait {seconds} seconds.")
            raise NotServed(HTTPStatus.UNAUTHORIZED, "Send an API token: Authorization: Bearer pf_…")
        if not token.allows(Scope.SERVE):
            raise NotServed(HTTPStatus.FORBIDDEN, f"The token needs the scope {Scope.SERVE.value}.")
        try:
            # Read anew: its settings may have changed since the server began.
            self.server.project = access.get_project(token.user, self.server.project.slug, role=Role.ADMIN)
        except (PermissionDenied, Http404):
            raise NotServed(HTTPStatus.FORBIDDEN, "The owner of the token is no admin of the project.") from None

    def _body(self) -> Any:
        given = self.headers.get("Content-Length") or ""
        if not (given.isascii() and given.isdigit()):
            raise NotServed(HTTPStatus.LENGTH_REQUIRED, "Send Content-Length.")
        if int(given) > MOST_BYTES:
            raise NotServed(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"At most {MOST_BYTES:,} bytes at once.")
        try:
            return json.loads(self.rfile.read(int(given)))
        except (ValueError, RecursionError) as problem:
            raise _wrong(f"The body is no JSON: {problem}") from None

    def _whole(self, wanted: Wanted, pk: uuid.UUID) -> None:
        *_, last = self.server.write(wanted)
        self._keep(wanted, pk, last)
        used, written = last.get("prompt_tokens", 0), last["tokens"]
        choice = {"index": 0, "message": {"role": "assistant", "content": last["text"]}, "finish_reason": _reason(last)}
        usage = {"prompt_tokens": used, "completion_tokens": written, "total_tokens": used + written}
        self._json(HTTPStatus.OK, {**self._head(wanted, pk, "chat.completion"), "choices": [choice], "usage": usage})

    def _stream(self, wanted: Wanted, pk: uuid.UUID) -> None:
        head = self._head(wanted, pk, "chat.completion.chunk")
        sent, last = "", {}
        for line in self.server.write(wanted):
            if not self.sent:  # only now: what the model refuses gets a status of its own
                self._begin(HTTPStatus.OK, "text/event-stream", "chunked")
                self._event(head, {"role": "assistant", "content": ""})
            last, text = line, line["text"]
            if text.startswith(sent) and text != sent:
                self._event(head, {"content": text[len(sent) :]})
                sent = text
        self._keep(wanted, pk, last)
        self._event(head, {}, _reason(last))
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _keep(self, wanted: Wanted, pk: uuid.UUID, last: dict[str, Any]) -> None:
        """Store the response before its client has the end of it, so that feedback on it always finds it."""
        served.store(
            project=self.server.project,
            policy=wanted.policy,
            messages=wanted.messages,
            text=last["text"],
            finished=last["finished"],
            user=wanted.user,
            pk=pk,
        )

    def _head(self, wanted: Wanted, pk: uuid.UUID, kind: str) -> dict[str, Any]:
        name = f"{served.MARK}{pk.hex}"
        return {"id": name, "object": kind, "created": int(time.time()), "model": str(wanted.policy)}

    def _event(self, head: dict[str, Any], delta: dict[str, Any], reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        self._chunk(f"data: {json.dumps({**head, 'choices': [choice]})}\n\n".encode())

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _fail(self, status: HTTPStatus, error: dict[str, Any]) -> None:
        try:
            if not self.sent:
                self._json(status, {"error": error})
            else:  # a stream without its end, after which no client takes it for whole
                self._chunk(f"data: {json.dumps({'error': error})}\n\n".encode())
        except OSError as gone:
            logger.info("a client went away: %s", gone)

    def _json(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self._begin(status, "application/json", str(len(data)))
        self.wfile.write(data)

    def _begin(self, status: HTTPStatus, kind: str, length: str) -> None:
        self.sent = True
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header(*(("Transfer-Encoding", length) if length == "chunked" else ("Content-Length", length)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()


def _reason(last: dict[str, Any]) -> str:
    return "stop" if last["finished"] else "length"
