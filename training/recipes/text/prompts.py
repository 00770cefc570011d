"""Conversations and answers as token ids. What does not fit is refused with a reason, or shortened and marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from training.tokenizers.chat_format import ChatFormat, FormatError
from training.tokenizers.conversations import without_oldest
from training.tokenizers.settings import DROP_OLDEST
from training.tokenizers.templates import ChatMessage


class Refused(ValueError):
    """This prompt or answer cannot be used; the message is the reason, and is counted by it."""


@dataclass(frozen=True)
class PromptTokens:
    """A conversation's tokens. `dropped` counts the messages that it lost to fit."""

    prompt_id: int
    tokens: list[int]
    split: str = "train"
    dropped: int = 0


def prompt_tokens(chat: ChatFormat, messages: Sequence[ChatMessage], most: int, *, asks: bool = False) -> list[int]:
    """Return the tokens of a conversation up to where the answer begins, `most` at most.

    With `asks` they are what an answer is sampled after, which may begin with thoughts. Raises Refused.
    """
    return shortened_prompt(chat, messages, most, asks=asks)[0]


def shortened_prompt(
    chat: ChatFormat, messages: Sequence[ChatMessage], most: int, *, asks: bool = False
) -> tuple[list[int], int]:
    """Return the tokens, and how many of the oldest messages were dropped for them to fit.

    Messages go only where the project's setting says so. Raises Refused.
    """
    kept: Sequence[ChatMessage] | None = messages
    while kept is not None:
        try:
            tokens = chat.prompt(kept, asks=asks)
        except FormatError as problem:
            raise Refused(str(problem)) from None
        if len(tokens) <= most:
            return tokens, len(messages) - len(kept)
        kept = without_oldest(kept) if chat.settings.long_prompts == DROP_OLDEST else None
    raise Refused(f"prompt longer than {most} tokens")


def response_tokens(chat: ChatFormat, text: str, most: int) -> list[int]:
    """Return an answer as it is trained on and scored: its text and the closing token. Raises Refused."""
    try:
        tokens = chat.answer(text)
    except FormatError as problem:
        raise Refused(str(problem)) from None
    if not text or len(tokens) == 1:
        raise Refused("empty answer")
    if len(tokens) > most:
        raise Refused("prompt and answer longer than max_length")
    return tokens


def read_prompts(
    chat: ChatFormat, rows: list[dict[str, Any]], most: int, *, asks: bool = False
) -> tuple[list[PromptTokens], list[dict[str, Any]]]:
    """Return usable prompts in the order of the rows, and {"prompt_id", "reason"} of the others."""
    prompts, refused = [], []
    for row in rows:
        try:
            tokens, dropped = shortened_prompt(chat, row["messages"], most, asks=asks)
        except Refused as problem:
            refused.append({"prompt_id": row["prompt_id"], "reason": str(problem)})
        else:
            prompts.append(PromptTokens(row["prompt_id"], tokens, row.get("split", "train"), dropped))
    return prompts, refused


def pad_left(sequences: list[list[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Return (n, longest) ids and a mask that is True on real tokens, with padding on the left."""
    return padded(sequences, pad, "left")


def pad_right(groups: list[list[list[int]]], pad: int) -> tuple[Tensor, Tensor]:
    """Return (g, k, r) ids and a mask that is True on real tokens. A smaller group has rows of nothing but padding."""
    count = max(map(len, groups))
    rows = [tokens for group in groups for tokens in [*group, *[[]] * (count - len(group))]]
    ids, mask = padded(rows, pad, "right")
    return ids.unflatten(0, (-1, count)), mask.unflatten(0, (-1, count))


def padded(sequences: Sequence[Sequence[int]], pad: int, side: str) -> tuple[Tensor, Tensor]:
    """Return (n, longest) ids and a mask that is True on real tokens, with the padding on one `side`."""
    rows = [torch.tensor(tokens, dtype=torch.long) for tokens in sequences]
    ids = pad_sequence(rows, batch_first=True, padding_value=pad, padding_side=side)
    lengths, places = torch.tensor([len(row) for row in rows])[:, None], torch.arange(ids.shape[1])
    return ids, places < lengths if side == "right" else places >= ids.shape[1] - lengths
