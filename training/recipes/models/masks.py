"""Which token sees which: masks and positions of rows, and of prompts with several answers in one row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Reach(NamedTuple):
    """How far back the blocks of one attention type see: all of it, the last `window` tokens, or their own chunk."""

    name: str = "full_attention"  # as in `config.layer_types`
    window: int | None = None
    chunk: int | None = None

    def narrow(self, visible: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
        """Return what of `visible` (n, q, T) is near enough, by the positions of queries (n, q) and keys (n, T)."""
        if self.window is not None:
            return visible & (queries[:, :, None] - keys[:, None, :] < self.window)
        if self.chunk is not None:
            return visible & (queries[:, :, None] // self.chunk == keys[:, None, :] // self.chunk)
        return visible


def reaches(config: Any, count: int) -> list[Reach] | None:
    """Return the reach of each of `count` blocks, as transformers builds their masks; None where it is another kind."""
    window, chunk = getattr(config, "sliding_window", None), getattr(config, "attention_chunk_size", None)
    types: Sequence[str] | None = getattr(config, "layer_types", None)
    if types is None:
        sliding = window is not None and getattr(config, "use_sliding_window", True)
        types = ["sliding_attention" if sliding else "full_attention"] * count
    known = {
        "full_attention": Reach(),
        "sliding_attention": Reach("sliding_attention", window=window),
        "chunked_attention": Reach("chunked_attention", chunk=chunk),
    }
    if len(types) != count or not set(types) <= set(known):
        return None
    return [known[name] for name in types]


def tree_mask(prompt_mask: Tensor, response_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return attention mask and positions for rows of a prompt followed by K answers.

    A token sees the prompt and its own answer, up to itself. Shapes: (g, p), (g, k, r) → (g, T, T), (g, T).
    """
    _, count, length = response_mask.shape
    width, device = prompt_mask.shape[1], prompt_mask.device
    owner = torch.cat(
        [torch.full((width,), -1, device=device), torch.arange(count, device=device).repeat_interleave(length)]
    )
    related = (owner[None, :] == -1) | (owner[None, :] == owner[:, None])
    real = torch.cat([prompt_mask, response_mask.flatten(1)], 1)
    visible = real[:, None, :] & (related & torch.ones_like(related).tril())[None]
    answer_positions = prompt_mask.sum(1, keepdim=True) + torch.arange(length, device=device).repeat(count)
    return visible, torch.cat([positions_of(prompt_mask), answer_positions], 1)


def causal_mask(mask: Tensor, width: int) -> Tensor:
    """Return which of the tokens so far the last `width` ones see. Shapes: (n, T) → (n, width, T)."""
    length = mask.shape[1]
    order = torch.ones(width, length, dtype=torch.bool, device=mask.device).tril(length - width)
    return mask[:, None, :] & order


def additive(visible: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return 0 where visible and very negative elsewhere, (n, 1, q, T).

    Padding sees itself: a row of nothing would become NaN.
    """
    queries, keys = visible.shape[1:]
    itself = torch.ones(queries, keys, dtype=torch.bool, device=visible.device)
    itself = itself.tril(keys - queries) & itself.triu(keys - queries)
    zero = torch.zeros((), dtype=dtype, device=visible.device)
    return torch.where(visible | itself, zero, torch.finfo(dtype).min)[:, None]


def positions_of(mask: Tensor) -> Tensor:
    """Return positions that do not count padding on the left. Shapes: (n, T) → (n, T)."""
    return (mask.long().cumsum(-1) - 1).clamp(min=0)


def as_tree(prompt: Tensor | None, response: Tensor | None) -> Tensor:
    """Return (g, p, …) and (g, k, r, …) side by side in one row per prompt: (g, p + k·r, …)."""
    assert prompt is not None
    assert response is not None
    return torch.cat([prompt, response.flatten(1, 2)], 1)
