"""How far an AI judge agrees with people, beside how far people agree with each other.

Each pair of responses counts once. The judge's agreement on it is the share of the people who chose the same, people's
agreement the share of pairs of people who did: a judge that is like one more person has the same of both. Intervals
resample prompts. People's final judgments only (`annotation.quality.final`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from django.db.models.functions import Length
from django.utils.translation import gettext_noop

from annotation.models import AIJudgeVersion
from annotation.quality.bias import verdict_of
from annotation.quality.figures import FEW_CLUSTERS, Figure, bootstrap, ratio, unknown
from annotation.quality.final import final_choices
from annotation.quality.scripts import language_of_text
from annotation.stats.tables import Floats, agreement, interval, kappa, resampled, tau_b

Statistic = Callable[[Any], Floats]
DIMENSIONS = (gettext_noop("category"), gettext_noop("language"), gettext_noop("length"))
SHORT, MEDIUM, LONG = gettext_noop("short"), gettext_noop("medium"), gettext_noop("long")
LENGTHS = ((280, SHORT), (1120, MEDIUM))  # characters of the longer response, below which a pair is called so
NO_CATEGORY = gettext_noop("none")
NO_PAIRS = gettext_noop("no pairs yet")
ONE_PERSON = gettext_noop("no pair was judged by two people")
UNDEFINED = gettext_noop("all choices are the same, so agreement cannot be told from chance")
MOST_SLICES = 12  # of one dimension
ALL_PAIRS = ("", "")  # in the place of a slice
JUDGE, JUDGE_BESIDE, PEOPLE = range(3)  # tables of a cluster: with people, the same where two judged, people's own


@dataclass(frozen=True)
class ComparedPair:
    """A pair that the judge and people have judged, in the words of AIJudgment. `longer` is 1 where `first` is."""

    prompt: int
    choice: int
    forward: int
    backward: int
    people: tuple[int, ...]
    longer: int = 0
    task: int = 0
    slices: tuple[tuple[str, str], ...] = ()

    def entries(self) -> Iterator[tuple[int, int, int, float]]:
        """Yield what the pair adds to the three tables: which one, row, column, weight. Each adds 1, or nothing."""
        people = self.people
        for said in people:
            yield JUDGE, self.choice + 1, said + 1, 1 / len(people)
        if len(people) > 1:
            for said in people:
                yield JUDGE_BESIDE, self.choice + 1, said + 1, 1 / len(people)
            for first, second in permutations(people, 2):
                yield PEOPLE, first + 1, second + 1, 1 / (len(people) * (len(people) - 1))


@dataclass(frozen=True)
class Agreements:
    """The figures of a judge on some pairs. `difference` is its agreement less people's, where two people judged.

    `people_prompts` counts the prompts of the pairs that two people judged.
    """

    pairs: int
    prompts: int
    people_prompts: int
    agreement: Figure
    kappa: Figure
    tau: Figure
    people_agreement: Figure
    people_kappa: Figure
    people_tau: Figure
    difference: Figure


def compared_pairs(version: AIJudgeVersion) -> tuple[list[ComparedPair], list[tuple[int, bool]]]:
    """Return the pairs of a version, and for each that was asked twice its prompt and whether both are the same."""
    own = version.judgments.usable()
    people = final_choices(version.judge.project, version.judgments.values("task"))
    rows = own.annotate(first_length=Length("first__text"), second_length=Length("second__text")).order_by("pk")
    columns = ("task_id", "first_id", "second_id", "repeat", "choice", "forward", "backward")
    about = ("first_length", "second_length", "task__prompt__category", "task__prompt__messages")
    found: list[ComparedPair] = []
    said: dict[tuple[int, int, int], dict[int, int]] = defaultdict(dict)
    prompts: dict[tuple[int, int, int], int] = {}
    for task, first, second, repeat, choice, forward, backward, *texts in rows.values_list(*columns, *about):
        if task not in people:
            continue
        said[task, first, second][repeat] = choice
        prompts[task, first, second] = people[task].prompt
        chosen = people[task].said_of(first, second)
        if repeat or not chosen:
            continue
        first_length, second_length, category, messages = texts
        longer = (first_length > second_length) - (first_length < second_length)
        slices = slices_of(category, str(messages[-1]["content"]), max(first_length, second_length))
        found.append(ComparedPair(people[task].prompt, choice, forward, backward, tuple(chosen), longer, task, slices))
    twice = [(prompts[pair], both[0] == both[1]) for pair, both in said.items() if len(both) == 2]
    return found, twice


def slices_of(category: str, text: str, longest: int) -> tuple[tuple[str, str], ...]:
    """Return the slices of a pair, by dimension: its prompt's category and language, the longer response's length."""
    length = next((name for below, name in LENGTHS if longest < below), LONG)
    return (("category", category or NO_CATEGORY), ("language", language_of_text(text)), ("length", length))


def agreements(pairs: Sequence[ComparedPair], *, level: float = 0.95, seed: int = 0) -> Agreements:
    """Return the figures of some pairs; intervals are of `level`."""
    clusters = _clusters(pairs)
    sums = resampled(clusters, seed) if len(clusters) else np.zeros((0, 3, 3, 3))
    counts = (
        [int((clusters[:, which].sum(axis=(-2, -1)) > 0).sum()) for which in range(3)] if len(clusters) else [0] * 3
    )
    both = sum(len(pair.people) > 1 for pair in pairs)

    def figure(statistic: Statistic, which: int, n: int, missing: str) -> Figure:
        return _figure(
            lambda tables: statistic(tables[..., which, :, :]), clusters, sums, counts[which], n, missing, level
        )

    return Agreements(
        pairs=len(pairs),
        prompts=len(clusters),
        people_prompts=counts[PEOPLE],
        agreement=figure(agreement, JUDGE, len(pairs), NO_PAIRS),
        kappa=figure(kappa, JUDGE, len(pairs), NO_PAIRS),
        tau=figure(tau_b, JUDGE, len(pairs), NO_PAIRS),
        people_agreement=figure(agreement, PEOPLE, both, ONE_PERSON),
        people_kappa=figure(kappa, PEOPLE, both, ONE_PERSON),
        people_tau=figure(tau_b, PEOPLE, both, ONE_PERSON),
        difference=_figure(difference, clusters, sums, counts[PEOPLE], both, ONE_PERSON, level),
    )


def difference(tables: Floats) -> Floats:
    """Return the judge's agreement less people's, of arrays of the three tables."""
    return agreement(tables[..., JUDGE_BESIDE, :, :]) - agreement(tables[..., PEOPLE, :, :])


def _clusters(pairs: Iterable[ComparedPair]) -> Floats:
    """Return the tables of each prompt."""
    number: dict[int, int] = {}
    places: list[tuple[int, int, int, int]] = []
    weights: list[float] = []
    for pair in pairs:
        prompt = number.setdefault(pair.prompt, len(number))
        for which, row, column, weight in pair.entries():
            places.append((prompt, which, row, column))
            weights.append(weight)
    tables = np.zeros((len(number), 3, 3, 3))
    if places:
        np.add.at(tables, tuple(np.array(places).T), weights)
    return tables


def _figure(
    statistic: Statistic, clusters: Floats, sums: Floats, filled: int, n: int, missing: str, level: float
) -> Figure:
    if not n:
        return unknown(missing)
    value = float(statistic(clusters.sum(axis=0)))
    if not np.isfinite(value):
        return unknown(UNDEFINED, n=n)
    low, high = (interval(statistic(sums), level) if filled >= FEW_CLUSTERS else None) or (None, None)
    return Figure(value, n=n, low=low, high=high)


@dataclass(frozen=True)
class Calibration:
    """What is known of one version of a judge."""

    taken_back: frozenset[tuple[str, str]]  # slices that the version had taken over and was worse on later
    overall: Agreements
    slices: list[tuple[str, str, Agreements]]  # dimension, value, figures; most pairs first within a dimension
    position_excess: Figure  # how often the response that is shown first wins, over one half
    position_verdict: str
    order_disagreement: Figure
    longer_wins: Figure
    people_longer_wins: Figure
    ties: Figure
    people_ties: Figure
    self_consistency: Figure
    settled: int
    unusable: list[tuple[str, int]]  # reason and how often
    input_tokens: int
    output_tokens: int
    cost: float | None
    cost_per_thousand: float | None  # pairs, each asked in both orders

    @property
    def tokens_per_pair(self) -> float | None:
        return (self.input_tokens + self.output_tokens) / self.settled if self.settled else None

    @property
    def tokens_per_thousand(self) -> float | None:
        return None if self.tokens_per_pair is None else 1000 * self.tokens_per_pair


def calibration(version: AIJudgeVersion) -> Calibration:
    """Return the figures of a version."""
    pairs, twice = compared_pairs(version)
    settled = version.judgments.exclude(settled_at=None)
    spent = list(settled.values_list("input_tokens", "output_tokens", "problem"))
    read, written = sum(row[0] for row in spent), sum(row[1] for row in spent)
    cost = version.judge.cost(read, written)
    excess, verdict = position_bias(pairs)
    lost = version.runs.exclude(taken_back_at=None).values_list("dimension", "value")
    return Calibration(
        taken_back=frozenset(lost),
        overall=agreements(pairs),
        slices=by_slice(pairs),
        position_excess=excess,
        position_verdict=verdict,
        order_disagreement=_share((pair.prompt, float(pair.forward != pair.backward), 1.0) for pair in pairs),
        longer_wins=_share(
            (pair.prompt, float(pair.choice == pair.longer), 1.0) for pair in pairs if pair.choice and pair.longer
        ),
        people_longer_wins=_share(
            (pair.prompt, float(said == pair.longer) / len(pair.people), 1.0 / len(pair.people))
            for pair in pairs
            for said in pair.people
            if said and pair.longer
        ),
        ties=_share((pair.prompt, float(pair.choice == 0), 1.0) for pair in pairs),
        people_ties=_share(
            (pair.prompt, float(said == 0) / len(pair.people), 1.0 / len(pair.people))
            for pair in pairs
            for said in pair.people
        ),
        self_consistency=_share((prompt, float(same), 1.0) for prompt, same in twice),
        settled=len(spent),
        unusable=Counter(row[2] for row in spent if row[2]).most_common(),
        input_tokens=read,
        output_tokens=written,
        cost=cost,
        cost_per_thousand=None if cost is None or not spent else 1000 * cost / len(spent),
    )


def by_slice(pairs: Sequence[ComparedPair]) -> list[tuple[str, str, Agreements]]:
    """Return the figures of each slice, dimension by dimension; a dimension with one value says nothing new."""
    groups: dict[str, dict[str, list[ComparedPair]]] = {name: defaultdict(list) for name in DIMENSIONS}
    for pair in pairs:
        for dimension, value in pair.slices:
            groups[dimension][value].append(pair)
    found = []
    for dimension, values in groups.items():
        if len(values) > 1:
            largest = sorted(values.items(), key=lambda each: (-len(each[1]), each[0]))[:MOST_SLICES]
            found += [(dimension, value, agreements(own)) for value, own in largest]
    return found


def position_bias(pairs: Iterable[ComparedPair]) -> tuple[Figure, str]:
    """Return how much more often than in half of its verdicts a judge chose what it was shown first; and its meaning.

    Verdicts that are a tie do not count. Each pair is shown in both orders, so without a bias it is one half.
    """
    won: dict[int, float] = defaultdict(float)
    shown: dict[int, float] = defaultdict(float)
    for pair in pairs:
        for chose_first, is_strict in (
            (pair.forward == 1, pair.forward != 0),
            (pair.backward == -1, pair.backward != 0),
        ):
            won[pair.prompt] += (chose_first - 0.5) * is_strict
            shown[pair.prompt] += is_strict
    over, trials = list(won.values()), list(shown.values())
    return ratio(over, trials, of="pairs"), verdict_of(round(sum(trials)), bootstrap(over, trials, level=0.99))


def _share(rows: Iterable[tuple[int, float, float]]) -> Figure:
    """Return the share of rows of (prompt, hits, trials)."""
    hits: dict[int, float] = defaultdict(float)
    trials: dict[int, float] = defaultdict(float)
    for prompt, hit, trial in rows:
        hits[prompt] += hit
        trials[prompt] += trial
    return ratio(list(hits.values()), list(trials.values()), of="pairs")
