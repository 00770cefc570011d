"""Which checkpoint of a run is kept, and whether it is better than the policy that the run started from.

Both are asked of a *yardstick* that nothing was trained on: the reward model's judge on held-out prompts or, where
there is none, what a method itself holds out. Step 0, the unchanged policy, is a candidate like the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from annotation.stats.bootstrap import ratio_interval, rounded
from training.methods.gates import FEWEST_PROMPTS
from training.phrases import phrase
from training.recipes.evaluation import figures
from training.recipes.process.seeds import derived_seed
from training.rundir import Row

JUDGE = phrase("the judge")


@dataclass(frozen=True)
class Yardstick:
    """What a method itself holds out: `measure` returns one figure per prompt, the more the better."""

    name: str
    measure: Callable[[], list[float]]
    before_judge: bool = False  # it counts even where there is a judge


def evaluation(step: int, rows: list[Row], measured: Sequence[float] | None = None) -> Row:
    """Return what is kept of an evaluation: figures, answers, and `measured` (or the judge) by prompt."""
    return {**figures(step, rows), "by_prompt": judged(rows) if measured is None else list(measured), "rows": rows}


def judged(rows: list[Row]) -> list[float]:
    """Return the judge's mean for each prompt, in the order of the prompts; empty without a judge."""
    scores: dict[Any, list[float]] = {}
    for row in rows:
        if row["judge"] is not None:
            scores.setdefault(row["prompt_id"], []).append(row["judge"])
    return [fmean(values) for values in scores.values()]


def means_by_prompt(prompts: Iterable[Sequence[int]], values: Iterable[float]) -> list[float]:
    """Return the mean of the values of each prompt, given as token ids, in the order in which prompts come first."""
    found: dict[tuple[int, ...], list[float]] = {}
    for prompt, value in zip(prompts, values, strict=True):
        found.setdefault(tuple(prompt), []).append(value)
    return [fmean(of_prompt) for of_prompt in found.values()]


def select(evaluations: list[Row], yardstick: str = JUDGE) -> tuple[int, str]:
    """Return which evaluated step to keep, and why; the first evaluation is that of step 0.

    Of the checkpoints within one standard error (paired by prompt) of the best by the yardstick, the one nearest to the
    reference. The score that was climbed says nothing here: it goes on rising long after the answers get worse (Gao et
    al. 2210.10760).
    """
    last = evaluations[-1]["step"]
    if not evaluations[-1]["by_prompt"]:
        return last, phrase("the last one: nothing measures it that it was not trained on")
    best = max(evaluations, key=_mean)
    chosen = min((row for row in evaluations if _behind(best, row) <= 0), key=lambda row: (row["kl"], row["step"]))
    if chosen is best:
        found = {"mean": f"{_mean(best):.2f}", "count": len(evaluations), "yardstick": yardstick}
        return best["step"], phrase("best by %(yardstick)s (%(mean)s) of %(count)s evaluated", **found)
    found = {"mean": f"{_mean(chosen):.2f}", "best": f"{_mean(best):.2f}", "step": best["step"], "yardstick": yardstick}
    return chosen["step"], phrase(
        "%(mean)s by %(yardstick)s is within one standard error of the best (%(best)s at step %(step)s), at a smaller "
        "KL",
        **found,
    )


def gate(evaluations: list[Row], step: int, seed: int, *, yardstick: str = JUDGE, unseen: bool = True) -> Row:
    """Return whether the kept step may be put into use: `passed`, `reason`, and the lead over step 0 with its interval.

    `unseen`: the prompts of the yardstick were kept from training.
    """
    start, kept = evaluations[0], next(row for row in evaluations if row["step"] == step)
    if not start["by_prompt"]:
        return _verdict(
            False, "nothing measures it that it was not trained on: train a reward model with 2 heads or more"
        )
    if step == 0:
        return _verdict(
            False, f"no step is better than the policy it started from by {yardstick} ({_seen(evaluations)})"
        )
    lead = [new - old for new, old in zip(kept["by_prompt"], start["by_prompt"], strict=True)]
    interval = rounded(ratio_interval(lead, [1] * len(lead), seed=derived_seed(seed, "lead")))
    measured = {"lead": f"{fmean(lead):+.2f}", "yardstick": yardstick, "count": len(lead)}
    about: str = phrase("%(lead)s by %(yardstick)s on %(count)s held-out prompts", **measured)
    if len(lead) == 1:
        about = phrase("%(lead)s by %(yardstick)s on %(count)s held-out prompt", **measured)
    if not unseen:
        return _verdict(False, "there are no held-out prompts: it was measured on those that it was trained on")
    if len(lead) < FEWEST_PROMPTS or interval is None:
        return _verdict(False, f"{about}: it takes {FEWEST_PROMPTS} to tell whether it is better")
    figures = {"lead": round(fmean(lead), 4), "ci95": interval}
    low, high = f"{interval[0]:+.2f}", f"{interval[1]:+.2f}"
    about = phrase(
        "%(lead)s by %(yardstick)s on %(count)s held-out prompts, between %(low)s and %(high)s",
        **measured,
        low=low,
        high=high,
    )
    if interval[0] <= 0:
        return _verdict(False, f"it is not surely better than the policy it started from: {about}") | figures
    return (
        _verdict(True, f"better than the policy it started from: {about}, at a KL of {kept['kl']:.2f} nats") | figures
    )


def _verdict(passed: bool, reason: str) -> Row:
    return {"passed": passed, "reason": reason}


def _seen(evaluations: list[Row]) -> str:
    later = ", ".join(f"{_mean(row):.2f} at {row['step']}" for row in evaluations[1:]) or "no step was made"
    return f"{_mean(evaluations[0]):.2f} at 0; {later}"


def _mean(row: Row) -> float:
    return fmean(row["by_prompt"])


def _behind(best: Row, other: Row) -> float:
    """Return by how much more than one standard error `other` lies behind; 0 or less: not distinguishably."""
    differences = [one - two for one, two in zip(best["by_prompt"], other["by_prompt"], strict=True)]
    error = stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else 0.0
    return fmean(differences) - error
