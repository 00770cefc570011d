"""Thoughts that a model writes before its answer, between tags that chat templates know."""

from __future__ import annotations

from dataclasses import dataclass

TAGS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<reasoning>", "</reasoning>"),
    ("<thought>", "</thought>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
)


@dataclass(frozen=True)
class Thought:
    """A text in parts: the block of thoughts with its tags and the white space behind it, and the answer."""

    block: str
    answer: str
    closed: bool = True  # False: the text ended before the thoughts did


def split_thoughts(text: str, opened: str = "") -> Thought:
    """Return the parts of a text. `opened` is the opening tag that the prompt already ends with."""
    for start, end in TAGS:
        inside = opened == start
        if not inside and not text.lstrip().startswith(start):
            continue
        _, tag, after = text.partition(end)
        answer = after.lstrip()
        return Thought(text[: len(text) - len(answer)], answer, closed=True) if tag else Thought(text, "", closed=False)
    return Thought("", text)


def tag_left_open(prompt: str) -> str:
    """Return the tag of the thinking block that a prompt ends in, or an empty text."""
    for start, end in TAGS:
        if prompt.rfind(start) > prompt.rfind(end):
            return start if not prompt[prompt.rfind(start) + len(start) :].strip() else ""
    return ""
