"""How much memory a run needs, from its model's config.json and its settings: no tensor library, and nothing loaded.

Weights, optimiser and cache are counted exactly, what a step keeps per token in Llama's block; the total is held
against measured runs by benchmarks/memory_forecast.py. Texts that are shorter than the settings allow, and steps that
are parted where they do not fit, need less: so only what is certain refuses a run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from training.methods import METHODS, Method
from training.methods.base import unknown
from training.methods.load import Load
from training.phrases import phrase

GIB = 1024**3
PROGRAM = {"cpu": 420 * 1024**2, "cuda": 1200 * 1024**2}  # interpreter and libraries; on a GPU context and kernels
TRL = 110 * 1024**2  # with what it imports
HEAD_ROWS = 256  # positions whose logits are there at once in a backward pass
FOUR_BIT = (4 + 8 / 64 + 32 / 64 / 256) / 8  # bytes of a weight with its share of the blocks' scales, scaled in turn
TILE, TILES = 32768, 8  # tokens of the vocabulary that TRL takes at once, and tensors of that size

_TOO_LARGE = phrase("weights and optimiser alone take %(needed)s, and %(free)s of memory are free; %(what)s")
_WOULD_FIT = phrase("with %(settings)s they take %(size)s")


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a model of Llama's kind."""

    hidden: int
    blocks: int
    heads: int
    key_heads: int
    head_size: int
    inner: int
    vocabulary: int
    tied: bool = True
    experts: int = 1

    @property
    def linear_sizes(self) -> list[tuple[int, int]]:
        """Inputs and outputs of the linear layers of a block, experts aside."""
        queries, keys = self.heads * self.head_size, self.key_heads * self.head_size
        attention = [(self.hidden, queries), (self.hidden, keys), (self.hidden, keys), (queries, self.hidden)]
        return [*attention, (self.hidden, self.inner), (self.hidden, self.inner), (self.inner, self.hidden)]

    @property
    def parameters(self) -> int:
        """Number of weights."""
        sizes = [inputs * outputs for inputs, outputs in self.linear_sizes]
        block = sum(sizes[:4]) + self.experts * sum(sizes[4:]) + 2 * self.hidden
        return self.blocks * block + self.vocabulary * self.hidden * (1 if self.tied else 2)

    def weights(self, width: int, *, four_bit: bool = False) -> int:
        """Bytes of all weights, of `width` each; the linear layers of the blocks, experts aside, may be in four bits.

        Of those, the largest stands beside them as wide as the others while it is used.
        """
        if not four_bit:
            return self.parameters * width
        sizes = [inputs * outputs for inputs, outputs in self.linear_sizes]
        narrow = sizes if self.experts == 1 else sizes[:4]
        count = self.blocks * sum(narrow)
        return int((self.parameters - count + max(narrow)) * width + count * FOUR_BIT)

    def adapter(self, rank: int, top_blocks: int) -> int:
        """Number of weights of a LoRA adapter."""
        return rank * sum(map(sum, self.linear_sizes)) * min(top_blocks, self.blocks)


@dataclass(frozen=True)
class Memory:
    """Bytes by what they are for."""

    program: int = 0
    weights: int = 0
    optimiser: int = 0  # adapters or trained weights, their gradients and AdamW's two averages
    cache: int = 0  # keys and values of all answers that are drawn at once
    activations: int = 0
    logits: int = 0

    @property
    def total(self) -> int:
        """Bytes of the process at its largest.

        Sampling and learning take turns, but what one has freed is in pieces of other sizes than the other asks for.
        """
        return sum(getattr(self, part.name) for part in fields(self))

    @property
    def certain(self) -> int:
        """Bytes that are needed whatever the texts and the parts of a step are."""
        return self.weights + self.optimiser

    def as_json(self) -> dict[str, int]:
        """Return MiB by part, and in all."""
        parts = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: round(value / 1024**2) for name, value in {**parts, "total": self.total}.items()}


