"""What a model does to its logits after the head: nothing, a scale, or a soft cap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Scaling = Callable[[Tensor], Tensor]


def soft_cap(cap: float) -> Scaling:
    """Return the function that keeps logits within ± cap (Gemma 2)."""
    return lambda logits: cap * torch.tanh(logits / cap)


def times(factor: float) -> Scaling:
    """Return the function that multiplies logits."""
    return lambda logits: logits * factor


def scalings(config: Any) -> list[Scaling]:
    """Return the scalings of logits in the configuration; which of them a model applies is found by trying."""
    found: list[Scaling] = []
    if cap := getattr(config, "final_logit_softcapping", None):
        found.append(soft_cap(cap))
    for name in ("logit_scale", "lm_head_multiplier"):  # Cohere; Falcon-H1
        if isinstance(factor := getattr(config, name, None), (int, float)):
            found.append(times(factor))
    if isinstance(divisor := getattr(config, "logits_scaling", None), (int, float)) and divisor:  # Granite
        found.append(times(1 / divisor))
    return found
