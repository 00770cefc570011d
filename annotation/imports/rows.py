"""From items to rows as they are stored: every text is cleaned here, once, and what cannot be used is refused."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from django.utils.translation import gettext_noop

from annotation.imports.conversations import ROLES, messages_of, said_in, text_of, with_history
from annotation.imports.items import Answer, ImportedVote, Item, is_messages, number
from annotation.imports.refusals import KINDS, Refusal
from annotation.imports.text import unix_lines
from annotation.imports.transcripts import end_of_turns, is_open_transcript, transcript_of
from annotation.judged import preferences

MAX_TEXT_LENGTH = 20_000
CLEANED = 10  # times as many characters as are kept: a text with more is too long, whatever cleaning takes away
MAX_ANSWERS = 100  # to the prompt of one row
MAX_ID_LENGTH = 200  # as Prompt.external_id
MAX_CATEGORY_LENGTH = 100  # as Prompt.category
MAX_LABEL_LENGTH = 100  # as ImportedLabel.label
MAX_NAME_LENGTH = 200  # as ImportedJudgment.annotator

MARGIN = "margin"  # the criterion under which a margin of another scale than 0 to 1 is kept

YEAR_FIRST = re.compile(r"\d{4}/\d\d/\d\d\b")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class PairRow:
    """A preference between two answers that the votes of a row agree on; `margin` from 0 to 1 where the file has it."""

    chosen: str
    rejected: str
    margin: float | None = None


@dataclass(frozen=True)
class AnswerRow:
    """An answer as it is stored, with the name of its maker where the file has it."""

    text: str
    name: str = ""
    finished: bool = True


@dataclass(frozen=True)
class VoteRow:
    """One person's judgment: tiers of places in the row's answers, best first. Ratings are by place and criterion."""

    tiers: tuple[tuple[int, ...], ...]
    unacceptable: tuple[int, ...] = ()
    unranked: tuple[int, ...] = ()
    ratings: tuple[tuple[int, str, float], ...] = ()
    margin: float | None = None
    strength: int | None = None
    annotator: str = ""
    weight: float = 1.0
    at: str = ""
    rationale: str = ""

    @property
    def orders(self) -> bool:
        """Return whether the vote compares two answers, as better or as equal."""
        return sum(map(len, self.tiers)) > 1 and len(self.unranked) < sum(map(len, self.tiers))


@dataclass(frozen=True)
class PromptRow:
    """A prompt as it will be stored. `line` is where its row starts in the file, from 1."""

    line: int
    messages: list[dict[str, str]]
    external_id: str
    reference: str
    category: str
    answers: tuple[AnswerRow, ...] = ()
    votes: tuple[VoteRow, ...] = ()
    more_references: tuple[str, ...] = ()

    @property
    def references(self) -> tuple[str, ...]:
        """Return every reference answer of the row."""
        return tuple(filter(None, (self.reference, *self.more_references)))

    @property
    def completions(self) -> tuple[str, ...]:
        """Return the texts of the answers."""
        return tuple(answer.text for answer in self.answers)

    @property
    def pairs(self) -> tuple[PairRow, ...]:
        """Return the preferences with a majority of votes."""
        votes = [
            preferences.Vote(vote.tiers, vote.unacceptable, vote.weight, vote.unranked, vote.strength)
            for vote in self.votes
            if vote.orders
        ]
        margins = [vote.margin for vote in self.votes if vote.margin is not None]
        margin = margins[0] if len(self.votes) == 1 and margins else None
        merged, _ = preferences.merge(votes) if votes else ([], [])
        return tuple(
            PairRow(self.answers[pair.chosen].text, self.answers[pair.rejected].text, margin) for pair in merged
        )


@dataclass(frozen=True)
class LabelVote:
    """The label that one person gives a text; `annotator` is empty where the file names nobody."""

    label: str
    annotator: str = ""
    at: str = ""


@dataclass(frozen=True)
class LabelRow:
    """A text with every vote on its class."""

    line: int
    text: str
    votes: tuple[LabelVote, ...]

    @property
    def label(self) -> str:
        """Return the label with the most votes; several with commas between them where as many are for each."""
        votes = Counter(vote.label for vote in self.votes)
        most = max(votes.values())
        return ", ".join(label for label, count in votes.items() if count == most)


def label_row(line: int, item: Item) -> LabelRow:
    """Return a text with everybody's labels."""
    if item.prompt is None:
        raise Refusal('the row has no "text"; add it')
    text = _required(f'"{item.field}"', item.prompt)
    return LabelRow(line, text, tuple(_label_votes(item.labels or _as_votes(item))))


