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
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException, IncompleteRead
from pathlib import Path
from typing import TypeVar
from urllib.error import HTTPError

from annotation.outgoing import MODEL_SERVER, SERVERS_VARIABLE, NoRedirect, NotAllowed, model_server, status_words
from training.methods import SampleConfig
from training.recipes.text.replies import OddAnswer, OddReply, read_choices, read_object
from training.rundir import Row, RunDir
from training.tokenizers.settings import ChatSettings

T = TypeVar("T")

PARALLEL = 8  # requests at a time
ATTEMPTS, FIRST_WAIT, LONGEST_WAIT = 8, 0.5, 60.0  # seconds, doubled each time: a server may take a minute to load
ODD_ATTEMPTS = 3  # at a reply that cannot be read
MOST_ODD = 24  # odd answers in a row with not one that can be used: the server is no model's
MOST_NAMES, MOST_NAME = 20, 100  # of models in a message, and characters of each
REFUSED_FILE = "refused.json"
NOT_THERE = (404, 405)


class ServerProblem(Exception):
    """Raised where the run cannot go on; the message tells what to correct. `code` is the server's, if any."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class PromptRefused(Exception):
    """The server will not answer this prompt; the message is its reason."""


@dataclass(frozen=True)
class ServedPrompt:
    """A prompt as a server is asked it."""

    prompt_id: int
    messages: list[dict[str, str]]


@dataclass
class Answered:
    """What came back for a prompt: answers, how many could not be used by reason, or why it was refused whole."""

    answers: list[Row] = field(default_factory=list)
    odd: Counter[str] = field(default_factory=Counter)
    refused: str = ""

    @property
    def count(self) -> int:
        """Return for how many of the answers that are wanted something has come."""
        return len(self.answers) + self.odd.total()


class ServedModel:
    """Where sample.py gets answers from if its config names a server.

    One odd answer, or one reply that cannot be read, costs that answer: it is counted by its reason in `refused`.
    """

    def __init__(
        self, config: SampleConfig, run: RunDir, rows: list[Row], settings: ChatSettings | None = None
    ) -> None:
        self.settings = settings or ChatSettings()
        self.answered = self.odd = 0
        self.config, self.run = config, run
        self.url = config.server.rstrip("/")
        try:
            listed = model_server(self.url, os.environ)
        except NotAllowed as why:
            raise ServerProblem(f"server: {why}") from None
        # The key is never in a config: those are shown on pages and kept with the answers.
        self.key_variable, self.key = listed.key_variable, os.environ.get(listed.key_variable, "")
        self.prompts = [ServedPrompt(row["prompt_id"], row["messages"]) for row in rows]
        self.refused = _earlier_refused(run)  # {"prompt_id", "reason"}, with "answers" where only so many are left out
        self.model = config.server_model or self._only_model()

    def answer(self, batch: list[ServedPrompt], number: int, count: int) -> Iterator[Row]:
        """Yield the batch's rows in its order, as they come in; what was refused is not asked again."""
        known = {row["prompt_id"] for row in self.refused if "answers" not in row}
        asked = {prompt.prompt_id for prompt in batch} - known
        self.refused = [row for row in self.refused if row["prompt_id"] not in asked]  # an earlier attempt's
        pool = ThreadPoolExecutor(PARALLEL)
        try:
            open_prompts = [prompt for prompt in batch if prompt.prompt_id not in known]
            for prompt, answered in zip(
                open_prompts, pool.map(partial(self._answers_to, wanted=count), open_prompts), strict=True
            ):
                self._keep_refused(prompt, answered)
                for index, facts in enumerate(answered.answers):
                    yield {"step": number, "prompt_id": prompt.prompt_id, "index": index, **facts}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def left_out(self, prompt_id: int) -> int | None:
        """Return how many answers to a prompt could not be used; None where the whole prompt was refused."""
        own = [row for row in self.refused if row["prompt_id"] == prompt_id]
        return sum(row["answers"] for row in own) if all("answers" in row for row in own) else None

    def _answers_to(self, prompt: ServedPrompt, wanted: int) -> Answered:
        """Return all answers, at once where the server can do that, else the missing ones one by one."""
        found = Answered()
        while (asked := found.count) < wanted:
            try:
                for answer in self._ask(prompt, 1 if asked else wanted, first=asked)[: wanted - asked]:
                    if isinstance(answer, OddAnswer):
                        found.odd[str(answer)] += 1
                    else:
                        found.answers.append(answer)
            except PromptRefused as reason:
                if not asked:
                    found.refused = str(reason)
                    break
                found.odd[str(reason)] += wanted - asked
            except OddReply as reason:
                found.odd[str(reason)] += wanted - asked
        self._count(found)
        return found

    def _count(self, found: Answered) -> None:
        """Give up where a server has sent many odd replies and not one answer: it will send no other."""
        self.answered += len(found.answers)
        self.odd += found.odd.total()
        if not self.answered and self.odd >= MOST_ODD:
            reason = next(iter(found.odd), "")
            raise ServerProblem(f"{self.url} has given {self.odd} replies and no answer that can be used: {reason}")

    def _ask(self, prompt: ServedPrompt, count: int, first: int) -> list[Row | OddAnswer]:
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
            "chat_template_kwargs": dict(self.settings.template_kwargs),
        }
        try:
            sent = {name: value for name, value in body.items() if value not in ("", {})}
            return self._request("chat/completions", sent, partial(read_choices, settings=self.settings))
        except PromptRefused:
            if count == 1:
                raise
            return self._ask(prompt, 1, first)  # some servers refuse n > 1 instead of ignoring it

    def _only_model(self) -> str:
        """Return the server's model if it has just one; a server without a list of models chooses by itself."""
        try:
            listed = self._request("models", None, read_object).get("data")
        except OddReply as reason:
            raise ServerProblem(f"{self.url}/models does not speak OpenAI's protocol: {reason}") from None
        except ServerProblem as problem:
            if problem.code not in NOT_THERE:
                raise
            return ""
        entries = listed if isinstance(listed, list) else []
        names = [str(entry["id"]) for entry in entries if isinstance(entry, dict) and entry.get("id")]
        if len(names) > 1:
            shown = ", ".join(name[:MOST_NAME] for name in names[:MOST_NAMES])
            raise ServerProblem(f"{self.url} has several models: set server_model to one of {shown}")
        return names[0] if names else ""

    # --- HTTP --------------------------------------------------------------------------------------------------

    def _request(self, path: str, body: Row | None, read: Callable[[bytes], T]) -> T:
        """Return what `read` makes of the reply.

        Raises PromptRefused where the server finds fault with the request, OddReply where no attempt brought a reply
        that can be read, ServerProblem where all requests would fail.
        """
        wait, problem, odd = FIRST_WAIT, "no attempt was made", 0
        for attempt in range(ATTEMPTS):
            if attempt:
                # Not all at the same moment again.
                time.sleep(min(wait * random.uniform(1.0, 1.5), LONGEST_WAIT))
                wait *= 2
            try:
                return read(self._send(path, body))
            except OddReply:
                odd += 1
                if odd == ODD_ATTEMPTS:
                    raise
            except HTTPError as error:
                problem = status_words(error.code)
                if error.code != 429 and error.code < 500:
                    raise self._hopeless(error) from None
                wait = max(wait, _seconds(error.headers.get("Retry-After")))
            except (OSError, HTTPException) as error:
                problem = str(getattr(error, "reason", error)) or type(error).__name__
        if body is not None and self.answered and self._is_up():
            raise OddReply(f"the server answers others, and after {ATTEMPTS} attempts: {problem}")
        raise ServerProblem(f"{self.url} does not answer after {ATTEMPTS} attempts: {problem}")

    def _is_up(self) -> bool:
        """Return whether the server still answers anything at all."""
        try:
            self._send("models", None)
        except HTTPError as error:
            return error.code in NOT_THERE
        except (OSError, HTTPException, OddReply):
            return False
        return True

    def _send(self, path: str, body: Row | None) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/{path}", data, headers)
        # Without proxies of the environment: the address that the operator lists is the one that is asked.
        opener = urllib.request.build_opener(NoRedirect, urllib.request.ProxyHandler({}))
        most = MODEL_SERVER.most_bytes
        with opener.open(request, timeout=MODEL_SERVER.silence_seconds) as reply:
            received: bytes = reply.read(most + 1)
            # Read in parts, http.client does not say that a body is shorter than was announced.
            if reply.length and len(received) <= most:
                raise IncompleteRead(received, reply.length)
        if len(received) > most:
            raise OddReply(f"the reply is larger than {most // 2**20} MB")
        return received

    def _hopeless(self, error: HTTPError) -> Exception:
        """Return the error to raise, without the server's text, which may not be meant for readers of the run."""
        told = status_words(error.code)
        if error.code in (401, 403):
            missing = f"wants a key: name its variable behind the address in {SERVERS_VARIABLE}"
            state = f"refuses the key in {self.key_variable}" if self.key else missing
            return ServerProblem(f"{self.url} {state} ({told})", error.code)
        if error.code in NOT_THERE:
            model = f", and does it have the model {self.model!r}" if getattr(self, "model", "") else ""
            return ServerProblem(
                f"{self.url} answers {told}. Is the address right (most end in /v1){model}?", error.code
            )
        if 300 <= error.code < 400:
            return ServerProblem(f"{self.url} redirects ({told}): name the address that it redirects to")
        return PromptRefused(f"the server says {told}; its own log says why")

    # --- what was refused ---------------------------------------------------------------------------------------

    def _keep_refused(self, prompt: ServedPrompt, answered: Answered) -> None:
        if answered.refused:
            self.refused.append({"prompt_id": prompt.prompt_id, "reason": answered.refused})
        for reason, count in answered.odd.items():
            self.refused.append({"prompt_id": prompt.prompt_id, "reason": reason, "answers": count})
        if not answered.refused and not answered.odd:
            return

        def write(folder: Path) -> None:
            (folder / REFUSED_FILE).write_text(json.dumps(self.refused), "utf-8")

        self.run.save_state(write)


def _earlier_refused(run: RunDir) -> list[Row]:
    folder = run.load_state()
    refused: list[Row] = [] if folder is None else json.loads((folder / REFUSED_FILE).read_text("utf-8"))
    return refused


def _seconds(header: str | None) -> float:
    """Return Retry-After in seconds; 0 if it is missing or a date."""
    return float(header) if header and header.strip().isdigit() else 0.0
