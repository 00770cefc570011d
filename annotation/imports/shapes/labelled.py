"""Texts with a label: doccano (JSON, JSONL, CSV), Prodigy, and any table of text and label.

https://doccano.github.io/doccano/tutorial/, https://prodi.gy/docs/api-interfaces
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from annotation.imports.fields import Fields
from annotation.imports.items import ImportedVote, Item, number
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.shape import Shape, columns

WORDS_OF_A_LABEL = 3


def labelled(fields: Fields) -> Iterator[Item]:
    """Read a text with its label; a list of one label is that label."""
    item = Item(id=fields.take("id"), category=fields.take("category"))
    item.prompt, item.field = fields.take("text", "data", "prompt"), "text"
    label = fields.take("label", "labels", "cats")
    if isinstance(label, dict):
        label = [name for name, value in label.items() if (number(value) or 0) > 0.5 or value is True]
    if isinstance(label, list) and any(isinstance(each, (list, dict)) for each in label):
        raise Refusal("the labels mark parts of the text; only a label of the whole text can be kept")
    item.label = label
    fields.describes(
        "Comments", "comments", "meta", "split", "source", "share", "annotator", "username", "is_confirmed"
    )
    yield item


def prodigy(fields: Fields) -> Iterator[Item]:
    """Read a decision of Prodigy: a label that was accepted, or the options that were chosen; the rest is no answer."""
    item = Item()
    asked = fields.child("input") if isinstance(fields.peek("input"), dict) else fields
    item.prompt = asked.take("text", "prompt", "instruction")
    item.field = "text"
    verdict = fields.take("answer")
    said = {
        "annotator": fields.take("_annotator_id", "_session_id") or "",
        "at": fields.take("_timestamp"),
    }
    fields.describes(
        *(name for name in fields.data if name.startswith("_")), "meta", "config", "tokens", "mapping", "html"
    )
    if verdict == "ignore":
        raise Refusal("the person who was asked skipped it (ignore), so the row says nothing")
    if isinstance(fields.peek("accept"), dict) or isinstance(fields.peek("reject"), dict):
        places = tuple(item.answer(_text(fields.take(name))) for name in ("accept", "reject"))
        item.prefer(*(places if verdict == "accept" else places[::-1]), **said)
    elif isinstance(fields.peek("options"), list):
        _options(fields, item, verdict, said)
    elif verdict == "accept":
        item.label = fields.take("label")
    else:
        raise Refusal(f"the label {str(fields.peek('label'))[:40]!r} was rejected, and no other was given")
    yield item


def _options(fields: Fields, item: Item, verdict: Any, said: dict[str, Any]) -> None:
    """Take chosen options for labels where they are short, for the best of several answers otherwise."""
    options = [each for each in fields.take("options") if isinstance(each, dict)]
    chosen = [str(each) for each in fields.take("accept") or []]
    if verdict != "accept" or not chosen:
        raise Refusal("no option was accepted, so the row says nothing")
    if all(len(str(_text(option)).split()) <= WORDS_OF_A_LABEL for option in options):
        item.label = chosen
        return
    places = {str(option.get("id")): item.answer(_text(option)) for option in options}
    if unknown := [each for each in chosen if each not in places]:
        raise Refusal(f"the answer {unknown[0][:40]!r} is not among the options")
    best = [places[each] for each in chosen]
    others = [place for place in places.values() if place not in best]
    if others:
        item.votes.append(ImportedVote([best, others], unranked=others if len(others) > 1 else [], **said))


def _text(value: Any) -> Any:
    return value.get("text", value.get("html")) if isinstance(value, dict) else value


def _is_prodigy(fields: Fields) -> bool:
    return fields.peek("answer") in ("accept", "reject", "ignore") and any(
        name in fields for name in ("_input_hash", "_task_hash", "label", "options", "accept")
    )


def _is_labelled(fields: Fields) -> bool:
    text = any(isinstance(fields.peek(name), str) for name in ("text", "data"))
    label = next((fields.peek(name) for name in ("label", "labels", "cats") if name in fields), None)
    known = (str, int, float, list, dict)
    answers = ("chosen", "completion", "completions", "pairs", "response", "options", "rejected", "messages")
    return text and isinstance(label, known) and label not in ("", []) and not any(name in fields for name in answers)


LABELLED = Shape("Text and label", _is_labelled, labelled, (columns("text", "label"), columns("data", "label")))
PRODIGY = Shape("Prodigy", _is_prodigy, prodigy)
