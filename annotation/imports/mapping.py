"""Which columns of a file belong together: what a person names where no shape knows a file.

A mapping is a dictionary of texts, so that a form, the API, the command and a stored mapping are the same thing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import gettext_noop

from annotation.imports.fields import Fields
from annotation.imports.items import ImportedVote, Item, is_messages, number, texts_below
from annotation.imports.refusals import Refusal, UnreadableFile
from annotation.imports.shapes.pairs import add_preference
from annotation.imports.verdicts import BOTH_BAD, TIE

# Field of a mapping → what it names. The first group names a column, the second several, the third says what they mean.
COLUMNS = {
    "text": gettext_noop("Prompt or text"),
    "input": gettext_noop("Input, below the prompt"),
    "system": gettext_noop("System message"),
    "history": gettext_noop("Earlier turns"),
    "id": gettext_noop("Id"),
    "category": gettext_noop("Category"),
    "reference": gettext_noop("Reference response"),
    "completion": gettext_noop("Answer"),
    "chosen": gettext_noop("Preferred or first answer"),
    "rejected": gettext_noop("Other or second answer"),
    "margin": gettext_noop("Margin, from 0 to 1"),
    "winner": gettext_noop("Which answer won"),
    "label": gettext_noop("Label"),
    "annotator": gettext_noop("Who said it"),
    "date": gettext_noop("When"),
    "reason": gettext_noop("Why"),
}
SEVERAL = {
    "completions": gettext_noop("Answers, columns with commas between them"),
    "scores": gettext_noop("Scores of the answers, columns in the same order"),
}
MEANINGS = {
    "winner_first": gettext_noop("Values that mean the first answer"),
    "winner_second": gettext_noop("Values that mean the second answer"),
    "winner_tie": gettext_noop("Values that mean a tie"),
    "winner_bad": gettext_noop("Values that mean that both are bad"),
    "better": gettext_noop("Better scores are: higher or lower"),
    "tie_within": gettext_noop("Scores this close tie"),
}
KNOWN = COLUMNS | SEVERAL | MEANINGS
FIRST = {"a", "first", "left", "model_a", "response_a", "answer_a", "response_1", "answer_1", "chosen"}
SECOND = {"b", "second", "right", "model_b", "response_b", "answer_b", "response_2", "answer_2", "rejected"}
# Names by which a field is found where the mapping does not say.
DEFAULTS = {
    "text": ("text", "prompt", "instruction", "question", "messages"),
    **{
        name: (name,) for name in ("id", "category", "reference", "completion", "chosen", "rejected", "margin", "label")
    },
    "system": ("system",),
    "history": ("history",),
}


def check(mapping: Mapping[str, str]) -> dict[str, str]:
    """Return the mapping without empty entries; an UnreadableFile where a field is not known or means nothing."""
    wanted = {name: str(value).strip() for name, value in mapping.items() if str(value).strip()}
    for name in wanted:
        if name not in KNOWN:
            raise UnreadableFile(f"A column cannot be mapped to {name!r}. Fields: {', '.join(KNOWN)}.")
    if wanted.get("better", "higher") not in ("higher", "lower"):
        raise UnreadableFile(f'"better" is {wanted["better"]!r}; write higher or lower.')
    within = number(wanted.get("tie_within", 0))
    if within is None or within < 0:
        raise UnreadableFile(f'"tie_within" is {wanted["tie_within"]!r}; write a number.')
    if "winner" in wanted and not ({"chosen", "rejected"} <= set(wanted) or "completions" in wanted):
        raise UnreadableFile(
            'Where "winner" is mapped, map the two answers as well: chosen and rejected, or completions.'
        )
    return wanted


def columns_named(mapping: Mapping[str, str]) -> set[str]:
    """Return the columns that a mapping names, in small letters."""
    named = [mapping[name] for name in COLUMNS if mapping.get(name)]
    named += [column for name in SEVERAL for column in _list(mapping.get(name, ""))]
    return {column.lower() for column in named}


def read(fields: Fields, mapping: Mapping[str, str]) -> Iterator[Item]:
    """Read a row as the mapping says; what it does not name is looked for under the usual names."""
    row = _Row(fields, mapping)
    asked = row.take("text")
    beside = "input" if mapping.get("text", "").lower() == "instruction" else ""
    more = row.take("input", default=beside)
    item = Item(texts_below(asked, more) if more not in (None, "") else asked, mapping.get("text", "text"))
    if is_messages(asked):
        item.field = "messages"
    for name in ("system", "history", "id", "category"):
        setattr(item, name, row.take(name))
    item.references.append(row.take("reference"))
    label = row.take("label")
    said = {"annotator": row.take("annotator") or "", "at": row.take("date"), "rationale": row.take("reason") or ""}
    if label is not None and said["annotator"] and not isinstance(label, list):
        item.labels.append((label, said["annotator"], said["at"]))
    else:
        item.label = label
    _answers(item, row, said)
    yield item


class _Row:
    """The values of a row by the fields of a mapping; column names are compared without their case."""

    def __init__(self, fields: Fields, mapping: Mapping[str, str]) -> None:
        self.fields, self.mapping = fields, mapping
        self.names = {name.lower(): name for name in fields.data}
        self.named = columns_named(mapping)

    def column(self, name: str) -> Any:
        return self.fields.take(self.names.get(name.lower(), name))

    def take(self, field: str, default: str = "") -> Any:
        if field in self.mapping:
            return self.column(self.mapping[field])
        usual = (default,) if default else DEFAULTS.get(field, ())
        free = [name for name in usual if name not in self.named and name in self.fields]
        return self.fields.take(free[0]) if free else None

    def several(self, field: str) -> list[tuple[str, Any]]:
        return [(name, self.column(name)) for name in _list(self.mapping.get(field, ""))]


def _answers(item: Item, row: _Row, said: dict[str, Any]) -> None:
    """Add answers and what is known of their order: a winner, scores, or chosen over rejected."""
    named = row.several("completions")
    if len(named) == 1 and isinstance(named[0][1], list):  # one column that holds a list
        named = [(f"{named[0][0]}[{place}]", text) for place, text in enumerate(named[0][1], start=1)]
    places = [(name, item.answer(text)) for name, text in named if text not in (None, "")]
    one = row.take("completion")
    if one is not None:
        places.append(("completion", item.answer(one)))
    chosen, rejected, margin = row.take("chosen"), row.take("rejected"), row.take("margin")
    scores = row.several("scores")
    if chosen is not None or rejected is not None:
        pair = add_preference(item, chosen, rejected, margin=margin, **said)
        if "winner" in row.mapping or scores:
            item.votes.pop()  # another column has which of the two is better
        places = [("chosen", pair[0]), ("rejected", pair[1])]
    if "winner" in row.mapping:
        _won(item, row, places, said | {"margin": margin})
    if scores:
        _scored(item, row, [place for _, place in places], scores, said)


def _won(item: Item, row: _Row, places: list[tuple[str, int]], said: dict[str, Any]) -> None:
    column = row.mapping["winner"]
    value = str(row.column(column)).strip()
    mapping = row.mapping
    first = set(_list(mapping.get("winner_first", ""))) or FIRST | {mapping.get("chosen", "").lower()}
    second = set(_list(mapping.get("winner_second", ""))) or SECOND | {mapping.get("rejected", "").lower()}
    ties = set(_list(mapping.get("winner_tie", ""))) or TIE
    bad = set(_list(mapping.get("winner_bad", ""))) or BOTH_BAD
    names = {name.lower(): place for name, place in places}
    if _among(value, bad):
        everyone = [place for _, place in places]
        said = {name: each for name, each in said.items() if name != "margin"}
        item.votes.append(ImportedVote([everyone], unacceptable=everyone, **said))
    elif _among(value, ties):
        item.tie(*(place for _, place in places), **{name: each for name, each in said.items() if name != "margin"})
    elif len(places) == 2 and _among(value, first):
        item.prefer(places[0][1], places[1][1], **said)
    elif len(places) == 2 and _among(value, second):
        item.prefer(places[1][1], places[0][1], **said)
    elif value.lower() in names:
        best = names[value.lower()]
        others = [place for _, place in places if place != best]
        item.rank([(best, 1.0), *((place, 0.0) for place in others)], **said)
        item.votes[-1].unranked = others if len(others) > 1 else []
    else:
        raise Refusal(
            f'"{column}" is {value[:40]!r}; say what it means with '
            "winner_first, winner_second, winner_tie or winner_bad"
        )


def _among(value: str, known: set[str]) -> bool:
    """Return whether a value is one of the given ones; numbers are compared as numbers."""
    folded = {each.lower() for each in known if each}
    as_number = number(value)
    return value.lower() in folded or (as_number is not None and as_number in {number(each) for each in folded})


def _scored(item: Item, row: _Row, places: list[int], scores: list[tuple[str, Any]], said: dict[str, Any]) -> None:
    values = scores[0][1] if len(scores) == 1 and isinstance(scores[0][1], list) else [value for _, value in scores]
    found = [number(value) for value in values]
    if len(found) != len(places) or None in found:
        raise Refusal(f"the row has {len(places)} answers and {sum(each is not None for each in found)} scores")
    sign = -1.0 if row.mapping.get("better") == "lower" else 1.0
    scored = [(place, float(value or 0)) for place, value in zip(places, found, strict=True)]
    within = number(row.mapping.get("tie_within", 0)) or 0.0
    ratings = {place: {"score": value} for place, value in scored}
    item.rank([(place, sign * value) for place, value in scored], within=within, ratings=ratings, **said)


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


__all__ = ["COLUMNS", "KNOWN", "MEANINGS", "SEVERAL", "check", "columns_named", "read"]
