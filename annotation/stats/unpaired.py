"""Answers that are good or bad by themselves, out of votes on several: what KTO and its export learn from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

ACCEPTABLE = "acceptable"  # the criterion of an answer that is only called good or bad: 1 or 0
EVEN = 1e-9  # sums of weights that differ by no more are equal
# Where the votes of a row come from.
UNARY, RANKING, IMPORTED, END_USERS = "unary", "ranking", "imported", "end_users"


class Votes(NamedTuple):
    """How many people find a response good, and how many find it bad."""

    good: int
    bad: int


def unpaired_labels(row: Mapping[str, Any]) -> list[bool | None]:
    """Return for each candidate of a row of rankings whether it is good, by the weight of the votes; None: no majority.

    A vote that calls answers good or bad counts as it is. Otherwise a ranking with a line of acceptance votes by the
    line; without one its first tier is good, its last bad and the middle has no vote.
    """
    balance = [0.0] * len(row["candidates"])
    for ranking in row["rankings"]:
        for place, good in _good_and_bad(ranking):
            balance[place] += ranking["weight"] if good else -ranking["weight"]
    return [weight > 0 if abs(weight) > EVEN else None for weight in balance]


def votes_of(row: Mapping[str, Any]) -> list[Votes]:
    """Return for each candidate of a row of rankings how many votes call it good, and how many bad."""
    found = [[0, 0] for _ in row["candidates"]]
    for ranking in row["rankings"]:
        for place, good in _good_and_bad(ranking):
            found[place][not good] += 1
    return [Votes(*each) for each in found]


def source_of(row: Mapping[str, Any]) -> str:
    """Return what a row of rankings is: unary judgments of one response, rankings of several, or votes of one source.

    Such a source is a file, or end users of a product.
    """
    sources = {str(ranking.get("annotator", "")).partition(":")[0] for ranking in row["rankings"]}
    for source in (IMPORTED, END_USERS):
        if sources <= {source}:
            return source
    return RANKING if len(row["candidates"]) > 1 else UNARY


def calls_good(ranking: Mapping[str, Any]) -> bool:
    """Return whether a vote says itself which responses are good or bad, as a unary annotation or a thumb does."""
    return any(each["criterion"] == ACCEPTABLE for each in _ratings(ranking))


def _good_and_bad(ranking: Mapping[str, Any]) -> Iterator[tuple[int, bool]]:
    tiers, below = ranking["tiers"], set(ranking["unacceptable"])
    said = [(each["place"], each["rating"] > 0) for each in _ratings(ranking) if each["criterion"] == ACCEPTABLE]
    if said:
        yield from said
    elif below:
        yield from ((place, place not in below) for tier in tiers for place in tier)
    elif len(tiers) > 1:
        yield from ((place, True) for place in tiers[0])
        yield from ((place, False) for place in tiers[-1])


def _ratings(ranking: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the ratings of a ranking; in a snapshot from before they were a list there is none of this kind."""
    ratings = ranking.get("ratings")
    return ratings if isinstance(ratings, list) else []
