"""Chatbot Arena and MT-Bench: two conversations and the winner in a column.

https://huggingface.co/datasets/lmsys/chatbot_arena_conversations, …/lmsys/mt_bench_human_judgments
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from annotation.imports.fields import Fields
from annotation.imports.items import Item, number
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.pairs import last_answers
from annotation.imports.shapes.shape import Shape, columns
from annotation.imports.verdicts import names_of, vote_of

# What the data sets say of a battle besides its conversations and its winner.
ABOUT = (
    *(
        "full_conversation",
        "conv_metadata",
        "category_tag",
        "evaluation_order",
        "openai_moderation",
        "toxic_chat_tag",
    ),
    *("question_id", "anony", "language", "is_code", "turn", "id", "dedup_tag", "is_refusal", "criteria_tag"),
)


BAD_FLAGS = ("tie_bothbad", "tie_both_bad", "bothbad", "both_bad")


def battle(fields: Fields) -> Iterator[Item]:
    """Read two conversations until the judged turn; "both bad" is a tie of two unacceptable answers."""
    item = Item(field="conversation_a")
    turn = number(fields.take("turn"))
    until = int(turn) * 2 if turn and turn >= 1 else None
    sides = [fields.take(f"conversation_{side}") for side in "ab"]
    if not all(isinstance(side, list) for side in sides):
        raise Refusal('"conversation_a" and "conversation_b" should be lists of messages')
    answers = last_answers(item, *(side[:until] if until and len(side) > until else side for side in sides))
    _judged(fields, item, answers)
    # A battle is no prompt: two people may be asked the same, so its number cannot be the prompt's.
    fields.describes(*ABOUT)
    yield item


def answers(fields: Fields) -> Iterator[Item]:
    """Read the form with a prompt and two responses, whose texts may be JSON lists of turns."""
    prompts, *sides = (_turns(fields.take(name)) for name in ("prompt", "response_a", "response_b"))
    item = Item(field="prompt")
    turns: list[dict[str, Any]] = []
    for place, asked in enumerate(prompts):
        turns.append({"role": "user", "content": asked})
        if place < len(prompts) - 1:
            said = [side[place] if place < len(side) else None for side in sides]
            if said[0] != said[1]:
                raise Refusal(
                    "the two conversations part before the last answer, so there is no prompt that both answer"
                )
            turns.append({"role": "assistant", "content": said[0]})
    item.prompt = turns
    _judged(fields, item, (sides[0][-1], sides[1][-1]))
    fields.describes(*ABOUT)
    yield item


def _turns(value: Any) -> list[Any]:
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            return [value]
    found = value if isinstance(value, list) else [value]
    if not found:
        raise Refusal("a list of turns is empty; write the texts there")
    return found


def _judged(fields: Fields, item: Item, texts: tuple[Any, Any]) -> None:
    names = [fields.take(f"model_{side}") for side in "ab"]
    for text, name in zip(texts, names, strict=True):
        item.answer(text, name)
    said = {
        "annotator": fields.take("judge", "user_id", "evaluation_session_id") or "",
        "at": fields.take("tstamp", "timestamp"),
    }
    winner = fields.take("winner")
    winner = _flagged(fields) if winner in (None, "") else winner
    if winner == "":
        raise Refusal("the columns of the winner do not say who won; write model_a, model_b or tie")
    known = names_of(["a", "b"], ["model_a", "model_b"], names, ["", ""])
    item.votes.append(vote_of({**known, "model 1": 0, "model 2": 1}, 2, winner, "winner", **said))


def _flagged(fields: Fields) -> str:
    """Return the winner where columns of 0 and 1 say it."""
    flags = {name: number(fields.take(f"winner_{name}")) for name in ("model_a", "model_b", "tie", *BAD_FLAGS)}
    said = [name for name, flag in flags.items() if flag == 1]
    return said[0] if len(said) == 1 else ""


def _is_battle(fields: Fields) -> bool:
    return fields.has("conversation_a", "conversation_b") and "winner" in fields


def _is_answers(fields: Fields) -> bool:
    return fields.has("prompt", "response_a", "response_b") and ("winner" in fields or "winner_tie" in fields)


BATTLE = Shape("Chatbot Arena / MT-Bench", _is_battle, battle)
ANSWERS = Shape("Chatbot Arena answers", _is_answers, answers, (columns("prompt", "response_a", "response_b"),))
