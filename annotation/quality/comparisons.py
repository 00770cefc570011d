"""What people's blind comparisons say: win rates with intervals, and one ladder over all versions.

Each comparison (a prompt with two answers) counts once: its score is the mean over its judgments, 1 where the version
won, 1/2 for a tie, 0 where it lost. Intervals resample comparisons, not judgments: those of one prompt are alike.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import log, sqrt
from statistics import fmean, variance
from typing import Any

from django.contrib.auth.models import User
from django.utils.translation import gettext_noop

from annotation.judged.rows import rankings_that_count
from annotation.judged.strengths import Strength, WinRecord, WinRecords, jackknifed
from annotation.models import Comparison, Evaluation, Project, Purpose, Task
from annotation.quality.figures import Figure, ratio, unknown
from annotation.stats.quantiles import Z95

WIN, TIE, LOSS = 1.0, 0.5, 0.0
MOST_GROUPS = 100  # of the jackknife: more fits than this say nothing new
ELO = 400 / log(10)  # points per unit of the log scale: 400 points are odds of ten to one
FEWEST_BY_LENGTH = 5


@dataclass
class EvaluatedPair:
    """One prompt, and what people said of its two answers.

    `longer` is the sign of the version's length less the other's;
    `outcomes` are of the version, one for each judgment; `shown_first` says of each whether its answer stood first.
    """

    evaluation: int
    prompt: str
    category: str
    answer: str
    other: str
    version: str
    opponent: str
    identical: bool
    outcomes: list[float] = field(default_factory=list)
    shown_first: list[bool] = field(default_factory=list)

    @property
    def longer(self) -> int:
        own, other = len(self.answer.strip()), len(self.other.strip())
        return (own > other) - (own < other)

    @property
    def score(self) -> float | None:
        if self.identical:
            return TIE
        return fmean(self.outcomes) if self.outcomes else None


def evaluated_pairs(project: Project, evaluation: Evaluation | None = None, *, to: User | None) -> list[EvaluatedPair]:
    """Return the comparisons of one evaluation, or of a whole project, with the judgments that count.

    To a person who may yet judge some of them (`to`, of access.blind_reader) what others said of those is left out.
    """
    evaluations = project.evaluations.select_related("version", "opponent")
    wanted = {each.pk: each for each in evaluations if evaluation is None or each.pk == evaluation.pk}
    found: list[EvaluatedPair] = []
    by_task: dict[int, tuple[EvaluatedPair, int]] = {}
    columns = (
        "evaluation_id",
        "task_id",
        "prompt__messages",
        "prompt__category",
        "answer__text",
        "other__text",
        "identical",
        "answer_id",
    )
    rows = Comparison.objects.filter(evaluation__in=wanted).order_by("pk").values_list(*columns)
    for of, task, messages, category, answer, other, identical, answer_id in rows:
        each = EvaluatedPair(
            of,
            messages[-1]["content"],
            category,
            answer,
            other,
            str(wanted[of].version),
            wanted[of].opponent_name,
            identical,
        )
        found.append(each)
        if task is not None:
            by_task[task] = (each, answer_id)
    said = rankings_that_count(project, Purpose.EVALUATION).filter(assignment__task__comparison__evaluation__in=wanted)
    if to is not None:
        said = said.exclude(assignment__task__in=Task.objects.filter(project=project).blind_to(to).values("pk"))
    for task, tiers, shown in said.order_by("pk").values_list(
        "assignment__task_id", "tiers", "assignment__shown_order"
    ):
        each, own = by_task[task]
        each.outcomes.append(TIE if len(tiers) == 1 else WIN if own in tiers[0] else LOSS)
        each.shown_first.append(bool(shown) and shown[0] == own)
    return found


def win_rate(found: Iterable[EvaluatedPair]) -> Figure:
    scores = [each.score for each in found if each.score is not None]
    return ratio(scores, [1.0] * len(scores), of="submitted comparisons")


def length_controlled(found: Sequence[EvaluatedPair]) -> Figure:
    """Return the win rate if the version's answer were the longer one as often as the opponent's."""
    strata = [[each.score for each in found if each.longer == sign and each.score is not None] for sign in (1, -1)]
    if min(map(len, strata)) < FEWEST_BY_LENGTH:
        return unknown(gettext_noop("too few comparisons in which either side is longer"))
    value = fmean(map(fmean, strata))
    error = sqrt(sum(variance(scores) / len(scores) for scores in strata)) / 2
    low, high = max(0.0, value - Z95 * error), min(1.0, value + Z95 * error)
    return Figure(value, n=sum(map(len, strata)), low=low, high=high)


def shown_first_wins(found: Iterable[EvaluatedPair]) -> Figure:
    """Return how often the answer shown first won, ties half: away from one half, position decides."""
    scores = [
        fmean(won if first else 1 - won for won, first in zip(each.outcomes, each.shown_first, strict=True))
        for each in found
        if each.outcomes
    ]
    return ratio(scores, [1.0] * len(scores), of="submitted comparisons")


def agreement(found: Iterable[EvaluatedPair]) -> Figure:
    """Return the pairwise agreement: the share of pairs of people with the same judgment of a comparison."""
    same, both = [], []
    for each in found:
        pairs_of_people = list(combinations(each.outcomes, 2))
        same.append(float(sum(first == second for first, second in pairs_of_people)))
        both.append(float(len(pairs_of_people)))
    return ratio(same, both, of="comparisons by two annotators")


def evaluation_report(found: Sequence[EvaluatedPair]) -> dict[str, Any]:
    """Return the figures of one evaluation; `judgments` counts wins, ties and losses of the version."""
    judged = [each for each in found if each.score is not None]
    outcomes = [outcome for each in found for outcome in each.outcomes]
    categories: dict[str, list[EvaluatedPair]] = defaultdict(list)
    for each in judged:
        categories[each.category or "no category"].append(each)
    lengths = {"longer": 1, "as_long": 0, "shorter": -1}
    return {
        "comparisons": len(found),
        "judged": len(judged),
        "identical": sum(each.identical for each in found),
        "judgments": {name: outcomes.count(of) for name, of in (("wins", WIN), ("ties", TIE), ("losses", LOSS))},
        "win_rate": win_rate(judged),
        "length_controlled": length_controlled(judged),
        "by_length": {name: win_rate(each for each in judged if each.longer == of) for name, of in lengths.items()},
        "by_category": {name: win_rate(categories[name]) for name in sorted(categories)},
        "shown_first_wins": shown_first_wins(judged),
        "agreement": agreement(judged),
    }


@dataclass(frozen=True)
class Rung:
    """Elo points, 0 being the average of all on the ladder, with the 95 % interval."""

    name: str
    elo: float
    low: float
    high: float
    comparisons: int


def ladder(found: Iterable[EvaluatedPair]) -> list[Rung]:
    """Return Bradley–Terry strengths of all versions and of people's reference answers, the best first."""
    groups: list[WinRecords] = []
    counted: dict[str, int] = defaultdict(int)
    for each in found:
        if each.score is None:
            continue
        counted[each.version] += 1
        counted[each.opponent] += 1
        first, second = sorted((each.version, each.opponent))
        record = WinRecord()
        outcomes = [TIE] if each.identical else each.outcomes
        for outcome in outcomes:  # of a comparison's judgments each has its share: a prompt counts once
            own = outcome if first == each.version else 1 - outcome
            record.wins += (own == WIN) / len(outcomes)
            record.losses += (own == LOSS) / len(outcomes)
            record.ties += (own == TIE) / len(outcomes)
        groups.append({(first, second): record})
    fitted = jackknifed(_sum_records(groups))
    rungs = [_rung(name, strength, counted[name]) for name, strength in fitted.items()]
    return sorted(rungs, key=lambda rung: rung.elo, reverse=True)


def _rung(name: str, strength: Strength, comparisons: int) -> Rung:
    return Rung(name, ELO * strength.value, ELO * strength.low, ELO * strength.high, comparisons)


def _sum_records(groups: list[WinRecords]) -> list[WinRecords]:
    """Return win records summed into at most MOST_GROUPS random groups: groups alike by design would hide variance."""
    groups = random.Random(0).sample(groups, len(groups))
    together: list[WinRecords] = [{} for _ in range(min(len(groups), MOST_GROUPS))]
    for number, group in enumerate(groups):
        into = together[number % MOST_GROUPS]
        for pair, record in group.items():
            total = into.setdefault(pair, WinRecord())
            total.wins += record.wins
            total.losses += record.losses
            total.ties += record.ties
    return together