def read_shape(folder: str | Path) -> ModelShape | None:
    """Return the shape that a model's config.json tells; None where it is not told in the usual words."""
    try:
        config = json.loads((Path(folder) / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return shape_of(config)


def shape_of(config: Mapping[str, Any]) -> ModelShape | None:
    """Return the shape that the content of a config.json tells, by any of the names that models have for a size."""
    config = {**config, **(config.get("text_config") or {})}

    def size(*names: str) -> int:
        return next((int(config[name]) for name in names if isinstance(config.get(name), int)), 0)

    hidden, heads = size("hidden_size", "n_embd", "d_model"), size("num_attention_heads", "n_head", "n_heads")
    blocks, vocabulary = size("num_hidden_layers", "n_layer", "n_layers"), size("vocab_size")
    if not all((hidden, heads, blocks, vocabulary)):
        return None
    return ModelShape(
        hidden,
        blocks,
        heads,
        size("num_key_value_heads") or heads,
        size("head_dim") or hidden // heads,
        size("moe_intermediate_size", "intermediate_size", "n_inner", "ffn_dim") or 4 * hidden,
        vocabulary,
        tied=bool(config.get("tie_word_embeddings", True)),
        experts=size("num_experts", "num_local_experts", "n_routed_experts") or 1,
    )


def forecast(
    method: str,
    config: Mapping[str, Any],
    shape: ModelShape,
    *,
    prompt: int | None = None,
    answer: int | None = None,
    state_bytes: int = 4,
    four_bit: bool = False,
    device: str = "cpu",
) -> Memory:
    """Return what a run needs at its worst moment, with prompts and answers of these lengths in tokens.

    Where a length is not given, it is the most that the settings let through. `state_bytes` is 4 for float32, 2 for
    bfloat16, `four_bit` keeps the frozen linear layers in four bits; a run that trains all weights is float32.
    """
    longest = int(config.get("max_prompt_tokens") or config.get("max_length") or 512)
    answer = answer if answer is not None else min(longest // 2, 256)
    prompt = prompt if prompt is not None else (longest if "max_prompt_tokens" in config else longest - answer)
    whole = config.get("train") == "full"
    width = 4 if whole else state_bytes
    copies = 2 if whole else 1  # the reference beside the policy
    spec = METHODS.get(method) or unknown(method)
    learns = spec.learns(config, prompt, answer)
    sampling = spec.draws(config, prompt)
    return Memory(
        program=PROGRAM[device] + (TRL if spec.uses_trl else 0),
        weights=copies * shape.weights(width, four_bit=four_bit and not whole),
        optimiser=_optimiser(spec, config, shape, whole=whole) if learns else 0,
        cache=_sampling(shape, sampling, width) if sampling else 0,
        activations=_activations(config, shape, learns, width, whole=whole) if learns else 0,
        logits=_logits(shape, learns, sampling, whole=whole, tiles=spec.uses_trl),
    )


def _optimiser(method: Method, config: Mapping[str, Any], shape: ModelShape, *, whole: bool) -> int:
    """Weights that learn, their gradients, AdamW's averages, and the copy from before an update where one is kept."""
    if whole:
        return shape.parameters * 4 * (3 + method.keeps_copy)
    return shape.adapter(int(config.get("lora_rank", 0)), int(config.get("top_blocks", 0))) * 4 * 5


def _sampling(shape: ModelShape, load: Load, width: int) -> int:
    """Keys and values of prompts and answers, the prompts' once more while they are copied, and kept states."""
    rows = load.rows * load.answers
    per_token = 2 * shape.blocks * shape.key_heads * shape.head_size * width
    states = 2 * rows * load.answer * shape.hidden * width
    return (rows + load.rows) * (load.prompt + load.answer + 1) * per_token + states


def _activations(config: Mapping[str, Any], shape: ModelShape, load: Load, width: int, *, whole: bool) -> int:
    """What the blocks that learn keep for the backward pass, and the gradients of one of them.

    A block keeps, per token: its input, what attention is added to and what its two norms give (4 × hidden); queries,
    what attention gives and what leads out of it, keys and values; the gate, its activation, what it gates and their
    product (4 × inner).
    """
    blocks = shape.blocks if whole else min(int(config.get("top_blocks", 1)), shape.blocks)
    queries, keys = shape.heads * shape.head_size, shape.key_heads * shape.head_size
    per_block = 4 * shape.hidden + 3 * queries + 4 * keys + 4 * shape.inner
    passing = 4 * shape.hidden + 4 * shape.inner
    kept = blocks * per_block if not config.get("checkpointing") else per_block + blocks * shape.hidden
    return (load.tokens * (kept + passing) + _masks(load)) * width


def _masks(load: Load) -> int:
    """Numbers of the masks that let each of several answers see its prompt and itself only, while they are made.

    Nothing else takes a number for each pair of tokens.
    """
    answers = load.answers * load.answer if load.answers > 1 else 0
    return 2 * load.rows * answers * (load.prompt + answers)


def _logits(shape: ModelShape, learns: Load | None, sampling: Load | None, *, whole: bool, tiles: bool) -> int:
    """Logits of the tokens that are drawn at once, and of a portion of those that are learned from."""
    drawing = sampling.rows * sampling.answers * shape.vocabulary * 28 if sampling else 0
    positions = learns.rows * learns.answers * learns.answer if learns else 0
    learning = (positions if whole else min(positions, HEAD_ROWS)) * shape.vocabulary * 4 * 3
    if tiles and learns:
        learning = min(learns.tokens, HEAD_ROWS) * min(shape.vocabulary, TILE) * 4 * TILES
    return max(drawing, learning)


def refusal(method: str, config: Mapping[str, Any], shape: ModelShape, available: int, **more: Any) -> str:
    """Return why a run cannot fit into `available` bytes and what would; empty where it may fit.

    Only what a run surely needs counts here. What comes on top depends on its texts, and optimiser steps are parted
    where it is too much.
    """
    needed = forecast(method, config, shape, **more)
    if needed.certain <= available:
        return ""
    sizes = {"needed": _gib(needed.certain), "free": _gib(available)}
    what = _what_fits(method, config, shape, available, more)
    return _TOO_LARGE % {**sizes, "what": what}


def _what_fits(
    method: str, config: Mapping[str, Any], shape: ModelShape, available: int, more: Mapping[str, Any]
) -> str:
    """Return the first change with which weights and optimiser fit, in words."""
    changes: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = []
    whole, adapter = config.get("train") == "full", {"train": "lora"}
    lora = "train=lora and " * whole
    if whole:
        changes.append(("train=lora", adapter, {}))
    if more.get("state_bytes", 4) > 2 and not more.get("four_bit"):
        changes.append((f"{lora}PREFLOOP_PRECISION=bfloat16", adapter, {"state_bytes": 2}))
    if not more.get("four_bit"):
        changes.append((f"{lora}PREFLOOP_PRECISION=4bit (needs bitsandbytes)", adapter, {"four_bit": True}))
    for says, settings, format in changes:
        kept = {name: value for name, value in settings.items() if name in config}
        lighter = forecast(method, {**config, **kept}, shape, **{**more, **format})
        if lighter.certain <= available:
            return _WOULD_FIT % {"settings": says, "size": _gib(lighter.certain)}
    return phrase("a smaller model would fit")


def lightest(method: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with which a run needs least at once, all else being the same.

    Answers are drawn to one prompt at a time then, which every method comes to by itself where memory runs out.
    """
    light = {name: value for name, value in (("micro_batch", 1), ("checkpointing", True)) if name in config}
    return {**config, **light, "sampling_batch": 1}


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"
