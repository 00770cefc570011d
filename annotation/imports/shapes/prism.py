"""PRISM: conversations in which each turn had several answers, scored from 1 to 100 by the person who asked.

https://huggingface.co/datasets/HannahRoseKirk/prism-alignment
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from annotation.imports.fields import Fields
from annotation.imports.items import ImportedVote, Item, number
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.shape import Shape

HISTORY = "conversation_history"
# What the data set says of a conversation besides its turns.
ABOUT = (
    *("performance_attributes", "choice_attributes", "open_feedback", "opening_prompt", "conversation_turns"),
    *("timing_duration_s", "timing_duration_mins", "included_in_balanced_subset", "conversation_type"),
)


def conversation(fields: Fields) -> Iterator[Item]:
    """Read each turn as a prompt with its answers in the order of their scores; the chosen answer goes on."""
    who, at = fields.take("user_id") or "", fields.take("generated_datetime")
    category = fields.take("conversation_type")
    before: list[dict[str, Any]] = []
    said = [fields.sub(each, HISTORY) for each in fields.data.pop(HISTORY)]
    for _, turn in groupby(said, key=lambda each: each.take("turn")):
        asked, *given = turn
        if asked.take("role") != "user" or not given:
            raise Refusal(f'a turn of "{HISTORY}" should be one message of the user and model responses')
        item = Item([*before, {"role": "user", "content": asked.take("content")}], "messages", category=category)
        chosen = _answers(item, given, annotator=who, at=at)
        yield item
        before = [*item.prompt, {"role": "assistant", "content": item.answers[chosen].text}]
    fields.describes(*ABOUT)


def _answers(item: Item, given: list[Fields], **vote: Any) -> int:
    """Add the answers of a turn with what the person said of them; return the place of the one that goes on.

    Where each has a score these are a ranking; otherwise each score is a rating, and the choice a preference.
    """
    scored = []
    chosen: int | None = None
    for answer in given:
        answer.take("role")
        place = item.answer(answer.take("content"), answer.take("model_name") or "")
        chosen = place if answer.take("if_chosen") is True else chosen
        if (score := number(answer.take("score"))) is not None:
            scored.append((place, score))
        answer.describes("within_turn_id", "model_provider")
    if len(scored) == len(given) > 1:
        item.rank(scored, ratings={place: {"score": score} for place, score in scored}, **vote)
        return chosen or 0
    # A score is missing, or no answer stands beside it: what the person said is kept as far as it goes.
    item.votes += [ImportedVote([[place]], ratings={place: {"score": score}}, **vote) for place, score in scored]
    others = [place for place in range(len(given)) if place != chosen]
    if chosen is not None and others:
        item.votes.append(ImportedVote([[chosen], others], unranked=others if len(others) > 1 else [], **vote))
    return chosen or 0


def utterances(fields: Fields) -> Iterator[Item]:
    """Refuse single answers: they have no earlier turns, and no answers beside them."""
    raise Refusal(
        "the row is one answer of PRISM without the turns before it and the answers beside it; "
        "import conversations.jsonl of the same data set, which has all of them"
    )


def _is_conversation(fields: Fields) -> bool:
    turns = fields.peek(HISTORY)
    return isinstance(turns, list) and bool(turns) and all(isinstance(each, dict) and "turn" in each for each in turns)


def _is_utterance(fields: Fields) -> bool:
    return fields.has("utterance_id", "user_prompt", "model_response")


CONVERSATION = Shape("PRISM conversations", _is_conversation, conversation)
UTTERANCE = Shape("PRISM utterances", _is_utterance, utterances)
