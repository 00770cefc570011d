"""Shapes of models that many people use, by their number of weights."""

from __future__ import annotations

from training.memory import ModelShape

SHAPES: dict[str, ModelShape] = {
    "0.5B": ModelShape(896, 24, 14, 2, 64, 4864, 151936),
    "1.5B": ModelShape(1536, 28, 12, 2, 128, 8960, 151936),
    "3B": ModelShape(2048, 36, 16, 2, 128, 11008, 151936),
    "7B": ModelShape(3584, 28, 28, 4, 128, 18944, 152064, tied=False),
    "13B": ModelShape(5120, 40, 40, 40, 128, 13824, 32000, tied=False),
}
