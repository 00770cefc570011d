"""Conversations written in one text, with a mark before each turn, as lists of messages.

Marks that people also write in an ordinary text ("User:" at the beginning of a line) count only where the text begins
with a speaker and ends with the assistant's mark and nothing behind it: then it can be nothing but a transcript.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

ROLES = {"system": "system", "human": "user", "user": "user", "h": "user", "assistant": "assistant", "a": "assistant"}


@dataclass(frozen=True)
class Marks:
    """How a format marks its turns: `turn` matches a mark and its speaker, `end` what closes a turn.

    `only_open`: the marks count only where the text ends with the assistant's.
    """

    turn: re.Pattern[str]
    end: str = ""
    only_open: bool = False

    def turns(self, text: str) -> list[dict[str, str]]:
        """Return every turn of the text, the open one at its end with an empty content; empty without a first mark."""
        if not self.turn.match(text):
            return []
        parts = self.turn.split(text)
        return [
            {"role": ROLES[speaker.lower()], "content": said.strip().removesuffix(self.end).strip()}
            for speaker, said in zip(parts[1::2], parts[2::2], strict=True)
        ]


MARKS = (
    # Anthropic HH: blank lines between turns.
    Marks(re.compile(r"(?:^\s*|\n\n)(Human|Assistant|H|A):(?=\s|$)")),
    # ChatML.
    Marks(re.compile(r"\s*<\|im_start\|>(system|user|assistant)\n"), end="<|im_end|>"),
    # Guanaco and Vicuna: "### Human: …### Assistant: …".
    Marks(re.compile(r"\s*###\s*(System|Human|User|Assistant):(?=\s|$)")),
    # One line break between turns, or other names.
    Marks(re.compile(r"(?:^\s*|\n+)(System|Human|User|Assistant):(?=\s|$)"), only_open=True),
)


def transcript_of(text: Any) -> list[dict[str, str]] | None:
    """Return the turns of a conversation in one text; None where the text is no transcript.

    The assistant's mark at the end, with nothing behind it, is the place of the answer and no turn of its own.
    """
    alone: list[dict[str, str]] = []
    for marks in MARKS if isinstance(text, str) else ():
        turns = marks.turns(text)
        opened = _is_open(turns)
        if marks.only_open and not opened:
            continue
        if len(turns) > 1:  # the first marks that split the text: others may be part of a turn
            return turns[:-1] if opened else turns
        alone = alone or [turn for turn in turns if turn["content"] or turn["role"] != "assistant"]
    return alone or None


def is_open_transcript(text: Any) -> bool:
    """Return whether a text begins with a speaker and ends with the assistant's mark."""
    return isinstance(text, str) and any(_is_open(marks.turns(text)) for marks in MARKS)


def _is_open(turns: list[dict[str, str]]) -> bool:
    return len(turns) > 1 and turns[-1] == {"role": "assistant", "content": ""}