def _as_votes(item: Item) -> list[tuple[Any, Any, Any]]:
    """Return the votes of an item with one statement; the labels of a list are votes only where one of them repeats."""
    said = item.label
    if not isinstance(said, list):
        return [(said, "", None)]
    if not said:
        raise Refusal('"label" is an empty list; write the class there or delete the row')
    different = list(dict.fromkeys(str(each) for each in said))
    if len(different) == len(said) > 1:
        raise Refusal(f"the text has the labels {different[0]!r} and {different[1]!r}; only one can be kept")
    return [(each, "", None) for each in said]


def _label_votes(said: list[tuple[Any, Any, Any]]) -> Iterator[LabelVote]:
    people: dict[str, str] = {}
    for given, who, at in said:
        if isinstance(given, list):
            if len(given) != 1:
                raise Refusal(f"one person gave the text {len(given)} labels; only one can be kept")
            given = given[0]
        vote = LabelVote(_label(given), _clean('"annotator"', _person(who), MAX_NAME_LENGTH), moment(at))
        if vote.annotator and people.setdefault(vote.annotator, vote.label) != vote.label:
            raise Refusal(f"{vote.annotator[:40]!r} gave the text two labels; only one can be kept")
        yield vote


def _label(label: Any) -> str:
    if label is None:
        raise Refusal('the row has no "label"; add it')
    text = _clean('"label"', _named(label), MAX_LABEL_LENGTH)
    if not text:
        raise Refusal('"label" is empty; write the class there or delete the row')
    return text


def prompt_row(line: int, item: Item) -> PromptRow:
    """Return a prompt with its answers, votes and reference answers, each text cleaned."""
    messages = _conversation(item)
    if len(item.answers) > MAX_ANSWERS:
        # All pairs of them are made, and there are n²/2.
        raise Refusal(
            f"the row has {len(item.answers):,} answers to one prompt; keep at most {MAX_ANSWERS} and split the others"
        )
    if end := end_of_turns(item.prompt):
        for answer in item.answers:
            answer.text = _without(end, answer.text)
        item.references = [_without(end, text) for text in item.references]
    answers, place_of = _answers(item.answers)
    references = [_required('"reference"', _answer(text)) for text in item.references if not _blank(text)]
    references = list(dict.fromkeys(references))
    return PromptRow(
        line=line,
        messages=messages,
        external_id=_optional("id", item.id, MAX_ID_LENGTH),
        reference=references[0] if references else "",
        category=_optional("category", item.category, MAX_CATEGORY_LENGTH),
        answers=tuple(answers),
        votes=tuple(_vote(vote, place_of, item.answers) for vote in item.votes),
        more_references=tuple(references[1:]),
    )


def _without(end: str, text: Any) -> Any:
    """Return an answer without the mark with which its template ends a turn."""
    return text.strip().removesuffix(end) if isinstance(text, str) else text


