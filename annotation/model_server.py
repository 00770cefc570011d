"""Requests to a server that speaks OpenAI's protocol: vLLM, llama.cpp, TGI, Ollama, or a hosted one.

Which servers may be asked, and with which key, is decided in annotation.outgoing. Errors name the status and never
quote what a server wrote. Standard library only, as recipes use it.
"""

from __future__ import annotations

import json
import random
import time
import urllib.request
from collections.abc import Callable, Mapping
from http.client import BadStatusLine, HTTPException, HTTPResponse, IncompleteRead, RemoteDisconnected, UnknownProtocol
from typing import Any, TypeVar
from urllib.error import HTTPError

from annotation.outgoing import (
    MODEL_SERVER,
    SERVERS_VARIABLE,
    Bounds,
    NoRedirect,
    NotAllowed,
    model_server,
    status_words,
)

T = TypeVar("T")
Body = dict[str, Any]

ATTEMPTS, FIRST_WAIT, LONGEST_WAIT = 8, 0.5, 60.0  # seconds, doubled each time: a server may take a minute to load
ODD_ATTEMPTS = 3  # at a reply that cannot be read
MOST_NAMES, MOST_NAME = 20, 100  # of models in a message, and characters of each
NOT_THERE = (404, 405)
READ_AT_ONCE = 64 * 1024


class ServerProblem(Exception):
    """Raised where no further request makes sense; the message tells what to correct. `code` is the server's."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class RefusedByServer(Exception):
    """The server finds fault with one request; the message is its status."""


class OddAnswer(Exception):
    """One answer cannot be used; the message is the reason, and is counted by it."""


class OddReply(Exception):
    """Raised for a reply that is not in OpenAI's protocol; the message names what is missing and quotes nothing."""


