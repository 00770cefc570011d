"""The cache of keys and values, and the attention masks of a tree of answers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# The argument was `past_key_values` before transformers 5.24 and is `cache` since; 5.40 drops the old name.
CACHE_ARGUMENTS = ("cache", "past_key_values", "layer_past")


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

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Called by the attention of block `layer_idx`: keep these (n, heads, q, d), return all so far."""
        if (buffers := self.buffers[layer_idx]) is None:
            rows, heads, _, size = keys.shape
            buffers = (keys.new_empty(rows, heads, self.length, size), values.new_empty(rows, heads, self.length, size))
            self.buffers[layer_idx] = buffers
        start, end = self.used[layer_idx], self.used[layer_idx] + keys.shape[2]
        for buffer, new in zip(buffers, (keys, values), strict=True):
            buffer[:, :, start:end] = new
        self.used[layer_idx] = end
        return buffers[0][:, :, :end], buffers[1][:, :, :end]

    def batch_repeat_interleave(self, repeats: int) -> None:
        self._replace(lambda buffer: buffer.repeat_interleave(repeats, 0))

    def batch_select_indices(self, indices: Tensor) -> None:
        self._replace(lambda buffer: buffer[indices])

    def _replace(self, change: Callable[[Tensor], Tensor]) -> None:
        self.buffers = [buffers and (change(buffers[0]), change(buffers[1])) for buffers in self.buffers]


def tree_mask(prompt_mask: Tensor, response_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Who sees whom in rows of prompt + K answers, and at which position each token stands.

    A token sees the prompt and its own answer, up to itself. Shapes: (g, p), (g, k, r) → (g, 1, T, T), (g, T).
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
    return _additive(visible), torch.cat([_positions(prompt_mask), answer_positions], 1)


def _causal(mask: Tensor, width: int) -> Tensor:
    """Which of the tokens so far the last `width` ones see. Shapes: (n, T) → (n, width, T)."""
    length = mask.shape[1]
    order = torch.ones(width, length, dtype=torch.bool, device=mask.device).tril(length - width)
    return mask[:, None, :] & order


def _additive(visible: Tensor) -> Tensor:
    """0 where visible, very negative elsewhere. Padding sees itself: a row of nothing would become NaN."""
    queries, keys = visible.shape[1:]
    itself = torch.ones(queries, keys, dtype=torch.bool, device=visible.device)
    itself = itself.tril(keys - queries) & itself.triu(keys - queries)
    zero = torch.zeros((), device=visible.device)
    return torch.where(visible | itself, zero, torch.finfo(torch.float32).min)[:, None]


def _positions(mask: Tensor) -> Tensor:
    return (mask.long().cumsum(-1) - 1).clamp(min=0)


def _tree(prompt: Tensor | None, response: Tensor | None) -> Tensor:
    """(g, p, …) and (g, k, r, …) side by side in one row per prompt: (g, p + k·r, …)."""
    assert prompt is not None
    assert response is not None
    return torch.cat([prompt, response.flatten(1, 2)], 1)
