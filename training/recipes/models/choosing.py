"""Which prompts are worth people's time: those on whose answers the heads of the reward model disagree.

Query by committee (Seung, Opper, Sompolinsky 1992) with the bootstrap heads as committee. Bradley-Terry scores mean
something only as differences between answers to one prompt, so what counts is how far the heads are apart on
P(one answer beats the other), not on the scores themselves.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from training.recipes.models.rankings import JudgedSet, by_length, collate, portions
from training.recipes.models.reward_model import RewardModel
from training.recipes.models.shared_model import SharedModel
from training.recipes.process.errors import RecipeError
from training.recipes.text.prompts import PromptTokens, Refused, response_tokens

BY_DISAGREEMENT, BY_CHANCE = "disagreement", "control"


@torch.no_grad()
def disagreements(
    shared: SharedModel, folder: Path, prompts: Sequence[PromptTokens], answers: Mapping[int, Sequence[str]]
) -> dict[int, float]:
    """Return by prompt id how much the heads disagree on its answers. Raises RecipeError without two heads.

    A prompt with fewer than two answers that can be scored gets 0.
    """
    model = RewardModel.load(shared, folder)
    if model.heads < 2:
        raise RecipeError("The reward model has a single head, which cannot disagree: train it with heads of 2 or more")
    found = {prompt.prompt_id: 0.0 for prompt in prompts}
    groups = [group for prompt in prompts if len((group := _read(shared, prompt, answers)).candidates) > 1]
    for batch in portions(by_length(groups)):
        raw = model.raw_scores(collate(batch, shared))
        for row, group in enumerate(batch):
            found[int(group.prompt_id)] = disagreement(raw[row, : len(group.candidates)])
    return found


def disagreement(scores: Tensor) -> float:
    """Return the mean over pairs of answers of the heads' standard deviation in P(first beats second).

    Shapes: raw scores (answers, heads) → a number from 0, all heads agree, to ½, half of them are sure of either side.
    """
    first, second = torch.triu_indices(len(scores), len(scores), offset=1)
    wins = torch.sigmoid(scores[first] - scores[second])
    return float(wins.std(-1, unbiased=False).mean())


def choose(found: Mapping[int, float], wanted: int, control_share: float, seed: int) -> dict[int, str]:
    """Return prompt id → why it was chosen; the control group is drawn first, from all prompts."""
    wanted = min(wanted, len(found))
    everyone = sorted(found)
    control = random.Random(f"control {seed}").sample(everyone, round(wanted * control_share))
    rest = sorted(set(everyone) - set(control), key=lambda prompt_id: (-found[prompt_id], prompt_id))
    chosen = dict.fromkeys(control, BY_CHANCE) | dict.fromkeys(rest[: wanted - len(control)], BY_DISAGREEMENT)
    return {prompt_id: chosen[prompt_id] for prompt_id in everyone if prompt_id in chosen}


def _read(shared: SharedModel, prompt: PromptTokens, answers: Mapping[int, Sequence[str]]) -> JudgedSet:
    """Return the prompt's distinct answers, tokenised for the reward model, without empty ones."""
    candidates = []
    for text in dict.fromkeys(answers.get(prompt.prompt_id, ())):
        try:
            candidates.append(response_tokens(shared.chat, text, shared.longest - len(prompt.tokens)))
        except Refused:
            continue
    return JudgedSet(prompt.prompt_id, "train", prompt.tokens, candidates)
