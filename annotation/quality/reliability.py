"""How far one person's judgments can be relied on.

The weight is a simple estimator, kept simple so that people can check theirs: of all pairs that a person and another
person (or a known order) both judged, the share on which they agree, shrunk towards everybody's share by PRIOR_PAIRS
pairs, and put in relation to it. A unary judgment is one pair: the response against what is just acceptable. Who agrees
as often as people do here, or has judged too little to tell, has weight 1; who agrees half as often, 0.5. Dawid and
Skene's model would need a dependency of some hundred megabytes and more judgments of the same tasks than most projects
ever have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from annotation.models import Purpose
from annotation.quality.agreement import Choices, agreed
from annotation.quality.figures import Figure, ratio
from annotation.quality.records import Record, Records

PRIOR_PAIRS = 20

Tallies = dict[int, list[tuple[int, int]]]  # by person: (pairs agreed, pairs compared), one entry a task


def with_others(overlapping: Iterable[Sequence[Record]]) -> Tallies:
    tallies: Tallies = defaultdict(list)
    for records in overlapping:
        totals: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        for first, second in combinations(records, 2):
            same, both = agreed(first.choices, second.choices)
            for person in (first.annotator, second.annotator):
                totals[person][0] += same
                totals[person][1] += both
        for person, (same, both) in totals.items():
            tallies[person].append((same, both))
    return tallies


def with_known(checks: Iterable[Record], gold: Mapping[int, Choices]) -> Tallies:
    """Return agreement with known orders that came unmarked in the queue. Practice is not among them."""
    tallies: Tallies = defaultdict(list)
    for record in checks:
        if record.purpose == Purpose.GOLD and record.repeat_of and record.repeat_of in gold:
            tallies[record.annotator].append(agreed(record.choices, gold[record.repeat_of]))
    return tallies


def with_themselves(records: Records) -> Tallies:
    """Return the agreement of the second judgment of a repeated task with the same person's first."""
    first = {(record.annotator, record.task): record for record in records.work_of_both}
    tallies: Tallies = defaultdict(list)
    for record in records.checks:
        original = first.get((record.annotator, record.repeat_of or 0))
        if record.purpose == Purpose.REPEAT and original:
            tallies[record.annotator].append(agreed(record.choices, original.choices))
    return tallies


def known_by_week(checks: Iterable[Record], gold: Mapping[int, Choices]) -> dict[str, Figure]:
    """Return agreement with known orders by ISO week: a fall shows that people or guidelines drift."""
    weeks: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for record in checks:
        if record.purpose == Purpose.GOLD and record.repeat_of and record.repeat_of in gold and record.at:
            year, week, _ = record.at.isocalendar()
            weeks[f"{year}-W{week:02}"].append(agreed(record.choices, gold[record.repeat_of]))
    return {week: tallied(weeks[week]) for week in sorted(weeks)}


def tallied(tallies: Sequence[tuple[int, int]]) -> Figure:
    return ratio([same for same, _ in tallies], [both for _, both in tallies], of="pairs to compare")


def weights(records: Records) -> dict[int, float]:
    """Return a weight from 0 to 1 for each person who has judged."""
    people = {record.annotator for record in [*records.work_of_both, *records.checks]}
    return weighed(people, with_others(records.overlapping_of_both), with_known(records.checks, records.gold))


def weighed(people: Iterable[int], *tallies: Tallies) -> dict[int, float]:
    compared: dict[int, list[int]] = {person: [0, 0] for person in people}
    for found in tallies:
        for person, tally in found.items():
            compared[person][0] += sum(same for same, _ in tally)
            compared[person][1] += sum(both for _, both in tally)
    everybody = sum(both for _, both in compared.values())
    usual = sum(same for same, _ in compared.values()) / everybody if everybody else 0
    if not usual:
        return dict.fromkeys(compared, 1.0)
    return {
        person: round(min(1.0, (same + PRIOR_PAIRS * usual) / (both + PRIOR_PAIRS) / usual), 3)
        for person, (same, both) in compared.items()
    }
