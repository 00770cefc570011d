"""Seeds and random number generators."""

from __future__ import annotations

import hashlib
import json
import random

import torch


def derived_seed(seed: int, *parts: str | int) -> int:
    """Return a seed for one place that draws random numbers: (7, "sample", 3) → always the same number.

    With it no random state lives longer than one step, so a resumed run draws what the uninterrupted one would.
    """
    text = json.dumps([seed, *parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def generator(seed: int, *parts: str | int) -> torch.Generator:
    return torch.Generator().manual_seed(derived_seed(seed, *parts))


def seed_everything(seed: int) -> None:
    random.seed(seed)
    torch.manual_seed(seed)
