"""How good are a policy's answers to held-out prompts, and how far is it from the reference? Before and after training.

One way for every method, so that their figures stand side by side: the same prompts, the same random numbers.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import comb, log
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from training.recipes.losses.rl_math import sequence_kl
from training.recipes.models.answers import Answers
from training.recipes.models.generation import Drawing, Rollout, sample
from training.recipes.models.reward_model import RewardModel
from training.recipes.models.shared_model import SharedModel, role_logprobs
from training.recipes.process.distributed import Processes
from training.recipes.process.seeds import generator
from training.recipes.text.prompts import PromptTokens
from training.rundir import Row


@dataclass(frozen=True)
class Evaluator:
    """How every policy of a run is evaluated: the same prompts, the same random numbers, the same models beside it.

    `kl` is to `reference` with its adapters off, `kl_round_start` to the role of `round_start` on its model (None: the
    reference again). Several processes take the batches in turn; each gets all rows.
    """

    prompts: list[PromptTokens]
    reward_model: RewardModel | None
    reference: SharedModel
    drawing: Drawing
    seed: int
    batch_size: int  # answers drawn at once
    round_start: tuple[SharedModel, str | None] | None = None
    processes: Processes = field(default_factory=Processes)

    @classmethod
    def of(cls, config: Any, prompts: list[PromptTokens], reward_model: RewardModel | None, **more: Any) -> Evaluator:
        """Return the evaluator by a method's settings `eval_completions`, `max_new_tokens`, `temperature`, `seed`."""
        drawing = Drawing(config.eval_completions, config.max_new_tokens, config.temperature)
        return cls(prompts, reward_model, drawing=drawing, seed=config.seed, **more)

    @torch.no_grad()
    def rows(self, model: SharedModel, role: str | None) -> list[Row]:
        """Return one row per prompt and answer: text, score and judge (None without a reward model), KL in nats."""
        rows: list[tuple[int, Row]] = []
        per_batch = max(1, self.batch_size // self.drawing.count)
        step = self.processes.count * per_batch
        for at in range(self.processes.rank * per_batch, len(self.prompts), step):
            rows += self._batch(model, role, at, self.prompts[at : at + per_batch])
        return [row for _, row in sorted(self.processes.gather_objects(rows), key=lambda item: item[0])]

    def _batch(
        self, model: SharedModel, role: str | None, at: int, prompts: list[PromptTokens]
    ) -> list[tuple[int, Row]]:
        """Return the rows of neighbouring prompts, each with its prompt's place; the first stands at `at`."""
        tokens, random = [prompt.tokens for prompt in prompts], generator(self.seed, "evaluate", at)
        rollout = sample(model, role, tokens, self.drawing, random, keep_trunk=True)
        answers, texts = self.reference.with_trunk(rollout.answers), rollout.texts(model)
        kl, kl_start = self._distances(rollout, answers, model, role)
        scorer = self.reward_model
        scores = judged = None
        if scorer is not None:
            scores = rollout.read_as_seen(self.reference, answers, scorer.score)
            judged = rollout.read_as_seen(self.reference, answers, scorer.judge) if scorer.has_judge else None
        return [
            (
                at + row,
                {
                    "prompt_id": prompt.prompt_id,
                    "text": texts[row][column],
                    "score": None if scores is None else float(scores[row, column]),
                    "judge": None if judged is None else float(judged[row, column]),
                    "kl": float(kl[row, column]),
                    "kl_round_start": float(kl_start[row, column]),
                },
            )
            for row, prompt in enumerate(prompts)
            for column in range(self.drawing.count)
        ]

    def _distances(
        self, rollout: Rollout, answers: Answers, author: SharedModel, authors_role: str | None
    ) -> tuple[Tensor, Tensor]:
        """Return the KL of each answer to the reference and to the round's start, (g, k) each, in nats.

        All log-probabilities are of one pass over the answers: the sampler's round otherwise.
        """
        mask, temperature = rollout.drawn, self.drawing.temperature
        seen = answers if author is self.reference else answers.without_trunk()
        own = role_logprobs(author, seen, mask, authors_role, temperature)
        kl = sequence_kl(own, role_logprobs(self.reference, answers, mask, None, temperature), mask)
        if self.round_start is None:
            return kl, kl
        model, role = self.round_start
        seen = answers if model is self.reference else answers.without_trunk()  # trunk states are the reference's
        start = role_logprobs(model, seen, mask, role, temperature)
        return kl, sequence_kl(own, start, mask)


def report(before: list[Row], after: list[Row], reference: list[Row]) -> Row:
    """Return what result.json says of a trained policy: means before and after, KL, and best-of-n beside them.

    `reference` is empty where the round began with the reference.
    """
    return {
        **{f"{name}_before": mean_of(before, name) for name in ("score", "judge")},
        **{f"{name}_after": mean_of(after, name) for name in ("score", "judge")},
        **({f"{name}_reference": mean_of(reference, name) for name in ("score", "judge")} if reference else {}),
        "kl": mean_of(after, "kl"),
        "kl_round_start": mean_of(after, "kl_round_start"),
        "best_of_n": best_of_n(before),
        "agreement": agreement(before, after),
    }


def agreement(before: list[Row], after: list[Row]) -> Row | None:
    """Return how far score and judge agree: both gains, and their correlation over the answers; None without a judge.

    A score that gains much more than the judge does is one that the policy has learned to exploit.
    """
    pairs = [(row["score"], row["judge"]) for row in [*before, *after] if row["judge"] is not None]
    if not pairs:
        return None
    gains = {
        f"{name}_gain": round(fmean(row[name] for row in after) - fmean(row[name] for row in before), 4)
        for name in ("score", "judge")
    }
    return {**gains, "correlation": correlation(*zip(*pairs, strict=True))}


def figures(step: int, rows: list[Row]) -> Row:
    """Return one point of the frontier: mean KL, score and judge at a step."""
    return {"step": step, **{name: mean_of(rows, name) for name in ("kl", "score", "judge")}}


def side_by_side(before: list[Row], after: list[Row], reference: list[Row]) -> list[Row]:
    """Rows for people to look at: what was answered to the same prompts with the same random numbers.

    `reference` is empty where the round began with the reference: then it is what stands under `before`.
    """
    rows = []
    for place, (old, new) in enumerate(zip(before, after, strict=True)):
        row = {
            "prompt_id": new["prompt_id"],
            "before": old["text"],
            "after": new["text"],
            "score_before": old["score"],
            "score_after": new["score"],
        }
        if reference:
            row |= {"reference": reference[place]["text"], "score_reference": reference[place]["score"]}
        rows.append(row)
    return rows


def correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Return Pearson's correlation of two lists of figures; None where one of them does not vary."""
    if len(one) < 2 or min(one) == max(one) or min(other) == max(other):
        return None
    return round(statistics.correlation(one, other), 4)


def mean_of(rows: list[Row], name: str) -> float | None:
    """Return the mean of one figure over evaluated answers; None where there is none."""
    values = [row[name] for row in rows if row[name] is not None]
    return round(fmean(values), 4) if values else None


def best_of_n(rows: list[Row]) -> list[dict[str, Any]]:
    """Return the expected score and KL of the best of n answers, for n = 1, 2, 4, … up to the number drawn.

    The expected score of the best among n of the N answers drawn for a prompt, without bias: the answer of rank i
    (from below) is the best of C(i−1, n−1) of the C(N, n) choices. The KL of best-of-n to the policy that answered is
    at most log n − (n−1)/n nats (Stiennon et al. 2009.01325, appendix G.3).
    """
    by_prompt: dict[Any, list[float]] = {}
    for row in rows:
        if row["score"] is not None:
            by_prompt.setdefault(row["prompt_id"], []).append(row["score"])
    if not by_prompt:
        return []
    drawn = min(map(len, by_prompt.values()))
    own_kl = fmean(row["kl"] for row in rows)
    table, n = [], 1
    while n <= drawn:
        score = fmean(_expected_best(scores[:drawn], n) for scores in by_prompt.values())
        table.append({"n": n, "score": round(score, 4), "kl": round(own_kl + log(n) - (n - 1) / n, 4)})
        n *= 2
    return table


def _expected_best(scores: list[float], n: int) -> float:
    ordered = sorted(scores)
    choices = comb(len(ordered), n)
    return sum(score * comb(place, n - 1) / choices for place, score in enumerate(ordered))
