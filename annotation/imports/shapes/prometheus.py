"""Prometheus: the Preference Collection and the Feedback Collection, by their columns before the judge's prompt.

https://huggingface.co/datasets/prometheus-eval/Preference-Collection, …/Feedback-Collection
"""

from __future__ import annotations

from collections.abc import Iterator

from annotation.imports.fields import Fields
from annotation.imports.items import ImportedVote, Item, number
from annotation.imports.shapes.shape import Shape
from annotation.imports.verdicts import names_of, vote_of

JUDGE = ("instruction", "output", "input", "messages", "chosen", "rejected")  # what a judge was asked, and said


def preference(fields: Fields) -> Iterator[Item]:
    """Read two answers, which is better, and why; scores are ratings."""
    item = _begun(fields)
    names = ["orig_response_A", "orig_response_B"]
    texts = [fields.take(name) for name in names]
    places = [item.answer(text, field=name) for text, name in zip(texts, names, strict=True)]
    vote = vote_of(names_of(["a", "b"], names, ["", ""], texts), 2, fields.take("orig_preference"), "orig_preference")
    vote.rationale = fields.take("orig_feedback") or ""
    for place, side in zip(places, "AB", strict=True):
        if (score := number(fields.take(f"orig_score_{side}"))) is not None:
            vote.ratings[place] = {"score": score}
    item.votes.append(vote)
    fields.describes(*(f"orig_feedback_{side}" for side in "AB"))
    yield item


def feedback(fields: Fields) -> Iterator[Item]:
    """Read one answer with its score and the reason."""
    item = _begun(fields)
    place = item.answer(fields.take("orig_response"), field="orig_response")
    score = number(fields.take("orig_score"))
    ratings = {} if score is None else {place: {"score": score}}
    item.votes.append(ImportedVote([[place]], ratings=ratings, rationale=fields.take("orig_feedback") or ""))
    yield item


def _begun(fields: Fields) -> Item:
    item = Item(fields.take("orig_instruction"), "orig_instruction")
    item.references.append(fields.take("orig_reference_answer"))
    fields.describes(*JUDGE, *(name for name in fields if name.endswith(("_criteria", "_description"))))
    return item


PREFERENCE = Shape(
    "Prometheus preferences",
    lambda fields: fields.has("orig_instruction", "orig_response_A", "orig_response_B", "orig_preference"),
    preference,
)
FEEDBACK = Shape(
    "Prometheus feedback", lambda fields: fields.has("orig_instruction", "orig_response", "orig_score"), feedback
)
