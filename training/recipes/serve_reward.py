"""A reward model over HTTP, in the shape that OpenRLHF asks for with --reward.remote_url:

    python -m training.recipes.serve_reward FOLDER [--host 127.0.0.1] [--port 5000]

    POST /get_reward  {"query": ["prompt and answer, with the chat template", …], "prompts": ["the prompt of each", …]}
                      → {"rewards": [0.37, …], "scores": [the same]}
    GET  /health      → {"status": "ok"}

`prompts` may be left out, as older versions do: the last turn of the assistant is then the answer. Scores are those
that PPO is rewarded with here. With PREFLOOP_REWARD_TOKEN set, requests need `Authorization: Bearer <token>`.
"""

from __future__ import annotations

import argparse
import hmac
import json
import os
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch

from training.recipes.models.rankings import JudgedSet, collate
from training.recipes.models.reward_model import RewardModel, base_of
from training.recipes.models.shared_model import SharedModel
from training.recipes.process.errors import RecipeError
from training.recipes.process.log import log_to_stdout, logger
from training.recipes.process.resources import pick_device
from training.recipes.text.prompts import Refused, response_tokens
from training.tokenizers.thoughts import tag_left_open

LOCAL = ("127.0.0.1", "localhost", "::1")
TOKEN = "PREFLOOP_REWARD_TOKEN"
MOST_BYTES = 64 * 2**20


class BadRequest(ValueError):
    """Raised for a wrong request; the message is for the client."""


class Scorer:
    """Texts to scores, a batch at a time; requests take turns."""

    def __init__(self, folder: Path, batch_size: int = 16) -> None:
        self.shared = SharedModel(base_of(folder), pick_device())
        self.model = RewardModel.load(self.shared, folder)
        self.batch_size = batch_size
        self.turn = threading.Lock()
        self.marker = self.shared.chat.generation_prompt
        stops = {self.shared.tokenizer.convert_ids_to_tokens(token) for token in self.shared.chat.stops}
        self.stops = {*stops, self.shared.tokenizer.pad_token} - {None}

    def rewards(self, body: Any) -> list[float]:
        pairs = [self._tokens(number, query, prompt) for number, (query, prompt) in enumerate(self._texts(body))]
        scores: list[float] = []
        with self.turn:
            for start in range(0, len(pairs), self.batch_size):
                scores += self._score(pairs[start : start + self.batch_size])
        return scores

    def _texts(self, body: Any) -> list[tuple[str, str | None]]:
        queries = body.get("query") if isinstance(body, dict) else None
        if not isinstance(queries, list) or not all(isinstance(query, str) for query in queries):
            raise BadRequest("query should be a list of texts, each a prompt with its answer.")
        prompts = body.get("prompts")
        if prompts is None:
            return [(query, None) for query in queries]
        if not isinstance(prompts, list) or len(prompts) != len(queries):
            raise BadRequest(f"prompts should be a list of {len(queries)} texts, one for each query.")
        return list(zip(queries, prompts, strict=True))

    def _tokens(self, number: int, query: str, prompt: str | None) -> tuple[list[int], list[int]]:
        chat = self.shared.chat
        if isinstance(prompt, str) and query.startswith(prompt):
            answer = query[len(prompt) :]
        else:  # none was sent, or the sender cut or padded it on the left
            before, marker, answer = query.rpartition(self.marker)
            if not marker:
                raise BadRequest(
                    f"query {number} does not begin with its prompt, and has no turn of the assistant "
                    f"({self.marker!r}) either."
                )
            prompt = before + marker
        prompt = _without_padding(prompt, self.shared.tokenizer.pad_token)
        ids = chat.encode(chat.ready(prompt))
        answer = chat.visible(self._without_ends(answer), opened=tag_left_open(prompt))
        if not answer:
            return ids, [chat.closing]  # as PPO scores an answer that ends before it begins
        try:
            return ids, response_tokens(chat, answer, self.shared.longest - len(ids))
        except Refused as problem:
            raise BadRequest(f"query {number}: {problem}") from None

    def _without_ends(self, answer: str) -> str:
        """Return the answer's text up to the first of the model's stops; pads and what comes after it are no words."""
        ends = [place for stop in self.stops if (place := answer.find(stop)) >= 0]
        return answer[: min(ends)] if ends else answer

    @torch.no_grad()
    def _score(self, pairs: list[tuple[list[int], list[int]]]) -> list[float]:
        rows = [JudgedSet(number, "train", prompt, [answer]) for number, (prompt, answer) in enumerate(pairs)]
        answers = collate(rows, self.shared)
        return [float(score) for score in self.model.score(answers)[:, 0]]


def _without_padding(prompt: str, pad: str) -> str:
    """Return the prompt without the pads on its left."""
    while pad and prompt.startswith(pad):
        prompt = prompt[len(pad) :]
    return prompt


def handler(scorer: Scorer, token: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/health"
            self._answer(HTTPStatus.OK if found else HTTPStatus.NOT_FOUND, {"status": "ok" if found else "not found"})

        def do_POST(self) -> None:
            if self.path != "/get_reward":
                return self._answer(HTTPStatus.NOT_FOUND, {"error": "POST /get_reward is the only address."})
            given = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if token and not hmac.compare_digest(given, token):
                return self._answer(HTTPStatus.UNAUTHORIZED, {"error": "Authorization: Bearer <token> is missing."})
            given_size = self.headers.get("Content-Length") or ""
            if not (given_size.isascii() and given_size.isdigit()):
                return self._answer(HTTPStatus.LENGTH_REQUIRED, {"error": "Content-Length is no number."})
            size = int(given_size)
            if size > MOST_BYTES:
                return self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": "At most 64 MB at once."})
            try:
                rewards = scorer.rewards(json.loads(self.rfile.read(size)))
            except UnicodeDecodeError as problem:
                return self._answer(HTTPStatus.BAD_REQUEST, {"error": f"The body is no UTF-8: {problem}"})
            except (json.JSONDecodeError, RecursionError) as problem:
                return self._answer(HTTPStatus.BAD_REQUEST, {"error": f"The body is no JSON: {problem}"})
            except BadRequest as problem:
                return self._answer(HTTPStatus.BAD_REQUEST, {"error": str(problem)})
            return self._answer(HTTPStatus.OK, {"rewards": rewards, "scores": rewards})

        def _answer(self, status: HTTPStatus, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            logger.info(format, *args)

    return Handler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--batch-size", type=int, default=16)
    options = parser.parse_args()
    log_to_stdout()
    token = os.environ.get(TOKEN, "")
    if options.host not in LOCAL and not token:
        parser.error(f"{options.host} can be reached by others: set {TOKEN}, which they then have to send.")
    try:
        scorer = Scorer(options.folder, options.batch_size)
    except RecipeError as problem:
        parser.error(str(problem))
    server = ThreadingHTTPServer((options.host, options.port), handler(scorer, token))
    logger.info("Rewards at http://%s:%d/get_reward", options.host, server.server_port)
    server.serve_forever()


if __name__ == "__main__":
    main()
