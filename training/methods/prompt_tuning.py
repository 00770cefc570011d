"""Classifiers made of a language model, a template and a verbalizer: the method `prompt_tuning`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from training.methods import shared
from training.methods.base import Method
from training.methods.settings import MethodConfig, setting


@dataclass(frozen=True)
class PromptTuningConfig(MethodConfig):
    """A classifier made of a language model, a template and a verbalizer; or, for contrast, of a new head."""

    tuning: str = setting(
        "cloze",
        "zero_shot: the model as it is; in_context: labelled rows stand before the text; cloze: learn to fill the "
        "blank; soft_prompt: learn only vectors before the text; p_tuning: the same, made by a small network; prefix: "
        "vectors before the keys and values of every layer; head: no template, a new classification head",
    )
    train: str = setting("lora", "For cloze and head: lora, an adapter; full, all weights")
    shots: int = setting(
        16, "Labelled rows per label to learn from, or to show, and as many to choose by; 0: all", least=0
    )
    epochs: int = setting(8, "Passes over the labelled rows", least=1, most=1000)
    batch_size: int = setting(8, "Rows per optimiser step", least=1, most=65536)
    learning_rate: float = setting(0.0, "Peak rate of AdamW; linear decay to 0; 0: the method's own", least=0, most=10)
    lora_rank: int = shared.lora_rank()
    virtual_tokens: int = setting(20, "Vectors that a soft prompt consists of", least=1, most=1000)
    calibration: str = setting(
        "none",
        "What is taken off the labels' log-probabilities: none; contextual, those of empty texts; prior, their mean "
        "over the rows to be judged",
    )
    max_length: int = setting(
        256, "Tokens; of longer rows the text is cut, never the template", least=8, most=1_000_000
    )
    seed: int = setting(0, "Seed of the random generator, and of the choice of labelled rows", least=0)

    choices: ClassVar = {
        "tuning": ("zero_shot", "in_context", "cloze", "soft_prompt", "p_tuning", "prefix", "head"),
        "train": ("lora", "full"),
        "calibration": ("none", "contextual", "prior"),
    }


METHOD = Method(
    "prompt_tuning",
    "Prompt tuning",
    PromptTuningConfig,
    recipe="prompt_tuning",
    data="classification",
    makes="classifier",
    order=60,
)
