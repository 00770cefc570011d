"""What a value says of answers that are known by names: which is best, their order, or a tie.

A number says something only where answers are numbered so that it can mean nothing else: with answers 1 and 2 a 2 is
the second, and a 0 may be a tie or the first. What is not understood is refused, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from annotation.imports.items import ImportedVote, Item, number
from annotation.imports.refusals import Refusal

TIE = {
    *("tie", "tied", "ties", "draw", "equal", "equally good", "same", "both", "both good", "no preference", "neither"),
    *("about the same", "similar", "even", "tie (inconsistent)", "both are good", "a=b", "none better", "="),
    *("unentschieden", "gleich", "gleich gut", "beide", "beide gut", "égalité", "empate", "pareggio", "ничья"),
    *("平局", "平手", "一样好", "一样", "差不多", "都好", "相同", "引き分け", "同じ", "무승부"),
}
BOTH_BAD = {
    *("tie (bothbad)", "bothbad", "both_bad", "both bad", "tie_bothbad", "both are bad", "tie (both bad)"),
    *("both equally bad", "neither is good", "tie_both_bad", "neither good", "both unacceptable", "bad tie"),
    *("both are unacceptable", "both poor", "both wrong", "neither acceptable", "equally bad"),
    *("beide schlecht", "les deux mauvaises", "ambas malas", "оба плохие", "都不好", "都差", "一样差", "どちらも悪い"),
}
# What people say who do not judge. It is no vote, and the row says so.
NO_VOTE = {
    *("skip", "skipped", "not sure", "unsure", "don't know", "do not know", "n/a", "na", "none", "invalid", "unclear"),
    *(
        "cannot decide",
        "can't decide",
        "discard",
        "discarded",
        "draft",
        "cancelled",
        "canceled",
        "ignore",
        "idk",
        "nan",
    ),
}
NOT_JUDGED = {
    "rejected",
    "discarded",
    "draft",
    "skipped",
    "skip",
    "cancelled",
    "canceled",
    "ignored",
    "ignore",
    "pending",
}
NOT_JUDGED_NAMES = ("status", "annotation_status", "response_status", "state", "AssignmentStatus")
NOT_JUDGED_FLAGS: tuple[str, ...] = (
    "was_cancelled",
    "cancelled",
    "canceled",
    "skipped",
    "discarded",
    "is_skipped",
    "is_draft",
    "draft",
)
NOT_JUDGED_FLAGS += ("_tainted",)  # of Appen: somebody whose work is not trusted
SIDES = (("left", "right"), ("first", "second"))
WORDS_FOR_AN_ANSWER = (
    "response",
    "answer",
    "completion",
    "output",
    "model",
    "option",
    "assistant",
    "text",
    "candidate",
)
# What forms for annotators write: "Response A is much better than response B", "Both responses are equally good".
BETTER_THAN = re.compile(
    r"(?:the )?(.+?) (?:is|was) (?:(?:a (?:bit|little)|slightly|somewhat|much|far|clearly|significantly|marginally) )?"
    r"(better|worse)(?: than (.+?))?[.!]?"
)
COMPARES = re.compile(r"(?:the )?(.+?) (?:is|was) (?:not |never )?(?:[a-z]+ ){0,3}?(?:better|worse|best|worst)\b.*")
OTHER = re.compile(r"others?(?: (?:one|ones|two|responses?|answers?|completions?|outputs?|options?|models?))?")
BOTH_AS_GOOD = re.compile(
    r"(?:they|both(?: \w+)?|the two(?: \w+)?) are (?:about )?(?:(?:equally )?(?:good|fine)|the same|equal|similar)[.!]?"
    r"|neither(?: \w+)? is better[.!]?"
)
BOTH_AS_BAD = re.compile(r"(?:they|both(?: \w+)?|the two(?: \w+)?) are (?:equally )?(?:bad|unacceptable|poor)[.!]?")
ORDER = re.compile(r"(>+|<+|=+|≈|~|,)")

Names = Mapping[str, int]  # how an answer may be called, in small letters, and its place


def names_of(suffixes: Sequence[str], fields: Sequence[str], models: Sequence[Any], texts: Sequence[Any]) -> Names:
    """Return every name of the answers; one that would name two of them names none.

    `suffixes` are a, b or 1, 2; `fields` the names of the columns; `models` who wrote them; `texts` the answers.
    """
    found: dict[str, set[int]] = {}

    def call(name: Any, place: int) -> None:
        if isinstance(name, str) and name.strip():
            found.setdefault(plain(name), set()).add(place)

    for place, suffix in enumerate(suffixes):
        call(suffix, place)
        call(fields[place], place)
        for word in WORDS_FOR_AN_ANSWER:
            call(f"{word} {suffix}", place)
        call(models[place], place)
        call(texts[place], place)
    if len(suffixes) == 2:
        for side in SIDES:
            for place, name in enumerate(side):
                call(name, place)
    return {name: next(iter(places)) for name, places in found.items() if len(places) == 1}


def plain(name: Any) -> str:
    """Return a name in small letters, with one space where it has a separator; 2.0 is 2."""
    as_number = number(name)
    if as_number is not None:
        return str(int(as_number)) if as_number.is_integer() else str(as_number)
    return re.sub(r"[\s_-]+|(?<=[a-z])(?=\d)", " ", str(name).strip().lower())


def says_nothing(value: Any) -> bool:
    """Return whether a cell is empty, so that nobody has judged there."""
    return value is None or (isinstance(value, str) and not value.strip())


def says_who_won(names: Names, value: Any) -> bool:
    """Return whether a value is a sentence that says by name which answer is better, or that both are alike."""
    if not isinstance(value, str):
        return False
    text = plain(value)
    return bool(_better_in(names, text) or BOTH_AS_GOOD.fullmatch(text) or BOTH_AS_BAD.fullmatch(text))


def compares(names: Names, value: Any) -> bool:
    """Return whether a text begins by calling an answer better or worse, whatever else it says."""
    said = COMPARES.fullmatch(plain(value)) if isinstance(value, str) else None
    return said is not None and said[1] in names


def _better_in(names: Names, text: str) -> str:
    """Return which answer a whole sentence calls better than another answer; empty where it says anything else."""
    said = BETTER_THAN.fullmatch(text)
    if said is None or said[1] not in names:
        return ""
    first, than = said[1], (said[3] or "").removeprefix("the ")
    others = {name: place for name, place in names.items() if place != names[first]}
    if said[2] == "better":
        return first if not than or OTHER.fullmatch(than) or than in others else ""
    if than in others:
        return than
    is_one = len(set(others.values())) == 1 and (not than or OTHER.fullmatch(than))
    return next(iter(others)) if is_one else ""


def is_tie(value: Any) -> bool:
    """Return whether a value says that the answers are equally good, or equally bad."""
    said = {str(value).strip().lower(), plain(value)}
    return bool(said & (TIE | BOTH_BAD))


def add_vote(item: Item, names: Names, value: Any, field: str, **said: Any) -> None:
    """Add what a value says as a vote on all answers of the item; a Refusal where that is not certain."""
    item.votes.append(vote_of(names, len(item.answers), value, field, **said))


def vote_of(names: Names, answers: int, value: Any, field: str, **said: Any) -> ImportedVote:
    """Return the vote that a value states: the best answer, an order such as "b > a = c", or a tie."""
    everyone = list(range(answers))
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    if isinstance(value, list):
        return _order(names, value, field, said)
    text = plain(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""
    raw = str(value).strip().lower()
    if text in names:
        best = names[text]
        others = [place for place in everyone if place != best]
        return ImportedVote([[best], others], unranked=others if len(others) > 1 else [], **said)
    if best_named := _better_in(names, text):
        return vote_of(names, answers, best_named, field, **said)
    if BOTH_AS_GOOD.fullmatch(text):
        return ImportedVote([everyone], **said)
    if BOTH_AS_BAD.fullmatch(text):
        return ImportedVote([everyone], unacceptable=everyone, **said)
    if raw in BOTH_BAD or text in BOTH_BAD:
        return ImportedVote([everyone], unacceptable=everyone, **said)
    if raw in TIE or text in TIE:
        return ImportedVote([everyone], **said)
    if text == "1.5" and answers == 2 and {"1", "2"} <= set(names):
        return ImportedVote([everyone], **said)  # between 1 and 2, as AlpacaEval writes a tie
    if answers == 2 and {"1", "2"} <= set(names) and (between := _between(value)):
        better = names["2"] if between > 0 else names["1"]
        return ImportedVote([[better], [1 - better]], **said | {"margin": abs(between)})
    if isinstance(value, str) and ORDER.search(value):
        return _chain(names, value, field, said)
    if raw in NO_VOTE:
        raise Refusal(f'"{field}" is {raw!r}: nobody judged these answers, so the row holds no vote; ignore "{field}"')
    raise Refusal(
        f'"{field}" is {str(value)[:40]!r}, which does not say for certain which answer is better; '
        "map it as the winner and say what its values mean (winner_first, winner_second, winner_tie)"
    )


def _between(value: Any) -> float | None:
    """Return how far a preference of AlpacaEval leans to answer 2 (to 1) or to answer 1 (to -1): 1.93 is 0.86."""
    found = number(value)
    return round(2 * found - 3, 6) if found is not None and 1 < found < 2 else None


def _chain(names: Names, value: str, field: str, said: dict[str, Any]) -> ImportedVote:
    """Read "b > a = c", "b < a" and "b, a=c", best first unless "<" says otherwise."""
    parts = ORDER.split(value.strip())
    marks = {mark[0] for mark in parts[1::2]}
    if {"<", ">"} <= marks or (marks & {"<", ">"} and "," in marks):
        raise Refusal(f'"{field}" is {value[:40]!r}, which has no one order; write it as b > a = c')
    tiers = [[_place(names, parts[0], field)]]
    for mark, name in zip(parts[1::2], parts[2::2], strict=True):
        place = _place(names, name, field)
        if mark[0] in "=≈~":
            tiers[-1].append(place)
        else:
            tiers.append([place])
    return ImportedVote(tiers[::-1] if "<" in marks else tiers, **said)


def _order(names: Names, value: list[Any], field: str, said: dict[str, Any]) -> ImportedVote:
    """Read a list of names, best first. Numbers may be ranks as well as answers, so they are refused."""
    if not value or not all(isinstance(each, str) for each in value) or all(number(each) is not None for each in value):
        raise Refusal(
            f'"{field}" is a list of which it is not certain whether it holds places or answers; '
            "write names of answers, best first, or a rank for each answer"
        )
    return ImportedVote([[_place(names, each, field)] for each in value], **said)


def _place(names: Names, name: str, field: str) -> int:
    place = names.get(plain(name))
    if place is None:
        raise Refusal(f'"{field}" names {name[:40]!r}, which is none of the answers')
    return place


def check_judged(data: Mapping[str, Any]) -> None:
    """Raise a Refusal where a row says that its judgment was skipped, discarded or is a draft: it is no vote."""
    for name in NOT_JUDGED_NAMES:
        if str(data.get(name)).strip().lower() in NOT_JUDGED:
            raise Refusal(
                f'"{name}" is {str(data[name])[:40]!r}: what the row says was not submitted, so it is no vote'
            )
    for name in NOT_JUDGED_FLAGS:
        if data.get(name) is True or str(data.get(name)).lower() == "true":
            raise Refusal(f'"{name}" is true: what the row says was not submitted, so it is no vote')


def is_not_judged(data: Mapping[str, Any]) -> bool:
    """Return whether one of several judgments was skipped, discarded or is a draft."""
    try:
        check_judged(data)
    except Refusal:
        return True
    return False
