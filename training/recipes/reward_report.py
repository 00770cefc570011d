"""How far a reward model can be trusted: accuracy with intervals, beside baselines, by slice, and its calibration.

Everything is counted over pairs of held-out prompts on which people agreed more one way than the other, and resampled
by prompt: the pairs of one prompt are not independent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean
from typing import Any

import torch

from annotation.stats.bootstrap import ratio_interval, rounded
from training.methods.gates import FEWEST_PAIRS, FEWEST_PROMPTS
from training.phrases import phrase
from training.recipes.models.rankings import JudgedSet
from training.recipes.process.seeds import derived_seed
from training.rundir import Row

BINS = 10


@dataclass(frozen=True)
class PairOutcome:
    """One pair that people put in an order, and what the model made of it."""

    prompt_id: int | str
    difference: float  # raw score of the preferred answer minus that of the other
    length_gap: int  # tokens of the preferred answer minus those of the other
    margin: float
    policy: int | None = None
    annotator: str = ""

    @property
    def right(self) -> float:
        return _right(self.difference)


def outcomes(rankings: Sequence[JudgedSet], scores: Sequence[Sequence[float]]) -> list[PairOutcome]:
    """Return the outcomes of all pairs with a majority."""
    found = []
    for ranking, values in zip(rankings, scores, strict=True):
        for pair in ranking.pairs:
            if pair.share == 0.5:
                continue
            best, other = (pair.first, pair.second) if pair.share > 0.5 else (pair.second, pair.first)
            found.append(_outcome(ranking, values, best, other, pair.margin))
    return found


def outcomes_by_annotator(rankings: Sequence[JudgedSet], scores: Sequence[Sequence[float]]) -> list[PairOutcome]:
    """Return the outcomes of all pairs as each annotator ordered them."""
    found = []
    for ranking, values in zip(rankings, scores, strict=True):
        for vote in ranking.votes:
            if not vote.annotator:
                continue
            for level, tier in enumerate(vote.tiers):
                for best in tier:
                    for below in vote.tiers[level + 1 :]:
                        found += [_outcome(ranking, values, best, other, 1.0, vote.annotator) for other in below]
    return found


def outcomes_of_people(rankings: Sequence[JudgedSet]) -> list[PairOutcome]:
    """Return how each annotator ordered pairs, measured against the majority of the others on the same responses.

    Nobody is measured by their own vote: a majority agrees with its own members more often than with anyone else.
    """
    found = []
    for ranking in rankings:
        for number, vote in enumerate(ranking.votes):
            others = [other for place, other in enumerate(ranking.votes) if place != number and other.weight > 0]
            for pair in replace(ranking, votes=others).pairs if others else ():
                said = vote.distance(pair.first, pair.second)
                if pair.share == 0.5 or said is None:
                    continue
                said = said if pair.share > 0.5 else -said
                found.append(PairOutcome(ranking.prompt_id, said, 0, pair.margin, ranking.policy, vote.annotator))
    return found


def _outcome(
    ranking: JudgedSet, values: Sequence[float], best: int, other: int, margin: float, annotator: str = ""
) -> PairOutcome:
    gap = len(ranking.candidates[best]) - len(ranking.candidates[other])
    return PairOutcome(ranking.prompt_id, values[best] - values[other], gap, margin, ranking.policy, annotator)


def _right(difference: float) -> float:
    """Return 1 for a pair in the right order, one half for tied scores, else 0."""
    return 1.0 if difference > 0 else 0.5 if difference == 0 else 0.0


# --- accuracy --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Accuracy:
    """Pairs put in the right order by prompt: (right, pairs)."""

    by_prompt: dict[int | str, tuple[float, int]]

    @property
    def pairs(self) -> int:
        return sum(pairs for _, pairs in self.by_prompt.values())

    @property
    def value(self) -> float:
        return sum(right for right, _ in self.by_prompt.values()) / max(self.pairs, 1)

    def rounded(self) -> float | None:
        return round(self.value, 4) if self.pairs else None

    def minus(self, other: Accuracy) -> Accuracy:
        """Return the difference of the two on the same pairs, prompt by prompt."""
        return Accuracy(
            {prompt: (right - other.by_prompt[prompt][0], pairs) for prompt, (right, pairs) in self.by_prompt.items()}
        )


def accuracy_of(
    found: Sequence[PairOutcome], judged: Callable[[PairOutcome], float] = lambda outcome: outcome.right
) -> Accuracy:
    by_prompt: dict[int | str, tuple[float, int]] = {}
    for outcome in found:
        right, pairs = by_prompt.get(outcome.prompt_id, (0.0, 0))
        by_prompt[outcome.prompt_id] = (right + judged(outcome), pairs + 1)
    return Accuracy(by_prompt)


def accuracy_interval(measured: Accuracy, seed: int) -> list[float] | None:
    """Return the 95 % interval; prompts are resampled, not pairs."""
    if not measured.pairs:
        return None
    right, pairs = zip(*measured.by_prompt.values(), strict=True)
    return rounded(ratio_interval(right, pairs, seed=derived_seed(seed, "bootstrap")))


def length_rule(train: Sequence[JudgedSet]) -> int:
    """Return 1 if the longer answer won more often in training, −1 if the shorter one did."""
    found = outcomes(train, [[0.0] * len(ranking.candidates) for ranking in train])
    return 1 if fmean([_right(outcome.length_gap) for outcome in found] or [1.0]) >= 0.5 else -1


# --- the report ------------------------------------------------------------------------------------------------


def report(
    held_out: Sequence[JudgedSet], scores: Sequence[Sequence[float]], train: Sequence[JudgedSet], seed: int
) -> Row:
    """Return the figures of the model for result.json; docs/metrics.md describes each."""
    found, by_person = outcomes(held_out, scores), outcomes_by_annotator(held_out, scores)
    measured = accuracy_of(found)
    rule = length_rule(train)
    length = accuracy_of(found, lambda outcome: _right(rule * outcome.length_gap))
    interval = accuracy_interval(measured, seed)
    lead = accuracy_interval(measured.minus(length), seed)
    people = accuracy_of(outcomes_of_people(held_out))
    return {
        "accuracy": measured.rounded(),
        "ci95": interval,
        "n": measured.pairs,
        "length_baseline": length.rounded(),
        "baselines": {
            "length": {
                "accuracy": length.rounded(),
                "ci95": accuracy_interval(length, seed),
                "rule": "the longer response wins" if rule > 0 else "the shorter response wins",
            },
            "random": 0.5,
        },
        "people": {"accuracy": people.rounded(), "ci95": accuracy_interval(people, seed), "n": people.pairs}
        if people.pairs
        else None,
        "calibration": calibration(found),
        "slices": {
            "margin": by_thirds(found, lambda outcome: outcome.margin, "margin", seed),
            "length_gap": by_thirds(found, lambda outcome: float(abs(outcome.length_gap)), "length gap", seed),
            "annotator": by_group(by_person, lambda outcome: outcome.annotator, seed),
            "policy": by_group(found, lambda outcome: None if outcome.policy is None else f"v{outcome.policy}", seed),
        },
        "gate": gate(measured, interval, length, lead),
    }


def gate(measured: Accuracy, interval: list[float] | None, length: Accuracy, lead: list[float] | None) -> Row:
    """Return whether PPO may be trained against this model, with the reason."""
    if interval is None or lead is None or measured.pairs < FEWEST_PAIRS:
        return _verdict(
            False, f"only {measured.pairs} pairs of held-out prompts: too few to tell whether it is any good"
        )
    if (prompts := len(measured.by_prompt)) < FEWEST_PROMPTS:
        return _verdict(
            False,
            f"its {measured.pairs} unseen pairs are of only {prompts} held-out prompts: it takes {FEWEST_PROMPTS} to "
            "tell whether it is any good"
            if prompts > 1
            else f"its {measured.pairs} unseen pairs are of only 1 held-out prompt: it takes {FEWEST_PROMPTS} to tell "
            "whether it is any good",
        )
    low, high = f"{interval[0]:.2f}", f"{interval[1]:.2f}"
    found = {"accuracy": f"{measured.value:.2f}", "low": low, "high": high, "pairs": measured.pairs}
    figures = phrase("accuracy %(accuracy)s [%(low)s, %(high)s] on %(pairs)s unseen pairs", **found)
    if interval[1] < 0.5:
        return _verdict(False, f"it prefers what people reject: {figures}")
    if interval[0] <= 0.5:
        return _verdict(False, f"it does not tell good from bad better than a coin: {figures}")
    if lead[0] <= 0:
        return _verdict(
            False,
            f"it does not beat going by length ({length.value:.2f}; lead between {lead[0]:+.2f} and {lead[1]:+.2f}): "
            f"{figures}",
        )
    return _verdict(True, f"{figures}, against {length.value:.2f} by length")


def _verdict(passed: bool, reason: str) -> Row:
    return {"passed": passed, "reason": reason}


def calibration(found: Sequence[PairOutcome]) -> Row | None:
    """Return accuracy by confidence with the ECE, over ten bins of equal width.

    The confidence of a pair is σ(|difference|), at least ½, of raw scores: the scale on which the loss was taken.
    """
    if not found:
        return None
    sure = torch.tensor([outcome.difference for outcome in found], dtype=torch.float64).abs().sigmoid()
    right = torch.tensor([outcome.right for outcome in found], dtype=torch.float64)
    place = ((sure - 0.5) * 2 * BINS).long().clamp(max=BINS - 1)
    bins, error = [], 0.0
    for number in range(BINS):
        inside = place == number
        if count := int(inside.sum()):
            confidence, accuracy = float(sure[inside].mean()), float(right[inside].mean())
            bins.append({"confidence": round(confidence, 4), "accuracy": round(accuracy, 4), "n": count})
            error += count * abs(confidence - accuracy)
    return {"ece": round(error / len(found), 4), "bins": bins}


def by_thirds(found: Sequence[PairOutcome], of: Callable[[PairOutcome], float], name: str, seed: int) -> list[Row]:
    """Return three slices of about equal size by a number, or fewer where it has few values."""
    if not found:
        return []
    values = torch.tensor([of(outcome) for outcome in found], dtype=torch.float64)
    cuts = sorted(set(torch.quantile(values, torch.tensor([1 / 3, 2 / 3], dtype=torch.float64)).tolist()))
    edges = [-1.0, *[cut for cut in cuts if cut < float(values.max())], float(values.max())]
    slices = []
    for low, high in pairwise(edges):
        part = [outcome for outcome in found if low < of(outcome) <= high]
        if part:
            least, most = min(map(of, part)), max(map(of, part))
            span = f"{least:.3g}" if least == most else f"{least:.3g} to {most:.3g}"
            slices.append(_slice(f"{name} {span}", part, seed))
    return slices


def by_group(found: Sequence[PairOutcome], of: Callable[[PairOutcome], Any], seed: int) -> list[Row]:
    groups: dict[str, list[PairOutcome]] = {}
    for outcome in found:
        if (name := of(outcome)) is not None:
            groups.setdefault(name, []).append(outcome)
    return [_slice(name, part, seed) for name, part in sorted(groups.items())]


def _slice(label: str, part: Sequence[PairOutcome], seed: int) -> Row:
    measured = accuracy_of(part)
    interval = accuracy_interval(measured, seed)
    return {"label": label, "accuracy": measured.rounded(), "ci95": interval, "n": measured.pairs}