def _answers(given: list[Answer]) -> tuple[list[AnswerRow], list[int]]:
    """Return every text once, and the place of each given answer among them."""
    rows: list[AnswerRow] = []
    places: dict[str, int] = {}
    place_of = []
    for number_of, answer in enumerate(given, start=1):
        label = f'"{answer.field}"' if answer.field else f"answer {number_of} of the row"
        text = _required(label, _answer(answer.text))
        if text not in places:
            places[text] = len(rows)
            rows.append(
                AnswerRow(
                    text,
                    _clean("the name of an answer", answer.name[:MAX_NAME_LENGTH], MAX_NAME_LENGTH),
                    answer.finished,
                )
            )
        place_of.append(places[text])
    return rows, place_of


def _vote(vote: ImportedVote, place_of: list[int], answers: list[Answer]) -> VoteRow:
    tiers = [tuple(dict.fromkeys(place_of[place] for place in tier)) for tier in vote.tiers if tier]
    placed = [place for tier in tiers for place in tier]
    if len(set(placed)) < len(placed):
        if {answer.field for answer in answers} == {"chosen", "rejected"}:
            raise Refusal('"chosen" and "rejected" are the same text; nobody prefers an answer to itself')
        raise Refusal("two answers in different places are the same text; nobody prefers an answer to itself")
    if not placed:
        raise Refusal("a ranking places no answer; delete it")
    ratings = [
        (place_of[place], _clean("a criterion", str(name)[:MAX_CATEGORY_LENGTH], MAX_CATEGORY_LENGTH), float(value))
        for place, said in sorted(vote.ratings.items())
        for name, value in said.items()
    ]
    margin = _margin(vote.margin)
    if margin is not None and not 0 <= margin <= 1:
        # Of another scale, of which a row does not tell the end: kept as what it is, and not as a share of the largest.
        ratings += [(place, MARGIN, margin) for place in tiers[0]]
        margin = None
    weight = number(vote.weight)
    if weight is None or weight <= 0:
        raise Refusal('"weight" of a vote is no number above 0; correct it or leave it out')
    return VoteRow(
        tiers=tuple(tiers),
        unacceptable=tuple(sorted({place_of[place] for place in vote.unacceptable})),
        unranked=tuple(sorted({place_of[place] for place in vote.unranked})),
        ratings=tuple(dict.fromkeys(ratings)),
        margin=margin,
        strength=vote.strength,
        annotator=_clean('"annotator"', _person(vote.annotator), MAX_NAME_LENGTH),
        weight=weight,
        at=moment(vote.at),
        rationale=_clean("the reason of a vote", _named(vote.rationale), MAX_TEXT_LENGTH),
    )


def _person(value: Any) -> Any:
    """Return who voted: a name, a number, or the parts of a name that stand in a list."""
    if isinstance(value, list) and all(isinstance(each, (str, int)) for each in value):
        return " ".join(str(each) for each in value)
    return _named(value)


def moment(value: Any) -> str:
    """Return a date in ISO 8601 with its zone, out of ISO 8601, RFC 2822 or seconds since 1970; empty for others."""
    seconds = number(value)
    try:
        if seconds is not None:
            return datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC).isoformat()
        text = str(value).strip()
        if text.endswith(" UTC"):  # as pandas and PostgreSQL print it
            text = f"{text.removesuffix(' UTC')}+00:00"
        if YEAR_FIRST.match(text):
            text = text.replace("/", "-")
        at = parsedate_to_datetime(text) if "," in text else datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return ""
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()


def _margin(value: Any) -> float | None:
    if value is None or value == "":
        return None
    found = number(value)
    if found is None:
        raise Refusal('"margin" is no number; correct it or leave it out')
    return found


