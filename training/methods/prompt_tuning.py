"""Classifiers made of a language model, a template and a verbalizer: the method `prompt_tuning`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from training.methods import shared
from training.methods.base import Method
from training.methods.settings import MethodConfig, idle, setting
from training.phrases import phrase


@dataclass(frozen=True)
class PromptTuningConfig(MethodConfig):
    """A classifier made of a language model, a template and a verbalizer; or, for contrast, of a new head."""

    tuning: str = setting(
        "cloze",
        "zero_shot: the model as it is; in_context: labelled rows precede the text; cloze: fine-tune on the "
        "blank; soft_prompt: train only vectors before the text; p_tuning: the same, from a small network; prefix: "
        "vectors before the keys and values of every layer; head: no template, a new classification head",
    )
    train: str = setting("lora", "For cloze and head: lora, an adapter; full, all weights")
    shots: int = setting(
        16,
        "Labelled rows per label for training, or as examples, and as many for model selection; 0: all",
        least=0,
        most=100_000,
    )
    epochs: int = setting(8, "Passes over the labelled rows", least=1, most=1000)
    batch_size: int = setting(8, "Rows per optimiser step", least=1, most=65536)
    learning_rate: float = setting(
        0.0, "Peak rate of AdamW; linear decay to 0; 0: default of the method", least=0, most=10
    )
    lora_rank: int = shared.lora_rank()
    virtual_tokens: int = setting(20, "Vectors of a soft prompt", least=1, most=1000)
    calibration: str = setting(
        "none",
        "Subtracted from the labels' log-probabilities: none; contextual: those of empty texts; prior: their mean "
        "over the rows to classify",
    )
    max_length: int = setting(
        256, "Tokens; of longer rows the text is truncated, never the template", least=8, most=1_000_000
    )
    seed: int = setting(
        0, "Seed of the random generator, and of the choice of labelled rows", least=0, most=shared.MOST_SEED
    )

    choices: ClassVar = {
        "tuning": ("zero_shot", "in_context", "cloze", "soft_prompt", "p_tuning", "prefix", "head"),
        "train": ("lora", "full"),
        "calibration": ("none", "contextual", "prior"),
    }

    def without_effect(self) -> Iterator[tuple[str, str]]:
        """Yield the settings that would do nothing beside the others."""
        if self.tuning in ("zero_shot", "in_context"):
            yield from idle(
                "epochs batch_size learning_rate",
                phrase("does nothing with tuning=%(tuning)s, where nothing learns: leave it out", tuning=self.tuning),
            )
        if self.tuning == "zero_shot":
            yield from idle(
                "shots",
                phrase(
                    "does nothing with tuning=%(tuning)s, which is shown no labelled rows: leave it out",
                    tuning=self.tuning,
                ),
            )
        if self.tuning not in ("cloze", "head"):
            yield from idle(
                "train lora_rank",
                phrase(
                    "does nothing with tuning=%(tuning)s: leave it out, or set tuning to cloze or head",
                    tuning=self.tuning,
                ),
            )
        elif self.train == "full":
            yield from idle("lora_rank", phrase("does nothing with train=full, where no adapter learns: leave it out"))
        if self.tuning not in ("soft_prompt", "p_tuning", "prefix"):
            yield from idle(
                "virtual_tokens",
                phrase(
                    "does nothing with tuning=%(tuning)s: leave it out, or set tuning to soft_prompt",
                    tuning=self.tuning,
                ),
            )
        if self.tuning == "head":
            yield from idle(
                "calibration",
                phrase("does nothing with tuning=%(tuning)s, which has no template: leave it out", tuning=self.tuning),
            )


METHOD = Method(
    "prompt_tuning",
    phrase("Prompt tuning"),
    PromptTuningConfig,
    recipe="prompt_tuning",
    data="classification",
    makes="classifier",
    order=60,
)
