"""Ask a judge about pairs, several at a time, each in both orders."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from annotation.judging.verdicts import ChatTurns, JudgeReply, messages_for, read_reply
from annotation.model_server import ModelClient, OddReply, RefusedByServer
from annotation.outgoing import Bounds

PARALLEL = 8  # pairs at a time
ATTEMPTS = 4  # at one request
BOUNDS = Bounds(silence_seconds=120.0, whole_seconds=300.0, most_bytes=4 * 2**20)
LONGEST_PROBLEM = 300  # characters of it that are kept


@dataclass(frozen=True)
class JudgedPair:
    """Two responses to a conversation; `pk` is the row that waits for the judgment."""

    pk: int
    messages: ChatTurns
    first: str
    second: str
    repeat: int = 0


@dataclass(frozen=True)
class PairVerdict:
    """What a judge said of a pair: 1 where `first` is better, -1 where `second` is, 0 for a tie."""

    forward: int | None = None
    backward: int | None = None
    problem: str = ""
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def choice(self) -> int | None:
        """Return what both orders say; a tie where they differ, None where one has no verdict."""
        if self.forward is None or self.backward is None:
            return None
        return self.forward if self.forward == self.backward else 0


@dataclass(frozen=True)
class JudgeSettings:
    server: str
    model: str
    rubric: str
    temperature: float
    max_tokens: int


class PairAsker:
    """Asks one version of a judge. Raises ServerProblem where its server is not listed, or does not answer at all."""

    def __init__(self, settings: JudgeSettings, environment: Mapping[str, str]) -> None:
        self.settings = settings
        self.client = ModelClient(settings.server, environment, model=settings.model, attempts=ATTEMPTS, bounds=BOUNDS)
        self.choosing = threading.Lock()
        self.is_ready = bool(settings.model)

    def ask(self, pair: JudgedPair) -> PairVerdict:
        """Return the verdicts in both orders; what cannot be used is a problem of this pair only."""
        forward = self._ask(pair, pair.first, pair.second, 0)
        backward = self._ask(pair, pair.second, pair.first, 1)
        problem = forward.problem or backward.problem
        turned = None if backward.verdict is None else -backward.verdict
        return PairVerdict(
            forward=forward.verdict,
            backward=turned,
            problem=problem[:LONGEST_PROBLEM],
            input_tokens=forward.input_tokens + backward.input_tokens,
            output_tokens=forward.output_tokens + backward.output_tokens,
        )

    def _ask(self, pair: JudgedPair, shown_as_a: str, shown_as_b: str, order: int) -> JudgeReply:
        settings = self.settings
        self._choose_model()
        body = {
            "model": self.client.model,
            "messages": messages_for(settings.rubric, pair.messages, shown_as_a, shown_as_b),
            "max_tokens": settings.max_tokens,
            "temperature": settings.temperature,
        }
        if settings.temperature > 0:
            # A seed for each request: the same one would bring the same verdict again.
            body["seed"] = random.Random(f"{pair.pk} {order}").getrandbits(31)
        if not self.client.model:
            del body["model"]
        try:
            reply = self.client.request("chat/completions", body, read_reply)
        except (OddReply, RefusedByServer) as reason:
            return JudgeReply(None, problem=str(reason))
        self.client.has_answered = True
        return reply

    def _choose_model(self) -> None:
        with self.choosing:
            if not self.is_ready:
                self.client.model = self.client.only_model("the model")
                self.is_ready = True


class PairPool:
    """Threads that ask about pairs. They are daemons: a server that is slow to answer keeps no worker from its end."""

    def __init__(self, asker: PairAsker, pairs: Sequence[JudgedPair]) -> None:
        self.asker = asker
        self.pairs: queue.SimpleQueue[JudgedPair] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[tuple[JudgedPair, PairVerdict | Exception]] = queue.SimpleQueue()
        self.left = len(pairs)
        self.stopped = threading.Event()
        for pair in pairs:
            self.pairs.put(pair)
        for number in range(min(PARALLEL, len(pairs))):
            threading.Thread(target=self._work, name=f"judge-{number}", daemon=True).start()

    def results(self, seconds: float) -> Iterator[tuple[JudgedPair, PairVerdict] | None]:
        """Yield each pair with its verdict as it comes, and None whenever none came for so long.

        Raises what ended a thread, such as ServerProblem. `stop` it in any case.
        """
        while self.left:
            try:
                pair, said = self.answers.get(timeout=seconds)
            except queue.Empty:
                yield None
                continue
            if isinstance(said, Exception):
                raise said
            self.left -= 1
            yield pair, said

    def stop(self) -> None:
        """Ask no further pair; what is under way is left to end by itself."""
        self.stopped.set()

    def _work(self) -> None:
        while not self.stopped.is_set():
            try:
                pair = self.pairs.get_nowait()
            except queue.Empty:
                return
            try:
                self.answers.put((pair, self.asker.ask(pair)))
            except Exception as problem:
                self.answers.put((pair, problem))
                return
