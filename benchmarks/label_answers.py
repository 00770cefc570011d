"""The responses that benchmarks/label_efficiency.py ranks, what can be read of them, and the judges that rank them.

All is computed once and kept in a folder, in parts: a script that was stopped goes on at the first missing part.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.recipes.models.answers import AnswerReading, Answers
from training.recipes.models.generation import Drawing, sample
from training.recipes.models.masks import as_tree, tree_layout
from training.recipes.models.shared_model import SharedModel
from training.recipes.process.seeds import generator
from training.recipes.text.prompts import pad_right, prompt_tokens

ROOT = Path(__file__).resolve().parent.parent
SAMPLE_PROMPTS = ROOT / "annotation" / "sample_prompts.jsonl"
RESPONSES, TOKENS, TEMPERATURE = 8, 20, 1.0
AT_ONCE = 8  # prompts per batch
BATCHES_PER_PART = 3
DEPTHS = 10  # at which states are kept, evenly spaced; the last one is the top
HELD_OUT = 5  # one prompt in so many

REQUESTS = (
    "What do you think of {}?",
    "Describe {} in one sentence.",
    "Tell me a very short story about {}.",
    "Give me one piece of advice about {}.",
    "Why do people care about {}?",
    "Write a note to a friend about {}.",
)
SUBJECTS = (
    "a stray dog",
    "the last train home",
    "an old harbour",
    "learning the piano",
    "a crowded market",
    "winter mornings",
    "a broken umbrella",
    "the first day at work",
    "a long queue",
    "growing tomatoes",
    "a noisy neighbour",
    "a letter that never came",
    "a school play",
    "the village doctor",
    "repairing a bicycle",
    "a lost key",
    "the night shift",
    "an empty stadium",
    "a family dinner",
    "a rainy holiday",
    "moving to another city",
    "a cheap hotel",
    "the public library",
    "a surprise party",
    "a failed exam",
    "cooking for ten people",
    "a walk in the fog",
    "the town's only cinema",
    "an unpaid bill",
    "a new haircut",
    "a mountain hut",
    "the football coach",
    "a power cut",
    "saying sorry",
    "a second-hand coat",
    "the morning news",
    "a chess club",
    "a delayed flight",
    "keeping bees",
    "an honest politician",
)


@dataclass(frozen=True)
class AnswerSet:
    """Responses, `RESPONSES` in a row to each prompt, and what was read of them. Shapes: n responses.

    `mean` and `last` (n, depths, d) are the base model's states, over the response with EOS and after EOS; `logprob`
    (n, 2) is the response's log-probability by token and in all; `tokens` (n,) its length. `asked` (prompts, depths, d)
    is the mean over a prompt's tokens.
    """

    prompts: list[str]
    texts: list[str]
    mean: Tensor
    last: Tensor
    logprob: Tensor
    tokens: Tensor
    asked: Tensor

    def prompt_of(self) -> Tensor:
        return torch.arange(len(self.prompts)).repeat_interleave(RESPONSES)

    def is_held_out(self) -> Tensor:
        """Return which prompts are kept from learning: one in `HELD_OUT`, at random, the same ones always."""
        order = torch.randperm(len(self.prompts), generator=generator(0, "held out"))
        held_out = torch.zeros(len(self.prompts), dtype=torch.bool)
        held_out[order[: len(self.prompts) // HELD_OUT]] = True
        return held_out


def all_prompts() -> list[str]:
    """Return the bundled sample prompts of one message, and six requests about each of forty subjects, mixed."""
    bundled = [json.loads(line) for line in SAMPLE_PROMPTS.read_text("utf-8").splitlines()]
    prompts = [row["text"] for row in bundled if "text" in row]  # of one message; the others are conversations
    prompts += [request.format(subject) for subject in SUBJECTS for request in REQUESTS]
    order = torch.randperm(len(prompts), generator=generator(0, "prompts")).tolist()
    return [prompts[place] for place in order]


def load_answers(model: str, folder: Path, count: int) -> AnswerSet:
    """Return the responses to `count` prompts; those that the folder does not hold are sampled and read first."""
    folder.mkdir(parents=True, exist_ok=True)
    prompts, shared = all_prompts()[:count], None
    parts = []
    per_part = AT_ONCE * BATCHES_PER_PART
    for number, at in enumerate(range(0, len(prompts), per_part)):
        path = folder / f"responses-{number:02}.pt"
        if not path.exists():
            shared = shared or SharedModel(model, torch.device("cpu"))
            batches = [
                _read(shared, prompts[first : first + AT_ONCE], first)
                for first in range(at, min(at + per_part, len(prompts)), AT_ONCE)
            ]
            _replace(path, _joined(batches))
            print(f"{min(at + per_part, len(prompts))} of {len(prompts)} prompts", file=sys.stderr, flush=True)
        parts.append(torch.load(path, weights_only=True))
    return AnswerSet(prompts, **_joined(parts))


def _replace(path: Path, value: Any) -> None:
    torch.save(value, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def _joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        name: torch.cat([part[name] for part in parts])
        if isinstance(parts[0][name], Tensor)
        else [text for part in parts for text in part[name]]
        for name in parts[0]
    }


@torch.no_grad()
def _read(shared: SharedModel, prompts: list[str], first: int) -> dict[str, Any]:
    """Return the responses to some prompts, and what the model makes of them as people see them."""
    asked = [prompt_tokens(shared.chat, [{"role": "user", "content": prompt}], 200) for prompt in prompts]
    rollout = sample(shared, None, asked, Drawing(RESPONSES, TOKENS, TEMPERATURE), generator(1, "responses", first))
    texts = rollout.texts(shared)
    seen = [[shared.chat.answer(text) if text else [shared.closing] for text in group] for group in texts]
    response, mask = pad_right(seen, shared.pad)
    answers = Answers(rollout.answers.prompt, rollout.answers.prompt_mask, response, mask)
    layout = tree_layout(answers.prompt_mask, answers.response_mask)
    passed: list[Tensor] = []
    kept = shared.blocks.depths
    shared.blocks.depths = [round(len(shared.blocks) * (part + 1) / DEPTHS) for part in range(DEPTHS)]
    hidden = shared.blocks.embed(layout.move(as_tree(answers.prompt, answers.response)))
    hidden = shared.blocks.run(hidden, layout.sight, (0, len(shared.blocks)), passed=passed)
    final = layout.move_back(shared.blocks.norm(hidden))
    passed = [layout.move_back(states) for states in passed]
    shared.blocks.depths = kept
    width = answers.prompt.shape[1]
    after = final[:, width:].unflatten(1, response.shape[1:])
    before = torch.cat([final[:, None, None, width - 1].expand(-1, RESPONSES, 1, -1), after[:, :, :-1]], 2)
    states = torch.stack([state[:, width:] for state in passed], 2).float()
    states = states.unflatten(1, response.shape[1:]).flatten(0, 1)  # (n, r, depths, d)
    marks = mask.flatten(0, 1)
    lengths = marks.sum(-1)
    states = states.masked_fill(~marks[..., None, None], 0.0)
    logprobs = shared.logprobs(AnswerReading(before, after), answers, mask, 1.0).flatten(0, 1)
    asked_states = torch.stack([state[:, :width] for state in passed], 2).float()
    asked_mask = answers.prompt_mask[..., None, None]
    total = logprobs.masked_fill(~marks, 0.0).sum(-1)
    return {
        "texts": [text for group in texts for text in group],
        "mean": (states.sum(1) / lengths[:, None, None]).half(),
        "last": states[torch.arange(len(states)), lengths - 1].half(),
        "logprob": torch.stack([total / lengths, total], 1),
        "tokens": lengths,
        "asked": ((asked_states * asked_mask).sum(1) / asked_mask.sum(1)).half(),
    }
