"""Answers from a server that speaks OpenAI's protocol: vLLM, llama.cpp, TGI, Ollama, or a hosted one.

They are for people to rank. Which distribution they were drawn from is the server's business (llama.cpp and Ollama cut
at top-k unless told otherwise), so nothing here is fit to start PPO's ratio from. Standard library only: a machine
that has a server elsewhere needs no torch for this.
"""

from __future__ import annotations

import json
import os
import random
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from training.methods import SampleConfig
from training.rundir import Row, RunDir

KEY_VARIABLE = "PREFLOOP_SERVER_KEY"  # never in a config: those are shown on pages and kept with the answers
PARALLEL = 8  # requests at a time
ATTEMPTS, FIRST_WAIT, LONGEST_WAIT = 8, 0.5, 60.0  # seconds, doubled each time: a server may take a minute to load
TIMEOUT = 600.0
REFUSED_FILE = "refused.json"
NOT_THERE = (404, 405)


class ServerProblem(Exception):
    """The run cannot go on; the message says what to put right. `code` is the server's, if it gave one."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class PromptRefused(Exception):
    """The server will not answer this prompt; the message is its reason."""


@dataclass(frozen=True)
class ServedPrompt:
    prompt_id: int
    messages: list[dict[str, str]]


class ServedModel:
    """Where sample.py gets answers from if its config names a server."""

    def __init__(self, config: SampleConfig, run: RunDir, rows: list[Row]) -> None:
        self.config, self.run = config, run
        self.url, self.key = config.server.rstrip("/"), os.environ.get(KEY_VARIABLE, "")
        self.prompts = [ServedPrompt(row["prompt_id"], row["messages"]) for row in rows]
        self.refused = _earlier_refused(run)  # {"prompt_id", "reason"}
        self.model = config.server_model or self._only_model()

    def answer(self, batch: list[ServedPrompt], number: int, count: int) -> Iterator[Row]:
        """The batch's rows in its order, as they come in; a resumed run does not ask what was refused again."""
        known = {row["prompt_id"] for row in self.refused}
        pool = ThreadPoolExecutor(PARALLEL)
        try:
            open_prompts = [prompt for prompt in batch if prompt.prompt_id not in known]
            for prompt, outcome in zip(
                open_prompts, pool.map(partial(self._answers_to, wanted=count), open_prompts), strict=True
            ):
                if isinstance(outcome, PromptRefused):
                    self._keep_refused(prompt, outcome)
                    continue
                for index, facts in enumerate(outcome):
                    yield {"step": number, "prompt_id": prompt.prompt_id, "index": index, **facts}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _answers_to(self, prompt: ServedPrompt, wanted: int) -> list[Row] | PromptRefused:
        """All at once where the server can do that, else the missing ones one by one."""
        answers: list[Row] = []
        try:
            while len(answers) < wanted:
                answers += self._ask(prompt, wanted if not answers else 1, first=len(answers))
        except PromptRefused as reason:
            return reason
        return answers

    def _ask(self, prompt: ServedPrompt, count: int, first: int) -> list[Row]:
        config = self.config
        # A seed for each request: the same one would bring the same answer again.
        seed = random.Random(f"{config.seed} {prompt.prompt_id} {first}").getrandbits(31)
        body = {
            "model": self.model,
            "messages": prompt.messages,
            "n": count,
            "max_tokens": config.max_new_tokens,
            "temperature": config.temperature,
            "top_p": 1.0,
            "seed": seed,
        }
        try:
            reply = self._request("chat/completions", {name: value for name, value in body.items() if value != ""})
        except PromptRefused:
            if count == 1:
                raise
            return self._ask(prompt, 1, first)  # some servers refuse n > 1 instead of ignoring it
        choices = reply.get("choices")
        if not choices:
            raise ServerProblem(f"{self.url} gave no answer to prompt {prompt.prompt_id}: {_shortened(reply)}")
        drawn = (reply.get("usage") or {}).get("completion_tokens") if len(choices) == 1 else None
        return [_facts(choice, drawn) for choice in choices[:count]]

    def _only_model(self) -> str:
        """The model that the server has, if it has one; a server without a list of models chooses by itself."""
        try:
            listed = self._request("models", None).get("data") or []
        except ServerProblem as problem:
            if problem.code not in NOT_THERE:
                raise
            return ""
        names = [str(entry.get("id")) for entry in listed]
        if len(names) > 1:
            raise ServerProblem(f"{self.url} has several models: set server_model to one of {', '.join(names[:20])}")
        return names[0] if names else ""

    # --- HTTP --------------------------------------------------------------------------------------------------

    def _request(self, path: str, body: Row | None) -> Row:
        """Raises PromptRefused where the server finds fault with the request, ServerProblem where all would fail."""
        wait, problem = FIRST_WAIT, "no attempt was made"
        for attempt in range(ATTEMPTS):
            if attempt:
                # Not all at the same moment again.
                time.sleep(min(wait * random.uniform(1.0, 1.5), LONGEST_WAIT))
                wait *= 2
            try:
                return self._send(path, body)
            except HTTPError as error:
                told = _shortened(error.read().decode("utf-8", errors="replace"))
                problem = f"{error.code} {told}"
                if error.code != 429 and error.code < 500:
                    raise self._hopeless(error, told) from None
                wait = max(wait, _seconds(error.headers.get("Retry-After")))
            except (OSError, HTTPException, json.JSONDecodeError, UnicodeDecodeError) as error:
                problem = str(getattr(error, "reason", error)) or type(error).__name__
        raise ServerProblem(f"{self.url} does not answer after {ATTEMPTS} attempts: {problem}")

    def _send(self, path: str, body: Row | None) -> Row:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/{path}", data, headers)
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT) as reply:
            value = json.loads(reply.read().decode("utf-8"))
        if not isinstance(value, dict):
            raise ServerProblem(f"{self.url}/{path} answers, but not in OpenAI's protocol: {_shortened(value)}")
        return value

    def _hopeless(self, error: HTTPError, told: str) -> Exception:
        if error.code in (401, 403):
            state = "refuses the key in" if self.key else "wants a key: put it into the worker's"
            return ServerProblem(f"{self.url} {state} {KEY_VARIABLE} ({error.code} {told})", error.code)
        if error.code in NOT_THERE:
            model = f", and does it have the model {self.model!r}" if getattr(self, "model", "") else ""
            return ServerProblem(
                f"{self.url} answers {error.code}: {told}. Is the address right (most end in /v1){model}?", error.code
            )
        if 300 <= error.code < 400:
            return ServerProblem(f"{self.url} has moved to {error.headers.get('Location')}: name that address")
        return PromptRefused(f"the server says {error.code}: {told}")

    # --- what was refused ---------------------------------------------------------------------------------------

    def _keep_refused(self, prompt: ServedPrompt, reason: PromptRefused) -> None:
        self.refused.append({"prompt_id": prompt.prompt_id, "reason": str(reason)})

        def write(folder: Path) -> None:
            (folder / REFUSED_FILE).write_text(json.dumps(self.refused), "utf-8")

        self.run.save_state(write)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would take the key to an address that nobody named."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _earlier_refused(run: RunDir) -> list[Row]:
    folder = run.load_state()
    refused: list[Row] = [] if folder is None else json.loads((folder / REFUSED_FILE).read_text("utf-8"))
    return refused


def _facts(choice: Row, drawn: int | None) -> Row:
    """Text and figures of one choice. What the server does not tell stays None: it is not ours to guess."""
    tokens = (choice.get("logprobs") or {}).get("content") or []
    return {
        "text": (choice.get("message") or {}).get("content") or "",
        "tokens": len(tokens) if tokens else drawn,
        "logprob": sum(float(token["logprob"]) for token in tokens) if tokens else None,
        "finished": choice.get("finish_reason") == "stop",
    }


def _seconds(header: str | None) -> float:
    """Retry-After in seconds; 0 if it is missing or a date."""
    return float(header) if header and header.strip().isdigit() else 0.0


def _shortened(told: Any) -> str:
    """An error's message on one line, whichever of the usual shapes it comes in."""
    try:
        told = json.loads(told) if isinstance(told, str) else told
        error = told.get("error", told.get("message", told))
        told = error.get("message", error) if isinstance(error, dict) else error
    except (ValueError, AttributeError):
        pass
    return " ".join(str(told).split())[:300]
