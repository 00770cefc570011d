"""Argilla: records of the SDK (2.x and 1.x) and the flat columns of the hub. https://docs.argilla.io/latest/reference/argilla/records

Only submitted responses count: drafts and discarded ones are no votes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from typing import Any

from annotation.imports.fields import Fields
from annotation.imports.items import ImportedVote, Item, is_messages, number
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.shape import Shape, columns
from annotation.imports.verdicts import names_of, plain, vote_of

PROMPTS = ("instruction", "prompt", "question", "messages", "chat", "conversation", "text", "input", "query")
ANSWER_WORDS = ("response", "answer", "completion", "generation", "output", "reply", "candidate", "text1", "text2")
REASONS = ("reason", "rationale", "comment", "why", "explan", "justif", "note", "feedback")
RESPONSES = ".responses"
ABOUT = ("id", "external_id", "status", "metadata", "_server_id", "inserted_at", "updated_at")


def records(fields: Fields) -> Iterator[Item]:
    """Read a record with its fields, and the responses to each question."""
    item = Item(id=fields.take("id", "external_id"))
    places = _fields(fields.child("fields"), item)
    given = fields.peek("responses")
    if isinstance(given, list):  # 1.x: one entry a person
        fields.take("responses")
        for each in given:
            person = fields.sub(each, "responses")
            user, status = person.take("user_id"), person.take("status")
            for name, answer in (person.take("values") or {}).items():
                if _counts(status) and not _take(item, places, name, _value(answer), user):
                    raise Refusal(f'what was answered to "{name}" belongs to none of the answers and is not used')
    else:
        responses = fields.child("responses")
        for name in list(responses.data):
            answers = responses.peek(name)
            used, rates = True, True
            for answer in answers if isinstance(answers, list) else [answers]:
                about = answer if isinstance(answer, dict) and "value" in answer else {"value": answer}
                if _counts(about.get("status")):
                    used &= _take(item, places, name, about["value"], about.get("user_id"))
                    rates &= number(about["value"]) is not None
            if used:
                responses.take(name)
            elif rates:  # of the record, which has no answer: it is no judgment of any
                responses.describes(name)
            else:
                responses.judges(name)
    fields.describes("metadata", "suggestions", "vectors", "status", "_server_id", "inserted_at", "updated_at")
    _finish(item)
    yield item


def flat(fields: Fields) -> Iterator[Item]:
    """Read a row of the hub: the fields as columns, and for each question its responses, users and status."""
    item = Item(id=fields.take("id", "external_id"))
    asked = {name.removesuffix(RESPONSES): "v2" for name in fields.data if name.endswith(RESPONSES)}
    asked |= {name: "v1" for name, value in fields.data.items() if _is_v1(value)}
    about: tuple[str, ...] = ABOUT
    about += tuple(
        name for name in fields.data if ".suggestion" in name or "-suggestion" in name or name.startswith("metadata.")
    )
    fields.describes(*about)
    places = _fields(
        fields, item, besides={*about, *asked, *(n for q in asked for n in fields.data if n.startswith(f"{q}."))}
    )
    for name, version in asked.items():
        given = _responses(fields, name, version)
        for value, user, status in given:
            if _counts(status) and not _take(item, places, name, value, user):
                raise Refusal(f'what was answered to "{name}" belongs to none of the answers and is not used')
    _finish(item)
    yield item


def _responses(fields: Fields, name: str, version: str) -> list[tuple[Any, Any, Any]]:
    if version == "v1":
        return [(each.get("value"), each.get("user_id"), each.get("status")) for each in fields.take(name)]
    values = fields.take(f"{name}{RESPONSES}") or []
    users = fields.take(f"{name}{RESPONSES}.users") or []
    states = fields.take(f"{name}{RESPONSES}.status") or []
    return [
        (value, users[place] if place < len(users) else None, states[place] if place < len(states) else None)
        for place, value in enumerate(values)
    ]


def _is_v1(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, dict) and {"user_id", "value", "status"} <= set(each) for each in value)
    )


def _fields(data: Fields, item: Item, besides: Set[str] = frozenset()) -> dict[str, int]:
    """Take the prompt and the answers; return the place of each answer by the name of its field."""
    names = [name for name in data.data if name not in besides and name in data]
    prompt = next((name for name in PROMPTS if name in names), None)
    if prompt is None:
        prompt = next((name for name in names if is_messages(data.peek(name))), None)
    if prompt is not None:
        item.prompt, item.field = data.take(prompt), prompt
    if "system" in names and isinstance(data.peek("system"), str):
        item.system = data.take("system")
    places = {}
    for name in names:
        if name != prompt and isinstance(data.peek(name), str) and any(word in name.lower() for word in ANSWER_WORDS):
            places[name] = item.answer(data.take(name))
    return places


def _counts(status: Any) -> bool:
    return status is None or str(getattr(status, "value", status)).lower().rsplit(".", 1)[-1] == "submitted"


def _value(answer: Any) -> Any:
    return answer.get("value") if isinstance(answer, dict) and "value" in answer else answer


def _take(item: Item, places: dict[str, int], name: str, value: Any, user: Any) -> bool:
    """Take what one person answered to one question; False where nothing here can hold it."""
    annotator = "" if user is None else str(user)
    ranks = _ranks(value, places)
    if ranks is not None:
        tiers: dict[float, list[int]] = {}
        for answer, rank in ranks:
            if answer not in places:
                raise Refusal(f"the order names {answer[:40]!r}, which is not among the fields of the record")
            tiers.setdefault(rank, []).append(places[answer])
        item.votes.append(ImportedVote([tiers[rank] for rank in sorted(tiers)], annotator=annotator))
        return True
    if isinstance(value, bool) or value is None:
        return value is None
    if (rating := number(value)) is not None and not isinstance(value, str):
        return _rate(item, places, name, rating, annotator)
    if isinstance(value, str):
        return _text(item, places, name, value, annotator)
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        if len(value) > 1:
            raise Refusal(f'"{name}" has {len(value)} labels; only one label can be kept')
        item.labels.append((value[0], annotator, None))
        return True
    return bool(value == [])


def _ranks(value: Any, places: dict[str, int]) -> list[tuple[str, float]] | None:
    """Return names with their ranks, out of each form in which Argilla writes a ranking; None for other answers."""
    if isinstance(value, dict) and isinstance(value.get("rank"), list) and isinstance(value.get("value"), list):
        value = [{"value": name, "rank": rank} for name, rank in zip(value["value"], value["rank"], strict=False)]
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(each, dict) and "value" in each for each in value):
        found = []
        for place, each in enumerate(value, start=1):
            rank = number(each.get("rank", place))
            if rank is not None:
                found.append((str(each["value"]), rank))
        return found
    if all(isinstance(each, str) for each in value) and any(each in places for each in value):
        return [(each, float(place)) for place, each in enumerate(value)]
    return None


def _rate(item: Item, places: dict[str, int], name: str, rating: float, annotator: str) -> bool:
    """Keep a rating of the answer that the question names, or of the only one."""
    named = [place for field, place in places.items() if field in name]
    if len(named) != 1 and len(item.answers) != 1:
        return False
    place = named[0] if len(named) == 1 else 0
    for vote in item.votes:
        if vote.annotator == annotator and any(place in tier for tier in vote.tiers):
            vote.ratings.setdefault(place, {})[name] = rating
            return True
    item.votes.append(ImportedVote([[place]], ratings={place: {name: rating}}, annotator=annotator))
    return True


def _text(item: Item, places: dict[str, int], name: str, value: str, annotator: str) -> bool:
    """Take a label that names an answer for a choice; a written text for a reason or a reference answer."""
    if len(places) > 1 and (vote := _choice(places, value, name)):
        vote.annotator = annotator
        item.votes.append(vote)
    elif any(word in name.lower() for word in REASONS):
        mine = [vote for vote in item.votes if vote.annotator == annotator]
        for vote in mine:
            vote.rationale = value
        return bool(mine)
    elif (
        not item.answers
        and len(value.split()) <= 3
        and not any(word in name.lower() for word in (*ANSWER_WORDS, "correct", "rewrit"))
    ):
        item.labels.append((value, annotator, None))
    elif item.answers and len(value.split()) <= 3:
        return False  # a label of the record, which belongs to none of its answers
    else:
        item.references.append(value)
    return True


def _choice(places: dict[str, int], value: str, name: str) -> ImportedVote | None:
    """Return the vote of a label that names an answer, or says that they are equal; None for other labels."""
    suffixes = [re.split(r"[\s_-]+|(?<=[a-z])(?=\d)", field.lower())[-1] for field in places]
    names = dict(names_of(suffixes, list(places), [""] * len(places), [""] * len(places)))
    try:
        return vote_of(names | {plain(field): place for field, place in places.items()}, len(places), value, name)
    except Refusal:
        return None


def _finish(item: Item) -> None:
    if item.labels and item.answers:
        raise Refusal(
            "the record has a label that belongs to none of its answers; only texts without answers are labelled"
        )


def _is_record(fields: Fields) -> bool:
    return isinstance(fields.peek("fields"), dict)


def _is_flat(fields: Fields) -> bool:
    return any(name.endswith(RESPONSES) for name in fields.data) or any(_is_v1(value) for value in fields.data.values())


RECORDS = Shape("Argilla records", _is_record, records)
FLAT = Shape("Argilla hub columns", _is_flat, flat, (columns("ranking.responses"),))
