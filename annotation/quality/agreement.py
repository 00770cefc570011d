"""How far people agree. Pure functions over tiers (lists of candidate ids, best first; one list is a tie).

Every ranking is also a choice on each pair of its candidates: the first is better (1), the second is (-1), a tie (0).
Where a figure is not defined it is None with a reason, never nan.

Krippendorff's α is the `krippendorff` package's. The others are a few lines each: `scipy.stats.kendalltau` takes
1.4 seconds to import and 0.6 ms a call, half a minute for the rankings of a large project; tests hold ours to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from math import sqrt

import numpy as np
from django.utils.translation import gettext_noop

from annotation.judged.preferences import Tiers, places
from annotation.quality.figures import Figure, ratio, unknown

Choices = dict[tuple[int, int], int]

NO_OVERLAP = gettext_noop("no two annotators have ranked the same responses")
ALL_TIED = gettext_noop("one of them ties all responses")
ONE_CHOICE = gettext_noop("all choices are the same, so agreement cannot be told from chance")


def choices(tiers: Tiers, unranked: Sequence[int] = ()) -> Choices:
    """Return the choice on each pair (a, b), a < b: 1 if a is better, -1 if b is, 0 if they tie.

    Nothing is said about two answers that both got no place (`unranked`).
    """
    place = places(tiers)
    found = {(a, b): (place[a] < place[b]) - (place[a] > place[b]) for a, b in combinations(sorted(place), 2)}
    for pair in combinations(sorted(unranked), 2):
        del found[pair]
    return found


def verdict(good: bool) -> Choices:
    """Return a unary judgment as one choice: the response against what is just acceptable. 1 if it is good, else -1."""
    return {(0, 1): 1 if good else -1}


def agreed(first: Choices, second: Choices) -> tuple[int, int]:
    """Return on how many pairs two people chose the same (a tie agrees with a tie), and how many both judged."""
    if len(first) == len(second):  # nearly always the same candidates: no set to build
        try:
            return sum(choice == second[pair] for pair, choice in first.items()), len(first)
        except KeyError:
            pass
    shared = first.keys() & second.keys()
    return sum(first[pair] == second[pair] for pair in shared), len(shared)


def balance(first: Choices, second: Choices) -> int:
    """Return the concordant less the discordant pairs of two rankings: its sign is that of Kendall's τ-b."""
    return sum(first[pair] * second[pair] for pair in first.keys() & second.keys())


def kendall_tau_b(first: Choices, second: Choices) -> Figure:
    """Return Kendall's τ-b (1945): concordant less discordant pairs, over what ties leave possible. From -1 to 1."""
    shared = first.keys() & second.keys()
    if not shared:
        return unknown(gettext_noop("no two responses that both ranked"))
    strict_first = sum(first[pair] != 0 for pair in shared)
    strict_second = sum(second[pair] != 0 for pair in shared)
    if not strict_first or not strict_second:
        return unknown(ALL_TIED, n=len(shared))
    return Figure(balance(first, second) / sqrt(strict_first * strict_second), n=len(shared))


def kendall_w(rankings: Sequence[Tiers]) -> Figure:
    """Return Kendall's W (1939) of one task, corrected for ties: 1 if all rank alike, 0 if rank sums are equal."""
    if len(rankings) < 2:
        return unknown(gettext_noop("only one ranking"), n=len(rankings))
    candidates = {pk for tier in rankings[0] for pk in tier}
    if any({pk for tier in tiers for pk in tier} != candidates for tiers in rankings):
        return unknown(gettext_noop("not all ranked the same responses"), n=len(rankings))
    raters, items = len(rankings), len(candidates)
    sums = dict.fromkeys(candidates, 0.0)
    for tiers in rankings:
        for pk, rank in _midranks(tiers).items():
            sums[pk] += rank
    mean = raters * (items + 1) / 2
    spread = sum((rank - mean) ** 2 for rank in sums.values())
    ties = sum(len(tier) ** 3 - len(tier) for tiers in rankings for tier in tiers)
    possible = raters**2 * (items**3 - items) - raters * ties
    if not possible:
        return unknown(gettext_noop("all rankings tie all responses"), n=raters)
    return Figure(12 * spread / possible, n=raters)


def _midranks(tiers: Tiers) -> dict[int, float]:
    """Return the ranks from 1; tied candidates share the mean of the ranks that they take together."""
    ranks: dict[int, float] = {}
    for tier in tiers:
        rank = len(ranks) + (len(tier) + 1) / 2
        for pk in tier:
            ranks[pk] = rank
    return ranks


