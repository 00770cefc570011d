"""Answers from a server that speaks OpenAI's protocol: vLLM, llama.cpp, TGI, Ollama, or a hosted one.

They are for people to rank. Which distribution they were drawn from is the server's business (llama.cpp and Ollama cut
at top-k unless told otherwise), so nothing here is fit to start PPO's ratio from. Standard library only: a machine
that has a server elsewhere needs no torch for this.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from annotation.model_server import ModelClient, OddAnswer, OddReply, RefusedByServer, ServerProblem
from training.methods import SampleConfig
from training.recipes.text.replies import read_choices
from training.rundir import Row, RunDir
from training.tokenizers.settings import ChatSettings

PARALLEL = 8  # requests at a time
MOST_ODD = 24  # odd answers in a row with not one that can be used: the server is no model's
REFUSED_FILE = "refused.json"


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
        self.client = ModelClient(config.server, os.environ)
        self.prompts = [ServedPrompt(row["prompt_id"], row["messages"]) for row in rows]
        self.refused = _earlier_refused(run)  # {"prompt_id", "reason"}, with "answers" where only so many are left out
        self.client.model = config.server_model or self.client.only_model()

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
            except RefusedByServer as reason:
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
        self.client.has_answered = self.answered > 0
        self.odd += found.odd.total()
        if not self.answered and self.odd >= MOST_ODD:
            reason = next(iter(found.odd), "")
            raise ServerProblem(
                f"{self.client.url} has given {self.odd} replies and no answer that can be used: {reason}"
            )

    def _ask(self, prompt: ServedPrompt, count: int, first: int) -> list[Row | OddAnswer]:
        config = self.config
        # A seed for each request: the same one would bring the same answer again.
        seed = random.Random(f"{config.seed} {prompt.prompt_id} {first}").getrandbits(31)
        body = {
            "model": self.client.model,
            "messages": prompt.messages,
            "n": count,
            "max_tokens": config.max_new_tokens,
            "temperature": config.temperature,
            "top_p": 1.0,
            "seed": seed,
            "tools": self.settings.tools,
            "chat_template_kwargs": self.settings.other_kwargs,
        }
        try:
            sent = {name: value for name, value in body.items() if value not in ("", {}, [])}
            return self.client.request("chat/completions", sent, partial(read_choices, settings=self.settings))
        except RefusedByServer:
            if count == 1:
                raise
            return self._ask(prompt, 1, first)  # some servers refuse n > 1 instead of ignoring it

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
