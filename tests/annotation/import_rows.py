"""Rows for tests of imports, and what an import makes of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from annotation.imports import ParsedPrompts, parse_prompts

ROOT = Path(__file__).resolve().parent.parent.parent
ASK = "At what temperature does water boil?"
GOOD, BAD, FAIR = "At 100 degrees Celsius.", "When it wants to.", "At 212 degrees Fahrenheit."
USER = {"role": "user", "content": ASK}
AB = {"prompt": ASK, "response_a": BAD, "response_b": GOOD}
ABC = AB | {"response_c": FAIR}
PAIR = {"prompt": ASK, "chosen": GOOD, "rejected": BAD}
SECOND = {"prompt": "Two plus two?", "chosen": "Four.", "rejected": "Five."}
BATTLE = {"model_a": "m1", "model_b": "m2", "conversation_a": [USER, {"role": "assistant", "content": BAD}]}
BATTLE |= {"conversation_b": [USER, {"role": "assistant", "content": GOOD}]}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def parse(*rows: object, name: str = "rows.jsonl", **how: Any) -> ParsedPrompts:
    return parse_prompts(b"".join(json.dumps(row).encode() + b"\n" for row in rows), name, **how)


def found(row: object, **how: Any) -> tuple[list, list]:
    """The pairs of a row, and who voted for which tiers."""
    parsed = parse(row, **how)
    assert [refused.reason for refused in parsed.refused] == []
    (prompt,) = parsed.rows
    assert prompt.messages[-1] == USER
    return sorted((pair.chosen, pair.rejected) for pair in prompt.pairs), [vote.tiers for vote in prompt.votes]


def asked(row: object) -> tuple[list[str], list[str], tuple[str, ...]]:
    """The roles and texts of a prompt, and its reference answers."""
    parsed = parse(row)
    assert [refused.reason for refused in parsed.refused] == []
    (prompt,) = parsed.rows
    return [turn["role"] for turn in prompt.messages], [turn["content"] for turn in prompt.messages], prompt.references
