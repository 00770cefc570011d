"""What else than the answers themselves may have moved people: where an answer stood, how long it is, haste."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles

from django.utils.translation import gettext_noop

from annotation.quality.figures import Figure, bootstrap, ratio
from annotation.quality.records import Record, Text

NO_SIGN = gettext_noop("no sign of bias")
FIRST_FAVOURED = gettext_noop("first-position bias detected")
FIRST_AVOIDED = gettext_noop("last-position bias detected")
TOO_FEW = gettext_noop("too few rankings")
FEW_RANKINGS = 30
MANY_PEOPLE = 10
HASTE_MS_PER_WORD = 60  # 1,000 words a minute: four times what people read


@dataclass(frozen=True)
class Position:
    """How often what stood here came first, a shared first place counted in parts, and what chance gives."""

    place: int
    share: Figure
    chance: float


@dataclass(frozen=True)
class PositionBias:
    verdict: str
    positions: list[Position]
    excess: Figure  # of the first position over chance
    clustered_by: str


def position_bias(records: Sequence[Record]) -> PositionBias:
    """Return how often each position wins: the order is drawn for every seat, so without a bias 1 in K.

    Habits sit in people: with enough of them the intervals resample people, otherwise tasks. A bias is only called
    one where the 99 % interval leaves chance out, so that a page that is looked at every day does not cry wolf.
    """
    kept = [record for record in records if len(record.shown) > 1 and len(record.tiers) > 0]
    by_person = len({record.annotator for record in kept}) >= MANY_PEOPLE
    longest = max((len(record.shown) for record in kept), default=0)
    positions = []
    for place in range(longest):
        wins, shown, chance = _tally(kept, place, by_person)
        positions.append(Position(place + 1, ratio(wins, shown, of="rankings"), sum(chance) / sum(shown)))
    wins, shown, chance = _tally(kept, 0, by_person)
    over = [won - expected for won, expected in zip(wins, chance, strict=True)]
    return PositionBias(
        verdict=verdict_of(len(kept), bootstrap(over, shown, level=0.99)),
        positions=positions,
        excess=ratio(over, shown, of="rankings"),
        clustered_by="person" if by_person else "task",
    )


def _tally(records: Iterable[Record], place: int, by_person: bool) -> tuple[list[float], list[float], list[float]]:
    """Return by cluster: first places won at this position, rankings that showed something there, wins by chance."""
    wins: dict[int, float] = defaultdict(float)
    shown: dict[int, float] = defaultdict(float)
    chance: dict[int, float] = defaultdict(float)
    for record in records:
        if place < len(record.shown):
            cluster = record.annotator if by_person else record.task
            best = record.tiers[0]
            wins[cluster] += (record.shown[place] in best) / len(best)
            shown[cluster] += 1
            chance[cluster] += 1 / len(record.shown)
    return list(wins.values()), list(shown.values()), list(chance.values())


def verdict_of(rankings: int, interval: tuple[float, float] | None) -> str:
    """Return what a 99 % interval of the first position's excess over chance means."""
    if rankings < FEW_RANKINGS or interval is None:
        return TOO_FEW
    low, high = interval
    if low > 0:
        return FIRST_FAVOURED
    return FIRST_AVOIDED if high < 0 else NO_SIGN


@dataclass(frozen=True)
class LengthBias:
    """Return the share of ordered pairs in which the longer answer won."""

    overall: Figure
    by_annotator: dict[int, Figure]


def length_bias(records: Sequence[Record], texts: Mapping[int, Text]) -> LengthBias:
    won: dict[tuple[int, int], list[int]] = {}
    for record in records:
        tally = won.setdefault((record.annotator, record.task), [0, 0])
        for (first, second), choice in record.choices.items():
            if choice and first in texts and second in texts:
                longer = texts[first].characters - texts[second].characters
                tally[0] += longer * choice > 0
                tally[1] += longer != 0
    people: dict[int, list[list[int]]] = defaultdict(list)
    tasks: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for (annotator, task), (longer_won, pairs) in won.items():
        people[annotator].append([longer_won, pairs])
        tasks[task][0] += longer_won
        tasks[task][1] += pairs
    return LengthBias(
        overall=_share(tasks.values()), by_annotator={person: _share(tallies) for person, tallies in people.items()}
    )


def _share(tallies: Iterable[Sequence[int]]) -> Figure:
    kept = list(tallies)
    return ratio([won for won, _ in kept], [pairs for _, pairs in kept], of="ranked pairs of different length")


@dataclass(frozen=True)
class Pace:
    """Seconds at work per judgment. `hasty` of `timed` were too fast to have been read: shown, never punished."""

    timed: int
    median: float | None = None
    lower: float | None = None
    upper: float | None = None
    hasty: int = 0


def pace(records: Iterable[Record], texts: Mapping[int, Text]) -> Pace:
    timed = [record for record in records if record.active_ms]
    seconds = [record.active_ms / 1000 for record in timed]
    if not seconds:
        return Pace(0)
    hasty = sum(
        record.active_ms < HASTE_MS_PER_WORD * sum(texts[pk].words for pk in record.shown if pk in texts)
        for record in timed
    )
    if len(seconds) == 1:
        return Pace(1, seconds[0], seconds[0], seconds[0], hasty)
    lower, middle, upper = quantiles(seconds, n=4, method="inclusive")
    return Pace(len(seconds), middle, lower, upper, hasty)


def tie_share(records: Iterable[Record]) -> Figure:
    """Return the share of all pairs of candidates that was left tied."""
    kept = [record for record in records if record.choices]
    ties = [sum(choice == 0 for choice in record.choices.values()) for record in kept]
    return ratio([sum(ties)], [sum(len(record.choices) for record in kept)], of="pairs")


def unacceptable_share(records: Iterable[Record]) -> Figure:
    """Return the share of all judged answers that stand below the line."""
    kept = list(records)
    answers = sum(len(tier) for record in kept for tier in record.tiers)
    return ratio([sum(len(record.unacceptable) for record in kept)], [answers], of="responses")
