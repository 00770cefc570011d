"""Replies for the playground, token by token: `python -m training.recipes.chat`, a request per line of JSON on stdin.

    {"checkpoint": …, "messages": [{"role": …, "content": …}], "max_new_tokens": 64, "temperature": 0.9, "seed": 0,
     "chat": the project's chat settings, where they are not the defaults}

Answers on stdout are {"text": all of it so far, "tokens": n}, in the end with "finished" (ended by itself, not at its
limit) and "prompt_tokens", or {"error": …}. The last base model stays in memory with the adapters that were asked for.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from training.recipes.models.generation import draw
from training.recipes.models.shared_model import SharedModel
from training.recipes.process import checkpoints
from training.recipes.process.errors import RecipeError
from training.recipes.process.resources import pick_device
from training.recipes.text.formats import chat_format, chat_settings
from training.recipes.text.prompts import Refused, prompt_tokens
from training.tokenizers.chat_format import ChatFormat

SAY_EVERY = 0.2  # seconds


class Models:
    """One base model, and a role for each adapter over it."""

    def __init__(self) -> None:
        self.base: SharedModel | None = None
        self.roles: dict[Path, str] = {}
        self.formats: dict[str, ChatFormat] = {}

    def get(self, checkpoint: str, settings: dict[str, Any] | None = None) -> tuple[SharedModel, str | None]:
        """Return the model and the role of a version's adapter. `settings` are the project's (`ChatSettings`)."""
        model, role = self._loaded(checkpoint)
        key = json.dumps(settings, sort_keys=True)
        if key not in self.formats:
            with chat_settings(settings):
                self.formats[key] = chat_format(model.tokenizer, model.model)
        model.chat = self.formats[key]
        return model, role

    def _loaded(self, checkpoint: str) -> tuple[SharedModel, str | None]:
        policy = checkpoints.resolve(checkpoint)
        base = self.base
        if base is None or base.path != str(Path(policy.base).absolute()):
            self.base, self.roles, self.formats = (
                None,
                {},
                {},
            )  # before the next one is loaded: memory for one is enough
            base = self.base = SharedModel(policy.base, pick_device())
        if policy.adapter is None:
            return base, None
        if policy.adapter not in self.roles:
            role = f"version_{len(self.roles)}"
            base.adapters.load(role, policy.adapter)
            self.roles[policy.adapter] = role
        return base, self.roles[policy.adapter]


@torch.no_grad()
def tokens_of(
    model: SharedModel, role: str | None, prompt: list[int], *, most: int, temperature: float, seed: int
) -> Iterator[int]:
    """Yield one token after the other, up to the stop, which is the last, or to `most` of them."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.tensor([prompt], device=model.device)
    seen = torch.ones_like(ids, dtype=torch.bool)
    cache = model.new_cache(len(prompt) + most)
    state = model.advance(ids, seen, cache, role).final[:, -1]
    written: list[int] = []
    for _ in range(most):
        token = draw(model.logits(state), torch.rand(1, generator=generator).to(model.device), temperature).tokens
        yield int(token)
        written.append(int(token))
        if model.chat.is_over(written):
            return
        seen = torch.cat([seen, torch.ones_like(seen[:, :1])], 1)
        state = model.advance(token[:, None], seen, cache, role).final[:, -1]


def reply(models: Models, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the reply so far, again and again, and whole in the end; or what is wrong with the request."""
    try:
        model, role = models.get(request["checkpoint"], request.get("chat"))
        most = request["max_new_tokens"]
        prompt = prompt_tokens(model.chat, request["messages"], model.longest - most - 1, asks=True)
    except (RecipeError, Refused, OSError, ValueError) as problem:
        yield {"error": str(problem)}
        return
    written: list[int] = []
    said = time.monotonic()
    for token in tokens_of(model, role, prompt, most=most, temperature=request["temperature"], seed=request["seed"]):
        written.append(token)
        if time.monotonic() - said > SAY_EVERY:
            said = time.monotonic()
            yield {"text": _text(model, written), "tokens": len(written)}
    yield {
        "text": _text(model, written),
        "tokens": len(written),
        "prompt_tokens": len(prompt),
        "finished": model.chat.is_over(written),
    }


def _text(model: SharedModel, written: list[int]) -> str:
    """Return what people see, without the half of a character whose other half is still to come."""
    return model.chat.text(written, asked=True).rstrip("\ufffd")


def main() -> None:
    # Libraries print progress to stdout; what is not an answer goes to stderr.
    out, sys.stdout = sys.stdout, sys.stderr
    models = Models()
    for line in sys.stdin:
        for answer in reply(models, json.loads(line)):
            out.write(json.dumps(answer) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
