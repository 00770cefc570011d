"""The stack of transformer blocks of a model, run one by one with attention as the model has it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from training.recipes.models import attention
from training.recipes.models.caches import KeyValues, cache_argument
from training.recipes.models.masks import Reach, Sight, reaches
from training.recipes.process.errors import RecipeError

# Their kernels take the weights of `out_proj` by themselves, past any adapter on it; PEFT refuses one there.
FUSED_OUTPUT = {"falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"}
SHORT = 8  # tokens that a window has while a model is tried, so that short rows are longer than it


class Blocks:
    """The blocks of a model between its embedding and its last norm, as Llama has them."""

    def __init__(self, model: nn.Module, decoder: nn.Module) -> None:
        self.path, self.modules = find_blocks(model)
        self.decoder: Any = decoder
        # Evenly spaced, in numbers of blocks: what a reward model reads that learns nothing but its head.
        self.scored_depths = sorted({max(1, round(len(self.modules) * part / 5)) for part in range(1, 5)})
        # Between those; a model of a few blocks has no others, and its judge reads the same ones.
        between = {max(1, round(len(self.modules) * part / 10)) for part in range(1, 9, 2)} - {*self.scored_depths}
        self.judged_depths = sorted(between) or self.scored_depths
        self.depths = sorted({*self.scored_depths, *self.judged_depths})
        self._cache_argument = cache_argument(self.modules[0].forward)
        self.fused = decoder.config._attn_implementation == attention.NAME
        rotary = getattr(decoder, "rotary_emb", None)
        self._rotary_by_type = rotary is not None and "layer_type" in inspect.signature(rotary.forward).parameters

    def __len__(self) -> int:
        return len(self.modules)

    def why_not(self) -> str | None:
        """Return why the blocks cannot be run one by one, as far as that can be seen; None where they may be."""
        if not all(hasattr(self.decoder, name) for name in ("embed_tokens", "layers", "norm", "rotary_emb")):
            return "its blocks are not built like Llama's"
        if reaches(self.decoder.config, len(self)) is None:
            return f"its attention is of the types {sorted(set(self.decoder.config.layer_types))}"
        return None

    @contextmanager
    def short_windows(self) -> Iterator[None]:
        """Shorten windows and chunks to SHORT tokens: what is right for them is right for longer ones."""
        config, kept = self.decoder.config, {}
        for name in ("sliding_window", "attention_chunk_size"):
            if isinstance(length := getattr(config, name, None), int) and length > SHORT:
                kept[name] = length
                setattr(config, name, SHORT)
        try:
            yield
        finally:
            for name, length in kept.items():
                setattr(config, name, length)

    def checkpoint(self) -> None:
        """Keep only each block's input for the backward pass, which computes the rest anew."""
        for block in self.modules:
            block.forward = partial(_checkpointed, block.forward)

    def embed(self, ids: Tensor) -> Tensor:
        """Return what the first block reads."""
        return self.decoder.embed_tokens(ids)

    def norm(self, hidden: Tensor) -> Tensor:
        """Return final states from those after the last block."""
        return self.decoder.norm(hidden)

    def run(
        self,
        hidden: Tensor,
        sight: Sight,
        span: tuple[int, int],
        *,
        cache: KeyValues | None = None,
        passed: list[Tensor] | None = None,
    ) -> Tensor:
        """Return the states after blocks `span` = (first, last); those at the depths on the way are added to `passed`.

        Shape: hidden (n, q, d), the last q of the tokens in `sight`.
        """
        first, last = span
        own = sight.positions[:, -sight.queries :]
        reach = (reaches(self.decoder.config, len(self)) or [])[first:last]
        masks = {each: sight.mask(each, hidden.dtype, fused=self.fused) for each in set(reach)}
        rotary = self._rotary(hidden, own, reach)
        for number, (block, each) in enumerate(zip(self.modules[first:last], reach, strict=True), start=first + 1):
            hidden = block(
                hidden,
                attention_mask=masks[each],
                position_ids=own,
                position_embeddings=rotary[each],
                use_cache=cache is not None,
                **{self._cache_argument: cache},
            )
            if passed is not None and number in self.depths:
                passed.append(hidden)
        return hidden

    def _rotary(self, hidden: Tensor, positions: Tensor, reach: list[Reach]) -> dict[Reach, Any]:
        """Return the rotary embeddings by attention type; most models have the same for all."""
        rotary = self.decoder.rotary_emb
        if self._rotary_by_type:
            return {each: rotary(hidden, positions, each.name) for each in set(reach)}
        return dict.fromkeys(reach, rotary(hidden, position_ids=positions))


def _checkpointed(forward: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
    if torch.is_grad_enabled():
        return checkpoint(forward, *inputs, use_reentrant=False, **options)
    return forward(*inputs, **options)


def find_blocks(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """Return the stack of transformer blocks: the longest list of modules that is in no other, as lists of experts are.

    One of the length that the text's configuration gives comes before longer ones, which may be of images.
    """
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    lists = [item for item in found if not any(part.isdigit() for part in item[0].split("."))] or found
    if not lists:
        raise RecipeError(f"{type(model).__name__} has no stack of transformer blocks")
    config: Any = model.config
    count = getattr(config.get_text_config(), "num_hidden_layers", 0)
    return max(lists, key=lambda item: (len(item[1]) == count, "vision" not in item[0], len(item[1])))


def linear_names(blocks: Blocks) -> set[str]:
    """Return the names of the linear layers in the blocks, which adapters go on."""
    return {
        name.rpartition(".")[2]
        for name, module in blocks.modules.named_modules()
        if isinstance(module, nn.Linear) or is_conv1d(module)
    } - unadaptable(blocks.decoder)


def unadaptable(model: Any) -> set[str]:
    """Return the names of linear layers that no adapter can go on: Mamba's outputs, and routers that return pairs."""
    routers = {name for name, each in model.named_modules() if type(each).__name__.endswith("Router")}
    fused = {"out_proj"} if model.config.model_type in FUSED_OUTPUT else set()
    return {name.rpartition(".")[2] for name in routers} | fused


def is_conv1d(module: nn.Module) -> bool:
    """Tell whether this is GPT-2's linear layer, which has its weights the other way round."""
    return type(module).__name__ == "Conv1D"
