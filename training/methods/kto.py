"""Kahneman–Tversky optimisation: the method `kto`."""

from __future__ import annotations

from dataclasses import dataclass

from training.methods import shared
from training.methods.base import Method, Plan
from training.methods.bases import AnswersConfig
from training.methods.load import learns_rows
from training.methods.settings import setting
from training.phrases import phrase


@dataclass(frozen=True)
class KTOConfig(AnswersConfig):
    """Kahneman–Tversky optimisation: learns from single responses that are good or bad, without a reward model.

    From thumbs and labels as they are; from a ranking with a line of acceptance by the line, without one the best
    against the worst.
    """

    epochs: int = setting(2, "Passes over the responses", least=1, most=100)
    batch_size: int = setting(16, "Responses per optimiser step", least=2, most=65536)
    learning_rate: float = setting(2e-4, "Peak rate of AdamW; linear decay to 0", least=0, most=1)
    micro_batch: int = shared.micro_batch(phrase("Responses"))
    beta: float = setting(0.1, "β: strength of the KL constraint to the reference policy", least=0.0001, most=100)
    balanced: bool = setting(True, "Weigh good and bad responses so that both sides count the same")


METHOD = Method(
    "kto",
    phrase("KTO"),
    KTOConfig,
    recipe="kto",
    data="ranking",
    makes="policy",
    uses_trl=True,
    order=45,
    learns=learns_rows,
    presets={
        "quick": {"epochs": 1, "eval_completions": 1},
        "thorough": {"epochs": 3, "eval_completions": 8},
    },
    plans=(
        Plan(
            "kto,sample",
            phrase("KTO"),
            order=65,
            does=phrase(
                "Trains the policy on responses that are good or bad by themselves, without a reward model, and "
                "generates new responses to rank."
            ),
            needs=phrase("Rankings, or responses with a thumb up or down."),
        ),
    ),
)
