"""NVIDIA HelpSteer: rated answers (1 and 2) and preferences from −3 to 3 with reasons (2 and 3).

https://huggingface.co/datasets/nvidia/HelpSteer2, https://huggingface.co/datasets/nvidia/HelpSteer3
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from annotation.imports.fields import Fields
from annotation.imports.items import ImportedVote, Item, number
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.shape import Shape, columns
from annotation.imports.transcripts import transcript_of

ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
LONGEST = 3  # how far a preference can go on either side


def rated(fields: Fields) -> Iterator[Item]:
    """Read an answer with its five ratings; it is not compared, so it is part of no preference."""
    item = Item(_asked(fields.take("prompt")), id=fields.take("id"))
    place = item.answer(fields.take("response"))
    ratings = {name: value for name in ATTRIBUTES if (value := number(fields.take(name))) is not None}
    item.votes.append(ImportedVote([[place]], ratings={place: ratings}))
    yield item


def preferences(fields: Fields) -> Iterator[Item]:
    """Read two answers with everybody's preference: below 0 the first is better, above 0 the second, 0 is a tie."""
    item = Item(
        _asked(fields.take("context", "prompt")), "context", id=fields.take("id"), category=fields.take("domain")
    )
    places = item.answer(fields.take("response1", "response_1")), item.answer(fields.take("response2", "response_2"))
    overall = fields.take("overall_preference", "preference_strength")
    reason = fields.take("preference_elaboration", "preference_statement") or ""
    fields.describes("preference_statement", "three_most_similar_preferences", "language", "split")
    each_name = "individual_preference" if "individual_preference" in fields else "all_preferences_unprocessed"
    individual = fields.take(each_name)
    if not isinstance(individual, list) or not individual:
        _vote(item, places, overall, reason)
    else:
        for given in individual:  # annotators are unnamed, and others in every row
            said = fields.sub(given, each_name)
            score = said.take("score", "strength")
            why = said.take("reasoning", "elaboration", "statement") or ""
            said.describes(*said.data)
            _vote(item, places, score, why)
    yield item


def edits(fields: Fields) -> Iterator[Item]:
    """Read an answer and people's edits of it: an edit is better than what it edits, a good edit than a bad one."""
    item = Item(
        _asked(fields.take("context", "prompt")), "context", id=fields.take("id"), category=fields.take("domain")
    )
    original = item.answer(fields.take("original_response"))
    if "edited_response" in fields:
        edited = item.answer(fields.take("edited_response"))
        item.prefer(edited, original, rationale=fields.take("change_summary") or "")
    else:
        good, bad = item.answer(fields.take("good_edited_response")), item.answer(fields.take("bad_edited_response"))
        item.prefer(good, bad)
    fields.describes("feedback", "language", "split")  # what others said about the first answer, no judgment of two
    yield item


def feedback(fields: Fields) -> Iterator[Item]:
    """Read an answer with what several people wrote about it: a vote that orders nothing for each, with their words."""
    item = Item(_asked(fields.take("context", "prompt")), "context", category=fields.take("domain"))
    place = item.answer(fields.take("response"))
    item.votes += [ImportedVote([[place]], rationale=said) for said in fields.take("feedback") if said]
    fields.describes("language", "split")
    yield item


def _is_feedback(fields: Fields) -> bool:
    said = fields.peek("feedback")
    texts = isinstance(said, list) and bool(said) and all(isinstance(each, str) for each in said)
    return texts and isinstance(fields.peek("response"), str) and ("context" in fields or "prompt" in fields)


def _asked(prompt: Any) -> Any:
    """Return a prompt of several turns, marked by <extra_id_1>, as messages; others as they are."""
    return (transcript_of(prompt) or prompt) if isinstance(prompt, str) and "<extra_id_1>" in prompt else prompt


def _vote(item: Item, places: tuple[int, int], score: Any, reason: Any) -> None:
    value = number(score)
    if value is None or abs(value) > LONGEST:
        raise Refusal(f"a preference is {str(score)[:40]!r}; it should be a number from -{LONGEST} to {LONGEST}")
    said = {"rationale": reason}
    if value == 0:
        item.tie(*places, **said)
    else:
        better, worse = places if value < 0 else places[::-1]
        item.prefer(better, worse, margin=abs(value) / LONGEST, **said)


def _is_rated(fields: Fields) -> bool:
    return fields.has("prompt", "response") and sum(name in fields for name in ATTRIBUTES) >= 2


def _is_preferences(fields: Fields) -> bool:
    two = fields.has("response1", "response2") or fields.has("response_1", "response_2")
    overall = next((name for name in ("overall_preference", "preference_strength") if name in fields), "")
    # In words it is what others write, too: "Response 1 is slightly better".
    return two and bool(overall) and number(fields.peek(overall)) is not None


def _is_edit(fields: Fields) -> bool:
    edited = "edited_response" in fields or fields.has("good_edited_response", "bad_edited_response")
    return edited and "original_response" in fields and ("context" in fields or "prompt" in fields)


EDITS = Shape("HelpSteer3 edits", _is_edit, edits)
RATED = Shape("HelpSteer2", _is_rated, rated, (columns("prompt", "response", "helpfulness"),))
FEEDBACK = Shape("HelpSteer3 feedback", _is_feedback, feedback)
PREFERENCES = Shape("HelpSteer3", _is_preferences, preferences)
