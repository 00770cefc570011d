"""Answers to prompts, of a policy or of a server's model: `python -m training.recipes.sample RUN_DIR`.

Every batch draws from a seed of its own, so a run that was killed goes on at the first unfinished batch and ends up
with the very answers that it would have given anyway (a server keeps its own counsel about seeds).
"""

from __future__ import annotations

import random
from collections import Counter
from statistics import fmean
from typing import Any

from training.methods import SampleConfig
from training.recipes.common import (
    RecipeError,
    Stopwatch,
    generator,
    logger,
    peak_rss_mb,
    pick_device,
    required_path,
    run_recipe,
)
from training.recipes.served import ServedModel, ServerProblem
from training.rundir import Row, RunDir


def sample_policy(run: RunDir, config: SampleConfig, inputs: Row) -> Row:
    watch = Stopwatch()
    try:
        # 1. Who answers, and the prompts that can be asked.
        rows = list(run.rows())
        if 0 < config.prompts < len(rows):
            chosen = sorted(random.Random(config.seed).sample(range(len(rows)), config.prompts))
            rows = [rows[index] for index in chosen]
        source = ServedModel(config, run, rows) if config.server else LocalPolicy(config, inputs, rows)
        prompts = source.prompts

        # 2. Batches, from the first one that an earlier attempt did not finish.
        per_batch = max(1, config.batch_size // config.completions_per_prompt)
        batches = [prompts[at : at + per_batch] for at in range(0, len(prompts), per_batch)]
        finished = finished_batches(run, batches, config.completions_per_prompt, source.refused)
        run.rewind(finished)
        for number, batch in enumerate(batches[finished:], start=finished + 1):
            with watch.measure("sample"):
                for row in source.answer(batch, number):
                    run.log_sample(row)
            run.report_progress(min(number * per_batch, len(prompts)), len(prompts), "prompts")
            logger.info("batch %d of %d: %.1f s", number, len(batches), watch.latest["sample"])
    except ServerProblem as problem:
        raise RecipeError(str(problem)) from None

    # 3. The figures, from the file itself: a resumed run counts all of it.
    samples = list(run.samples())
    if not samples:
        raise RecipeError(f"None of the {len(rows)} prompts can be answered: {source.refused[:1] or 'there are none'}")
    lengths = [row["tokens"] for row in samples if row["tokens"] is not None]
    return {
        "completions": len(samples),
        "finished_share": round(fmean(row["finished"] for row in samples), 4),
        "mean_tokens": round(fmean(lengths), 2) if lengths else None,
        "refused": source.refused,
        "seconds": watch.total(),
        "peak_rss_mb": peak_rss_mb(),
    }


def finished_batches(run: RunDir, batches: list[list[Any]], per_prompt: int, refused: list[Row]) -> int:
    """How many batches, from the first on, have all their rows in samples.jsonl."""
    found = Counter((row["step"], row["prompt_id"]) for row in run.samples())
    excused = {row["prompt_id"] for row in refused}
    for number, batch in enumerate(batches, start=1):
        for prompt in batch:
            if prompt.prompt_id not in excused and found[number, prompt.prompt_id] != per_prompt:
                return number - 1
    return len(batches)


class LocalPolicy:
    """A policy in this process. Shorter prompts come first, so that a batch has little padding."""

    def __init__(self, config: SampleConfig, inputs: Row, rows: list[Row]) -> None:
        # Costs seconds: asking a server goes without.
        from training.recipes import checkpoints
        from training.recipes.prompts import Prompt, read_prompts
        from training.recipes.roles import SharedModel

        policy = checkpoints.resolve(required_path(inputs, "policy"))
        self.config, self.model = config, SharedModel(policy.base, pick_device())
        self.role: str | None = None  # of a full checkpoint: the base itself
        if policy.adapter is not None:
            self.role = "policy"
            self.model.load_adapter(self.role, policy.adapter)
        most = min(config.max_prompt_tokens, self.model.longest - config.max_new_tokens - 1)
        prompts, self.refused = read_prompts(self.model.tokenizer, rows, most)
        self.prompts: list[Prompt] = sorted(prompts, key=lambda prompt: len(prompt.tokens))

    def answer(self, batch: list[Any], number: int) -> list[Row]:
        from training.recipes.generation import sample

        count = self.config.completions_per_prompt
        rollout = sample(
            self.model,
            self.role,
            [prompt.tokens for prompt in batch],
            count=count,
            max_new_tokens=self.config.max_new_tokens,
            temperature=self.config.temperature,
            generator=generator(self.config.seed, "sample", number),
        )
        texts = rollout.texts(self.model)
        return [
            {
                "step": number,
                "prompt_id": prompt.prompt_id,
                "index": index,
                "text": texts[at][index],
                "tokens": int(rollout.lengths[at, index]),
                "logprob": float(rollout.logprobs[at, index].sum()),
                "finished": bool(rollout.finished[at, index]),
            }
            for at, prompt in enumerate(batch)
            for index in range(count)
        ]


if __name__ == "__main__":
    run_recipe(sample_policy, SampleConfig)
