"""How good are a policy's answers to held-out prompts, and how far is it from the reference? Before and after training.

One way for every method, so that their figures stand side by side: the same prompts, the same random numbers.
"""

from __future__ import annotations

from math import comb, log
from statistics import fmean
from typing import Any

import torch

from training.recipes.losses.rl_math import sequence_kl
from training.recipes.models.generation import sample
from training.recipes.models.reward_model import RewardModel
from training.recipes.models.shared_model import SharedModel, role_logprobs
from training.recipes.process.distributed import Processes
from training.recipes.process.run import generator
from training.recipes.text.prompts import Prompt
from training.rundir import Row


@torch.no_grad()
def evaluate(
    shared: SharedModel,
    role: str | None,
    reward_model: RewardModel | None,
    prompts: list[Prompt],
    *,
    completions: int,
    max_new_tokens: int,
    temperature: float,
    seed: int,
    batch_size: int,
    reference: SharedModel | None = None,
    round_start: tuple[SharedModel, str | None] | None = None,
    processes: Processes | None = None,
) -> list[Row]:
    """One row per prompt and completion: text, score and judge (None without a reward model), KL in nats.

    `kl` is to `reference` with its adapters off (None: those of `shared`), `kl_round_start` to the role `round_start`
    of its model (None: the reference again). Several processes take the batches in turn; each gets all rows.
    """
    rows: list[tuple[int, Row]] = []
    reference, processes = reference or shared, processes or Processes()
    per_batch = max(1, batch_size // completions)
    for at in range(processes.rank * per_batch, len(prompts), processes.count * per_batch):
        part = prompts[at : at + per_batch]
        rollout = sample(
            shared,
            role,
            [prompt.tokens for prompt in part],
            count=completions,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            generator=generator(seed, "evaluate", at),
            keep_trunk=True,
        )
        answers, mask = reference.with_trunk(rollout.answers), rollout.drawn
        kl = sequence_kl(rollout.logprobs, role_logprobs(reference, answers, mask, None, temperature), mask)
        kl_start = kl
        if round_start is not None:
            model, name = round_start
            seen = answers if model is reference else answers.without_trunk()  # trunk states are the reference's
            kl_start = sequence_kl(rollout.logprobs, role_logprobs(model, seen, mask, name, temperature), mask)
        scores = None if reward_model is None else reward_model.score(answers)
        judged = reward_model.judge(answers) if reward_model is not None and reward_model.has_judge else None
        texts = rollout.texts(shared)
        rows += [
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
            for row, prompt in enumerate(part)
            for column in range(completions)
        ]
    return [row for _, row in sorted(processes.gather_objects(rows), key=lambda item: item[0])]


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


def of_reference(rows: list[Row]) -> Row:
    """The reference's figures for result.json, where they are not those of the start."""
    return {f"{name}_reference": mean_of(rows, name) for name in ("score", "judge")} if rows else {}


def mean_of(rows: list[Row], name: str) -> float | None:
    """Mean of one figure over evaluated answers; None where there is none."""
    values = [row[name] for row in rows if row[name] is not None]
    return round(fmean(values), 4) if values else None


def best_of_n(rows: list[Row]) -> list[dict[str, Any]]:
    """What choosing the best of n answers by score would have brought, for n = 1, 2, 4, … up to what was drawn.

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