def _answer(value: Any) -> Any:
    """Return the text of an answer that stands there as a message, as a list of one, or in content parts."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict) and set(value) >= {"from", "value"}:
        value = {"role": value["from"], "content": value["value"]}
    if isinstance(value, dict) and set(value) >= {"role", "content"}:
        if ROLES.get(str(value["role"]).lower()) != "assistant":
            raise Refusal(f"an answer has the role {json.dumps(str(value['role'])[:40])}; it should be assistant")
        return said_in(value, "an answer")
    return text_of(value, "an answer")


def _conversation(item: Item) -> list[dict[str, str]]:
    """Return the whole prompt: system text, earlier turns, and the question."""
    asked = item.prompt
    if asked is None:
        raise Refusal('the row has no "text", "prompt" or "messages"; add one of them')
    if is_open_transcript(asked):
        asked = transcript_of(asked)
    asked = text_of(asked, f'"{item.field}"')
    if item.field == "messages" or (isinstance(asked, list) and (item.field != "text" or is_messages(asked))):
        turns = messages_of(asked, "messages" if item.field in ("prompt", "messages") else item.field)
    else:
        turns = [{"role": "user", "content": _required(f'"{item.field}"', asked)}]
    turns = [*with_history(item.history), *turns]
    if not _blank(item.system):
        given = item.system.get("content", item.system) if isinstance(item.system, dict) else item.system
        system = _required('"system"', text_of(given, '"system"'))
        if turns[0]["role"] != "system":
            turns.insert(0, {"role": "system", "content": system})
        elif str(turns[0]["content"]).strip() != system:
            raise Refusal('"system" differs from the system message of the conversation; keep one of them')
    messages = [
        {"role": turn["role"], "content": _required(f'"content" of message {number_of}', turn["content"])}
        for number_of, turn in enumerate(turns, start=1)
    ]
    last = messages[-1]["role"]
    if last != "user":
        if last == "assistant":
            raise Refusal('"messages" ends with an assistant message; end with the user message to answer')
        raise Refusal('"messages" ends with a system message; end with the user message to answer')
    length = sum(len(message["content"]) for message in messages)
    if length > MAX_TEXT_LENGTH:
        raise Refusal(_too_long(f'"{item.field}"', length, MAX_TEXT_LENGTH))
    return messages


def _blank(value: Any) -> bool:
    return value is None or value == "" or value == []


def _named(value: Any) -> Any:
    """Return the text of a number that only names something; true and false are no numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    return "" if value is None else value


def _required(label: str, value: Any) -> str:
    text = _clean(label, value, MAX_TEXT_LENGTH)
    if not text:
        raise Refusal(f"{label} is empty; write something there or delete the row")
    return text


def _optional(name: str, value: Any, limit: int) -> str:
    """Return a text that only names a row or its kind; a list or an object, as databases write ids, is its JSON."""
    if isinstance(value, dict) and set(value) == {"$oid"}:
        value = value["$oid"]
    if isinstance(value, (dict, list, bool)):
        value = json.dumps(value, ensure_ascii=False) if value not in ([], {}) else ""
    return _clean(f'"{name}"', _named(value), limit)


def _clean(label: str, value: Any, limit: int) -> str:
    """Return text as it is stored: trimmed, \\n for line ends, no control characters, and NFC."""
    if not isinstance(value, str):
        raise Refusal(f"{label} is {KINDS[type(value)]}; write text in double quotes instead")
    if "\0" in value:
        raise Refusal(f"{label} contains a NUL character; remove it")
    if len(value) > CLEANED * limit:  # a text of megabytes takes long, while no other thread of a server runs
        raise Refusal(_too_long(label, len(value), limit))
    if not value.isascii() and _SURROGATE.search(value):  # JSON can spell it, but no database can store it
        raise Refusal(f"{label} contains half of a surrogate pair; write the whole character")
    text = _CONTROL.sub("", unix_lines(value)).strip()
    if len(text) <= limit:  # NFC of many combining characters takes quadratic time, so never on text of any length
        text = unicodedata.normalize("NFC", text)
    if len(text) > limit:
        raise Refusal(_too_long(label, len(text), limit))
    return text


def _too_long(label: str, length: int, limit: int) -> str:
    text = gettext_noop("%(label)s has %(length)s characters; shorten it to at most %(limit)s")
    return text % {"label": label, "length": f"{length:,}", "limit": f"{limit:,}"}
