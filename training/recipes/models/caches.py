"""What a model keeps of the tokens so far, so that the next one is read alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from training.recipes.models.masks import Layout, row_layout

# The argument was `past_key_values` before transformers 5.24 and is `cache` since; 5.40 drops the old name.
CACHE_ARGUMENTS = ("cache", "past_key_values", "layer_past", "cache_params")


def cache_argument(forward: Callable[..., Any]) -> str:
    """Return the name of the argument by which a block's or a model's `forward` takes its cache."""
    names = inspect.signature(forward).parameters
    return next((name for name in CACHE_ARGUMENTS if name in names), CACHE_ARGUMENTS[0])


class KeyValues:
    """Keys and values of all tokens so far, in buffers of full length from the start.

    transformers' DynamicCache copies everything with each token: a quarter of the time that sampling takes.
    """

    def __init__(self, blocks: int, length: int) -> None:
        self.length = length
        self.buffers: list[tuple[Tensor, Tensor] | None] = [None] * blocks
        self.used = [0] * blocks
        self.prompts: Tensor | None = None  # (n, p), where the prompts' tokens are
        self.padded = False

    def begin(self, mask: Tensor) -> Layout:
        """Return how the prompts lie here, whose mask (n, p) is True on tokens: with the padding behind them."""
        layout = row_layout(mask)
        self.prompts, self.padded = layout.sight.real, not bool(mask.all())
        return layout

    def seen(self, mask: Tensor) -> Tensor:
        """Return the mask (n, T) of all tokens so far as they lie here."""
        assert self.prompts is not None
        return torch.cat([self.prompts, mask[:, self.prompts.shape[1] :]], 1)

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Store the (n, heads, q, d) of block `layer_idx` and return all so far; attention layers call it."""
        if (buffers := self.buffers[layer_idx]) is None:
            rows, heads, _, size = keys.shape
            buffers = (keys.new_empty(rows, heads, self.length, size), values.new_empty(rows, heads, self.length, size))
            self.buffers[layer_idx] = buffers
        start, end = self.used[layer_idx], self.used[layer_idx] + keys.shape[2]
        for buffer, new in zip(buffers, (keys, values), strict=True):
            buffer[:, :, start:end] = new
        self.used[layer_idx] = end
        return buffers[0][:, :, :end], buffers[1][:, :, :end]

    def select(self, rows: Tensor) -> None:
        """Keep these rows, by index; a row may be taken several times."""
        self.buffers = [buffers and (buffers[0][rows], buffers[1][rows]) for buffers in self.buffers]
        self.prompts = None if self.prompts is None else self.prompts[rows]


class ModelCache:
    """The cache that a model makes for itself: keys and values, convolution or recurrent states, by layer."""

    def __init__(self, config: Any) -> None:
        self.states = DynamicCache(config=config)

    def select(self, rows: Tensor) -> None:
        """Keep these rows, by index; a row may be taken several times."""
        self.states.reorder_cache(rows)


class WholeRows:
    """No states at all: the tokens so far, which are read anew at each step. Right for any model, and slow."""

    def __init__(self) -> None:
        self.ids: Tensor | None = None

    def add(self, ids: Tensor) -> Tensor:
        """Return all tokens so far, with these (n, q) at their end."""
        self.ids = ids if self.ids is None else torch.cat([self.ids, ids], 1)
        return self.ids

    def select(self, rows: Tensor) -> None:
        """Keep these rows, by index; a row may be taken several times."""
        if self.ids is not None:
            self.ids = self.ids[rows]


AnyCache = KeyValues | ModelCache | WholeRows
