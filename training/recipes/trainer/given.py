"""Log-probabilities of answers that are given, as the trainers on pairs and on labelled answers need them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from training.recipes.models.answers import Answers
from training.recipes.models.shared_model import SharedModel, role_logprobs
from training.recipes.text.prompts import pad_left, pad_right


@torch.no_grad()
def given_logprobs(
    shared: SharedModel,
    prompts: Sequence[list[int]],
    answers: Sequence[list[list[int]]],
    role: str | None,
    batch_size: int,
) -> Tensor:
    """Return log-probabilities under a role (None: the reference), in nats, summed over tokens with EOS.

    (prompts, answers each): every prompt has the same number of answers.
    """
    sums = []
    for at in range(0, len(prompts), batch_size):
        prompt, prompt_mask = pad_left(list(prompts[at : at + batch_size]), shared.pad)
        ids, mask = pad_right(list(answers[at : at + batch_size]), shared.pad)
        batch = Answers(*(tensor.to(shared.device) for tensor in (prompt, prompt_mask, ids, mask)))
        sums.append(role_logprobs(shared, batch, batch.response_mask, role, 1.0).sum(-1).cpu())
    return torch.cat(sums)
