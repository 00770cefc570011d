"""Which token sees which: masks and positions of rows, and of prompts with several answers in one row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Reach(NamedTuple):
    """How far back the blocks of one attention type see: all of it, the last `window` tokens, or their own chunk."""

    name: str = "full_attention"  # as in `config.layer_types`
    window: int | None = None
    chunk: int | None = None

    def covers(self, length: int) -> bool:
        """Tell whether a token sees all before it in a text of this length."""
        return all(size is None or length <= size for size in (self.window, self.chunk))

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


@dataclass(frozen=True)
class Sight:
    """Which tokens of a row the last `queries` of them see. A dense mask is made only for what no kernel knows.

    Shapes: real (n, T), True on tokens that are no padding; owner (T,), which answer a token belongs to, -1 for the
    prompt, None where every token sees all before it. `plain`: what a query must not see all lies behind it.
    """

    real: Tensor
    positions: Tensor  # (n, T)
    queries: int
    plain: bool
    owner: Tensor | None = None
    width: int = 0  # tokens of the prompt, where there are owners
    depth: int = 0  # the most tokens that one of them sees

    def mask(self, reach: Reach, dtype: torch.dtype, *, fused: bool) -> Tensor | Parts | None:
        """Return what an attention layer takes: None for plain causal attention, a number for each pair otherwise.

        A prompt and its answers get a mask for the answers only. `fused`: attention is ours, which takes both.
        """
        if fused and self.plain and reach.covers(self.depth):
            if self.owner is None:
                return None
            return Parts(self.width, additive(self._visible(self.real.shape[1] - self.width), dtype))
        own = self.positions[:, -self.queries :]
        return additive(reach.narrow(self._visible(self.queries), own, self.positions), dtype)

    def _visible(self, queries: int) -> Tensor:
        """Return which tokens the last `queries` see, whatever the window: (n, queries, T)."""
        length = self.real.shape[1]
        order = torch.ones(queries, length, dtype=torch.bool, device=self.real.device).tril(length - queries)
        if self.owner is not None:
            order &= (self.owner[None, :] == -1) | (self.owner[None, :] == self.owner[-queries:, None])
        return self.real[:, None, :] & order


class Parts(NamedTuple):
    """A mask for rows of a prompt and answers: the prompt's tokens see those before them, the others `answers`.

    Shape: answers (n, 1, q, T), to be added.
    """

    width: int
    answers: Tensor


class Layout(NamedTuple):
    """Rows without padding before their texts, and the way there and back. Shapes: (n, T) each."""

    there: Tensor
    back: Tensor
    sight: Sight

    def move(self, rows: Tensor) -> Tensor:
        """Return rows (n, T, …) with the padding behind the texts."""
        return _taken(rows, self.there)

    def move_back(self, rows: Tensor) -> Tensor:
        """Return rows (n, T, …) with the padding where it was."""
        return _taken(rows, self.back)


def _taken(rows: Tensor, places: Tensor) -> Tensor:
    return rows.gather(1, places.reshape(*places.shape, *[1] * (rows.dim() - 2)).expand(*places.shape, *rows.shape[2:]))


def row_layout(mask: Tensor) -> Layout:
    """Return how rows with padding on both sides lie with all of it behind them. Shape: mask (n, T).

    A token then sees all before it and no padding, which takes no mask.
    """
    length, device = mask.shape[1], mask.device
    before, place = mask.long().argmax(1, keepdim=True), torch.arange(length, device=device)
    there, back = (place + before) % length, (place - before) % length
    real = mask.gather(1, there)
    return Layout(there, back, Sight(real, place.expand(mask.shape), length, plain=True, depth=length))


def tree_layout(prompt_mask: Tensor, response_mask: Tensor) -> Layout:
    """Return how rows of a prompt followed by K answers lie. Shapes: prompt_mask (g, p), response_mask (g, k, r).

    A token sees the prompt and its own answer, up to itself.
    """
    groups, count, length = response_mask.shape
    if count == 1:
        return row_layout(torch.cat([prompt_mask, response_mask[:, 0]], 1))
    width, device = prompt_mask.shape[1], prompt_mask.device
    prompts = row_layout(prompt_mask)
    rest = torch.arange(width, width + count * length, device=device).expand(groups, -1)
    answers = prompt_mask.sum(1, keepdim=True) + torch.arange(length, device=device).repeat(count)
    owner = torch.arange(count, device=device).repeat_interleave(length)
    sight = Sight(
        torch.cat([prompts.sight.real, response_mask.flatten(1)], 1),
        torch.cat([prompts.sight.positions, answers], 1),
        queries=width + count * length,
        plain=True,
        owner=torch.cat([torch.full((width,), -1, device=device), owner]),
        width=width,
        depth=width + length,
    )
    return Layout(torch.cat([prompts.there, rest], 1), torch.cat([prompts.back, rest], 1), sight)


def step_sight(mask: Tensor, queries: int, *, padded: bool) -> Sight:
    """Return what the last `queries` of rows see of all tokens so far. Shape: mask (n, T).

    `padded`: some of these are padding.
    """
    length = mask.shape[1]
    return Sight(mask, positions_of(mask), queries, plain=not padded and queries in (1, length), depth=length)


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