def read_object(body: bytes) -> Body:
    """Return the JSON object of a reply's body. Raises OddReply where there is none."""
    try:
        value = json.loads(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise OddReply("the reply is no UTF-8") from None
    except (ValueError, RecursionError):
        raise OddReply("the reply is no JSON") from None
    if not isinstance(value, dict):
        raise OddReply("the reply is no JSON object")
    return value


def text_of(content: Any) -> str:
    """Return a message's content as text: it is text, nothing, or a list of parts some of which are text."""
    match content:
        case None:
            return ""
        case str():
            return content
        case list():
            texts = [_part(part) for part in content]
            if None in texts:
                raise OddAnswer("an answer has a part that is no text")
            return "".join(text or "" for text in texts)
    raise OddAnswer(f"an answer's content is no text but {type(content).__name__}")


def _part(part: Any) -> str | None:
    """Return a part's text; an empty one for a part that holds thoughts, None for a picture or the like."""
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        return None
    if part.get("type") in ("thinking", "reasoning", "redacted_thinking"):
        return ""
    text = part.get("text")
    return text if isinstance(text, str) else None


class ModelClient:
    """One server of the operator's list, and the model that it is asked for.

    `has_answered` is for its owner to set: a server that has answered others is asked whether it is still up before a
    failing request counts as the end of it.
    """

    def __init__(
        self,
        address: str,
        environment: Mapping[str, str],
        *,
        model: str = "",
        attempts: int | None = None,
        bounds: Bounds = MODEL_SERVER,
    ) -> None:
        self.url = address.rstrip("/")
        try:
            listed = model_server(self.url, environment)
        except NotAllowed as why:
            raise ServerProblem(f"server: {why}") from None
        # The key is never in a setting: those are shown on pages.
        self.key_variable, self.key = listed.key_variable, environment.get(listed.key_variable, "").strip()
        if not (self.key.isascii() and self.key.isprintable()):  # http.client would quote it in its error
            raise ServerProblem(f"{self.key_variable} holds characters that no key has: set it to the key alone")
        self.attempts, self.bounds = attempts or ATTEMPTS, bounds
        self.has_answered = False
        self.model = model

    def only_model(self, setting: str = "server_model") -> str:
        """Return the server's model if it has just one; a server without a list of models chooses by itself.

        `setting` is what names the model among several, for the message that asks for it.
        """
        try:
            listed = self.request("models", None, read_object).get("data")
        except OddReply as reason:
            raise ServerProblem(f"{self.url}/models does not speak OpenAI's protocol: {reason}") from None
        except ServerProblem as problem:
            if problem.code not in NOT_THERE:
                raise
            return ""
        entries = listed if isinstance(listed, list) else []
        ids = [entry.get("id") for entry in entries if isinstance(entry, dict)]
        names = [name for name in ids if isinstance(name, str) and name]
        if len(names) > 1:
            shown = ", ".join(name[:MOST_NAME] for name in names[:MOST_NAMES])
            raise ServerProblem(f"{self.url} has several models: set {setting} to one of {shown}")
        return names[0] if names else ""

    def request(self, path: str, body: Body | None, read: Callable[[bytes], T]) -> T:
        """Return what `read` makes of the reply.

        Raises RefusedByServer where the server finds fault with the request, OddReply where no attempt brought a reply
        that can be read, ServerProblem where all requests would fail.
        """
        wait, problem, odd = FIRST_WAIT, "no attempt was made", 0
        for attempt in range(self.attempts):
            if attempt:
                # Not all at the same moment again.
                time.sleep(min(wait * random.uniform(1.0, 1.5), LONGEST_WAIT))
                wait *= 2
            try:
                return read(self._send(path, body))
            except OddReply:
                odd += 1
                if odd == min(ODD_ATTEMPTS, self.attempts):
                    raise
            except HTTPError as error:
                problem = status_words(error.code)
                if error.code != 429 and error.code < 500:
                    raise self._hopeless(error) from None
                wait = max(wait, _seconds(error.headers.get("Retry-After")))
            except (OSError, HTTPException) as error:
                problem = _on_the_way(error)
        if body is not None and self.has_answered and self._is_up():
            raise OddReply(f"the server answers others, and after {self.attempts} attempts: {problem}")
        raise ServerProblem(f"{self.url} does not answer after {self.attempts} attempts: {problem}")

    def _is_up(self) -> bool:
        """Return whether the server still answers anything at all."""
        try:
            self._send("models", None)
        except HTTPError as error:
            return error.code in NOT_THERE
        except (OSError, HTTPException, OddReply):
            return False
        return True

    def _send(self, path: str, body: Body | None) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/{path}", data, headers)
        # Without proxies of the environment: the address that the operator lists is the one that is asked.
        opener = urllib.request.build_opener(NoRedirect, urllib.request.ProxyHandler({}))
        until = time.monotonic() + self.bounds.whole_seconds
        with opener.open(request, timeout=self.bounds.silence_seconds) as reply:
            return self._received(reply, until)

    def _received(self, reply: HTTPResponse, until: float) -> bytes:
        """Return the body. Raises OddReply for one that is too large, TimeoutError for one that takes too long."""
        most, parts, size = self.bounds.most_bytes, [], 0
        while part := reply.read1(READ_AT_ONCE):
            parts.append(part)
            size += len(part)
            if size > most:
                raise OddReply(f"the reply is larger than {most // 2**20} MB")
            if time.monotonic() > until:
                raise TimeoutError(f"the reply takes longer than {self.bounds.whole_seconds:g} seconds")
        if reply.length:  # http.client does not say that a body is shorter than was announced
            raise IncompleteRead(b"".join(parts), reply.length)
        return b"".join(parts)

    def _hopeless(self, error: HTTPError) -> Exception:
        """Return the error to raise, without the server's text, which may not be meant for readers of the run."""
        told = status_words(error.code)
        if error.code in (401, 403):
            if self.key:
                return ServerProblem(f"{self.url} refuses the key in {self.key_variable} ({told})", error.code)
            return ServerProblem(
                f"{self.url} wants a key: name its variable behind the address in {SERVERS_VARIABLE} ({told})",
                error.code,
            )
        if error.code in NOT_THERE:
            if self.model:
                return ServerProblem(
                    f"{self.url} answers {told}. Is the address right (most end in /v1), and does it have the model "
                    f"{self.model!r}?",
                    error.code,
                )
            return ServerProblem(f"{self.url} answers {told}. Is the address right (most end in /v1)?", error.code)
        if 300 <= error.code < 400:
            return ServerProblem(f"{self.url} redirects ({told}): name the address that it redirects to")
        return RefusedByServer(f"the server says {told}; its own log says why")


def _on_the_way(error: OSError | HTTPException) -> str:
    """Return what went wrong before there was a reply; `http.client` quotes a first line that is not of HTTP."""
    if isinstance(error, (BadStatusLine, UnknownProtocol)) and not isinstance(error, RemoteDisconnected):
        return "what it answers is not HTTP"
    return str(getattr(error, "reason", error)) or type(error).__name__


def _seconds(header: str | None) -> float:
    """Return Retry-After in seconds; 0 if it is missing or a date."""
    return float(header) if header and header.strip().isdecimal() else 0.0
