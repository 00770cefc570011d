"""Texts with a label: doccano (JSON, JSONL, CSV), Prodigy, and any table of text and label.

https://doccano.github.io/doccano/tutorial/, https://prodi.gy/docs/api-interfaces
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from annotation.imports.fields import Fields
from annotation.imports.items import ImportedVote, Item, number
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.compared import PERSON
from annotation.imports.shapes.pairs import DATES, PEOPLE
from annotation.imports.shapes.shape import Shape, columns
from annotation.imports.verdicts import check_judged, is_not_judged, says_nothing

WORDS_OF_A_LABEL = 3
ANSWERS = ("chosen", "completion", "completions", "pairs", "response", "options", "rejected", "messages")
LABEL_KEYS = ("label", "value", "choice", "class")
ABOUT = ("Comments", "comments", "meta", "split", "source", "share", "username", "is_confirmed")


def labelled(fields: Fields) -> Iterator[Item]:
    """Read a text with its label; a list of one label is that label."""
    item = Item(id=fields.take("id"), category=fields.take("category"))
    item.prompt, item.field = fields.take("text", "data", "prompt"), "text"
    who = fields.take(*(name for name in PEOPLE if name in fields)) or ""
    at = fields.take(*(name for name in DATES if name in fields))
    label = fields.take("label", "labels", "cats")
    if isinstance(label, dict):
        label = [name for name, value in label.items() if (number(value) or 0) > 0.5 or value is True]
    if isinstance(label, list) and any(isinstance(each, (list, dict)) for each in label):
        raise Refusal("the labels mark parts of the text; only a label of the whole text can be kept")
    if isinstance(who, (str, int)) and who != "" and not isinstance(label, list):
        item.labels.append((label, who, at))
    else:
        item.label = label
    check_judged(fields.data)
    fields.describes(*ABOUT)
    yield item


def voted(fields: Fields) -> Iterator[Item]:
    """Read a text with everybody's labels: a list of objects with a label and a person, or a column for each person."""
    item = Item(id=fields.take("id"), category=fields.take("category"))
    item.prompt, item.field = fields.take("text", "data"), "text"
    name = _votes_of(fields)
    weights: dict[str, float] = defaultdict(float)
    for given in fields.take(name) if name else ():
        vote = fields.sub(given, name or "")
        if is_not_judged(given):
            vote.describes(*given)
            continue
        label = vote.take("label", "value", "choice", "class")
        who = str(vote.take(*(each for each in PEOPLE if each in vote)) or "")
        who = "" if who == "imported" else who.removeprefix("imported:")  # as our own exports call it
        weight = number(vote.peek("weight"))
        weights[str(label)] += 1.0 if weight is None else weight
        if weight == 1:
            vote.take("weight")  # others are named as not used: everybody's label counts alike
        item.labels.append((label, who, vote.take(*(each for each in (*DATES, "at") if each in vote))))
    for each in _people(fields):
        if not says_nothing(fields.peek(each)):
            item.labels.append((fields.take(each), each, None))
            weights[str(item.labels[-1][0])] += 1.0
    if not item.labels:
        raise Refusal("nobody has labelled the text; delete the row")
    if str(fields.peek("label")) == majority_of(weights):
        fields.take("label")  # only says what most of the votes say
    fields.describes(*ABOUT)
    yield item


def majority_of(weights: Mapping[str, float]) -> str:
    """Return the label with the most weight; empty where two have as much."""
    (label, most), *others = sorted(weights.items(), key=lambda each: -each[1])
    return "" if others and others[0][1] == most else label


def _votes_of(fields: Fields) -> str | None:
    """Return the field with a list of labels and who gave them; None where there is none."""
    for name in ("votes", "annotations", "label_votes", "labels"):
        value = fields.peek(name)
        if isinstance(value, list) and value and all(isinstance(each, dict) and _is_vote(each) for each in value):
            return name
    return None


def _is_vote(given: dict[str, Any]) -> bool:
    """Return whether an object holds a label of the whole text, and not of a part of it."""
    labels = any(isinstance(given.get(key), (str, int)) for key in LABEL_KEYS)
    return labels and not {"start", "start_offset"} & given.keys()


def _people(fields: Fields) -> list[str]:
    return [name for name in fields if PERSON.fullmatch(name.lower()) and isinstance(fields.peek(name), (str, int))]


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
        label = fields.take("label")
        item.labels += [(label, said["annotator"], said["at"])] if label is not None else []
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
        if len(chosen) > 1:
            item.label = chosen
        else:
            item.labels.append((chosen[0], said["annotator"], said["at"]))
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
    return text and isinstance(label, known) and label not in ("", []) and not any(name in fields for name in ANSWERS)


def _is_voted(fields: Fields) -> bool:
    text = any(isinstance(fields.peek(name), str) for name in ("text", "data"))
    several = len(_people(fields)) > 1
    return text and not any(name in fields for name in ANSWERS) and (several or _votes_of(fields) is not None)


VOTED = Shape("Text and votes on its label", _is_voted, voted)
LABELLED = Shape("Text and label", _is_labelled, labelled, (columns("text", "label"), columns("data", "label")))
PRODIGY = Shape("Prodigy", _is_prodigy, prodigy)
