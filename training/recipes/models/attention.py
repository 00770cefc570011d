"""Attention through PyTorch's fused kernels without a mask of all pairs of tokens, wherever none is needed.

A number for each pair of tokens grows with the square of a text's length, and rules flash attention out. Rows whose
padding stands behind them need none: a causal kernel never looks there. Rows that hold several texts one after the
other are gone through text by text, and a prompt's own tokens apart from those of its answers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from training.recipes.models.masks import Parts, reaches, row_layout

NAME = "prefloop"


def attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | Parts | None, **options: Any
) -> tuple[Tensor, None]:
    """Return what transformers' own SDPA does, for two more kinds of mask. Shapes: (n, heads, q, d) → (n, q, heads, d).

    `Parts` are those of a prompt and its answers. An integer tensor holds where each text of a row begins, and its end.
    """
    if isinstance(attention_mask, Parts):
        width = attention_mask.width
        prompts = [tensor[:, :, :width] for tensor in (query, key, value)]
        prompt, _ = sdpa_attention_forward(module, *prompts, None, **options)
        answers, _ = sdpa_attention_forward(module, query[:, :, width:], key, value, attention_mask.answers, **options)
        return torch.cat([prompt, answers], 1), None
    if attention_mask is not None and attention_mask.dtype in (torch.int32, torch.int64):
        sizes = attention_mask.flatten().diff().tolist()
        texts = zip(*(tensor.split(sizes, 2) for tensor in (query, key, value)), strict=True)
        return torch.cat([sdpa_attention_forward(module, *text, None, **options)[0] for text in texts], 1), None
    output: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    return output


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


def use(model: nn.Module) -> None:
    """Let a model's attention layers go through `attend` where they would go through SDPA by way of the interface.

    Others, Falcon's for one, look for the name sdpa themselves.
    """
    if not getattr(model, "_supports_attention_backend", False):
        return
    for module in model.modules():
        config = getattr(module, "config", None)
        if config is not None and getattr(config, "_attn_implementation", None) == "sdpa":
            config._attn_implementation = NAME


def without_masks(decoder: nn.Module) -> None:
    """Let a decoder read rows with padding, or with several texts each, as rows that need no mask of all pairs.

    For trainers, which hand over rows as transformers takes them.
    """
    forward: Callable[..., Any] = decoder.forward
    decoder.forward = wraps(forward)(partial(_read, decoder, forward))


def _read(decoder: Any, forward: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
    if inputs:
        return forward(*inputs, **options)
    ids, mask, ends = (options.get(name) for name in ("input_ids", "attention_mask", "cu_seq_lens_q"))
    if ids is None or options.get("use_cache") is not False:
        return forward(**options)
    if mask is None and ends is not None and _covers(decoder, options["max_length_q"]):
        return forward(**options | {"attention_mask": ends[None, None, None]})
    if mask is None or mask.shape != ids.shape or options.get("position_ids") is not None:
        return forward(**options)
    layout = row_layout(mask.bool())
    real = layout.sight.real
    if bool((real[:, 1:] > real[:, :-1]).any()):  # padding between tokens
        return forward(**options)
    output = forward(**options | {"input_ids": layout.move(ids), "attention_mask": None})
    output.last_hidden_state = layout.move_back(output.last_hidden_state)
    return output


def _covers(decoder: Any, length: int) -> bool:
    """Tell whether all layers of a decoder are attention that is ours and sees all of a text of this length."""
    found = reaches(decoder.config, decoder.config.num_hidden_layers)
    ours = decoder.config._attn_implementation == NAME
    return ours and found is not None and all(reach.covers(length) for reach in found)
