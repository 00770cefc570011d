"""Chat messages to token ids. What does not fit is refused with a reason, never cut in silence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jinja2 import TemplateError
from torch import Tensor
from transformers import PreTrainedTokenizerBase

Messages = list[dict[str, str]]


class Refused(ValueError):
    """This prompt or answer cannot be used; the message is the reason, and is counted by it."""


@dataclass(frozen=True)
class Prompt:
    prompt_id: int
    tokens: list[int]
    split: str = "train"


def prompt_tokens(tokenizer: PreTrainedTokenizerBase, messages: Messages, most: int) -> list[int]:
    if not messages:
        raise Refused("no messages")
    try:
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    except (TemplateError, KeyError, TypeError) as problem:
        raise Refused(f"the chat template refuses it ({problem})") from None
    tokens: list[int] = tokenizer(text, add_special_tokens=False).input_ids
    if len(tokens) > most:
        raise Refused(f"prompt longer than {most} tokens")
    return tokens


def response_tokens(tokenizer: PreTrainedTokenizerBase, text: str, most: int) -> list[int]:
    """The answer as it is scored: its text and then EOS. Special tokens spelled out in the text are just text."""
    tokens: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
    if not tokens:
        raise Refused("empty answer")
    if len(tokens) + 1 > most:
        raise Refused("prompt and answer longer than max_length")
    return [*tokens, tokenizer.eos_token_id]


def read_prompts(
    tokenizer: PreTrainedTokenizerBase, rows: list[dict[str, Any]], most: int
) -> tuple[list[Prompt], list[dict[str, Any]]]:
    """Usable prompts in the order of the rows, and {"prompt_id", "reason"} of the others."""
    prompts, refused = [], []
    for row in rows:
        try:
            tokens = prompt_tokens(tokenizer, row["messages"], most)
        except Refused as problem:
            refused.append({"prompt_id": row["prompt_id"], "reason": str(problem)})
        else:
            prompts.append(Prompt(row["prompt_id"], tokens, row.get("split", "train")))
    return prompts, refused


def pad_left(sequences: list[list[int]], pad: int) -> tuple[Tensor, Tensor]:
    """(n, longest) ids and a mask that is True on real tokens. Padding stands before them."""
    longest = max(map(len, sequences))
    ids = torch.tensor([[pad] * (longest - len(tokens)) + tokens for tokens in sequences])
    mask = torch.tensor([[False] * (longest - len(tokens)) + [True] * len(tokens) for tokens in sequences])
    return ids, mask
