"""Direct preference optimisation: the method `dpo`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.methods import shared
from training.methods.base import Method, Plan
from training.methods.bases import AnswersConfig
from training.methods.load import Load, at_once
from training.methods.settings import setting
from training.phrases import phrase


@dataclass(frozen=True)
class DPOConfig(AnswersConfig):
    """Direct preference optimisation: learns from pairs of answers, without a reward model and without sampling."""

    epochs: int = setting(2, "Passes over the pairs", least=1, most=100)
    batch_size: int = setting(16, "Pairs per optimiser step", least=1, most=65536)
    learning_rate: float = setting(2e-4, "Peak rate of AdamW; linear decay to 0", least=0, most=1)
    micro_batch: int = shared.micro_batch(phrase("Pairs"))
    beta: float = setting(0.1, "β: strength of the KL constraint to the reference policy", least=0.0001, most=100)


def learns(config: Mapping[str, Any], prompt: int, answer: int) -> Load:
    """Return the pairs that are learned from at once: chosen and rejected answer, each after its own prompt."""
    return Load(2 * at_once(config, "batch_size"), prompt, 1, answer)


METHOD = Method(
    "dpo",
    phrase("DPO"),
    DPOConfig,
    recipe="dpo",
    data="preference",
    makes="policy",
    uses_trl=True,
    order=40,
    learns=learns,
    presets={
        "quick": {"epochs": 1, "eval_completions": 1},
        "thorough": {"epochs": 3, "eval_completions": 8},
    },
    plans=(
        Plan(
            "dpo,sample",
            phrase("DPO"),
            order=60,
            does=phrase(
                "Trains the policy directly on preference pairs, without a reward model, and generates new responses "
                "to rank."
            ),
            needs=phrase("Rankings."),
        ),
    ),
)