def krippendorff_alpha(tasks: Iterable[Sequence[Tiers]]) -> Figure:
    """Return Krippendorff's α, ordinal: a unit is a candidate of a task, its value the rank a person gave it."""
    values: dict[tuple[int, int], Counter[float]] = {}
    for number, rankings in enumerate(tasks):
        if len(rankings) > 1:
            for tiers in rankings:
                for pk, rank in _midranks(tiers).items():
                    values.setdefault((number, pk), Counter())[rank] += 1
    domain = sorted({rank for counts in values.values() for rank in counts})
    if not values:
        return unknown(NO_OVERLAP)
    if len(domain) < 2:
        return unknown(gettext_noop("all rankings tie all responses"), n=len(values))
    import krippendorff  # only here: it is not needed to serve a page

    column = {rank: place for place, rank in enumerate(domain)}
    table = np.zeros((len(values), len(domain)))
    for row, counts in enumerate(values.values()):
        for rank, count in counts.items():
            table[row, column[rank]] = count
    if not (table.sum(axis=1) > 1).any():
        return unknown(NO_OVERLAP)
    alpha = krippendorff.alpha(value_counts=table, value_domain=domain, level_of_measurement="ordinal")
    return Figure(float(alpha), n=len(values))


def pairwise_agreement(tasks: Iterable[Sequence[Choices]]) -> Figure:
    """Return the share of pairs on which two people chose the same; its interval is clustered by task."""
    same, both = [], []
    for rankings in tasks:
        found = [agreed(first, second) for first, second in combinations(rankings, 2)]
        if found:
            same.append(sum(count for count, _ in found))
            both.append(sum(count for _, count in found))
    if not sum(both):
        return unknown(NO_OVERLAP)
    return ratio(same, both, of="pairs")


def nominal_alpha(units: Iterable[Sequence[int]]) -> Figure:
    """Return Krippendorff's α, nominal, over units with the values that people gave each.

    A unit that one person judged is left out. 1 − observed disagreement / that by chance, over the values of all units
    (Krippendorff 2011, "Computing Krippendorff's alpha-reliability", binary data).
    """
    counts = [Counter(values) for values in units if len(values) > 1]
    if not counts:
        return unknown(NO_OVERLAP)
    totals = sum(counts, Counter[int]())
    n = totals.total()
    observed = sum(
        (count.total() ** 2 - sum(each**2 for each in count.values())) / (count.total() - 1) for count in counts
    )
    by_chance = (n**2 - sum(each**2 for each in totals.values())) / (n - 1)
    return Figure(1 - observed / by_chance, n=len(counts)) if by_chance else unknown(ONE_CHOICE, n=len(counts))


def cohen_kappa(first: Sequence[int], second: Sequence[int]) -> Figure:
    """Return Cohen's κ (1960) of two people's choices on the same items."""
    items = len(first)
    if items != len(second):
        raise ValueError("Both annotators must have annotated the same items.")
    if not items:
        return unknown(gettext_noop("no item that both annotated"))
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / items
    counts, others = Counter(first), Counter(second)
    chance = sum(counts[choice] * others[choice] for choice in counts) / items**2
    return unknown(ONE_CHOICE, n=items) if chance == 1 else Figure((observed - chance) / (1 - chance), n=items)


def fleiss_kappa(items: Iterable[Sequence[int]]) -> Figure:
    """Return Fleiss' κ (1971) over items with the choices made on them; items may differ in how many there are.

    An item that one person judged says nothing about agreement and is left out.
    """
    # Many items were judged alike to the letter, so each way of judging one is counted once.
    ways = Counter(tuple(sorted(item)) for item in items if len(item) > 1)
    if not ways:
        return unknown(NO_OVERLAP)
    totals: Counter[int] = Counter()
    alike = 0.0
    for way, times in ways.items():
        tally, raters = Counter(way), len(way)
        alike += times * (sum(count**2 for count in tally.values()) - raters) / (raters * (raters - 1))
        for choice, count in tally.items():
            totals[choice] += times * count
    observed = alike / ways.total()
    chance = sum((count / totals.total()) ** 2 for count in totals.values())
    if len(totals) == 1:
        return unknown(ONE_CHOICE, n=ways.total())
    return Figure((observed - chance) / (1 - chance), n=ways.total())
