"""Answers as tensors, and what a model reads off them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import Tensor


@dataclass(frozen=True)
class Answers:
    """K answers to each of G prompts: what every role reads.

    Shapes: prompt (g, p) padded on the left, response (g, k, r) padded on the right, masks True on real tokens. An
    answer always ends with EOS here, put there even if the policy had not got that far (see reward_model.py). The
    trunk states (g, p, d) and (g, k, r, d) are None until they are computed, or where they cannot be; so are the
    depths (g, k, n, d), the mean over an answer's tokens of its states at n depths of the base model.
    """

    prompt: Tensor
    prompt_mask: Tensor
    response: Tensor
    response_mask: Tensor
    prompt_trunk: Tensor | None = None
    response_trunk: Tensor | None = None
    depths: Tensor | None = None

    def select(self, groups: Tensor) -> Answers:
        values = (getattr(self, name) for name in self.__dataclass_fields__)
        return Answers(*(None if value is None else value[groups] for value in values))

    def without_trunk(self) -> Answers:
        return replace(self, prompt_trunk=None, response_trunk=None, depths=None)


class AnswerReading(NamedTuple):
    """Final hidden states (g, k, r, d): the one that predicts each token, and the one after it was read."""

    before: Tensor
    after: Tensor


class TokenStep(NamedTuple):
    """What reading q more tokens of n rows gives."""

    trunk: Tensor | None  # (n, q, d)
    depths: Tensor | None  # (n, q, depths, d)
    final: Tensor  # (n, q, d)
