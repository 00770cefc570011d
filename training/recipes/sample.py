"""Answers of a policy to prompts: `python -m training.recipes.sample RUN_DIR`.

Every batch draws from a seed of its own, so a run that was killed goes on at the first unfinished batch and ends up
with the very answers that it would have given anyway.
"""

from __future__ import annotations

import random
from collections import Counter
from statistics import fmean

from training.methods import SampleConfig
from training.recipes import checkpoints
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
from training.recipes.generation import sample
from training.recipes.prompts import Prompt, read_prompts
from training.recipes.roles import SharedModel
from training.rundir import Row, RunDir


def sample_policy(run: RunDir, config: SampleConfig, inputs: Row) -> Row:
    watch = Stopwatch()
    # 1. The policy, and the prompts that fit it.
    model, role = load_policy(required_path(inputs, "policy"))
    rows = list(run.rows())
    if 0 < config.prompts < len(rows):
        chosen = sorted(random.Random(config.seed).sample(range(len(rows)), config.prompts))
        rows = [rows[index] for index in chosen]
    most = min(config.max_prompt_tokens, model.longest - config.max_new_tokens - 1)
    prompts, refused = read_prompts(model.tokenizer, rows, most)
    if not prompts:
        raise RecipeError(f"None of the {len(rows)} prompts can be answered: {refused[:1] or 'there are none'}")

    # 2. Batches, from the first one that an earlier attempt did not finish.
    per_batch = max(1, config.batch_size // config.completions_per_prompt)
    batches = [prompts[at : at + per_batch] for at in range(0, len(prompts), per_batch)]
    finished = finished_batches(run, batches, config.completions_per_prompt)
    run.rewind(finished)
    for number, batch in enumerate(batches[finished:], start=finished + 1):
        with watch.measure("sample"):
            for row in answer(model, role, batch, number, config):
                run.log_sample(row)
        run.report_progress(number * per_batch if number < len(batches) else len(prompts), len(prompts), "prompts")
        logger.info("batch %d of %d: %.1f s", number, len(batches), watch.latest["sample"])

    # 3. The figures, from the file itself: a resumed run counts all of it.
    samples = list(run.samples())
    return {
        "completions": len(samples),
        "finished_share": round(fmean(row["finished"] for row in samples), 4),
        "mean_tokens": round(fmean(row["tokens"] for row in samples), 2),
        "refused": refused,
        "seconds": watch.total(),
        "peak_rss_mb": peak_rss_mb(),
    }


def load_policy(path: str) -> tuple[SharedModel, str | None]:
    """The model and the role to sample as: None (the base itself) for a full checkpoint."""
    policy = checkpoints.resolve(path)
    model = SharedModel(policy.base, pick_device())
    if policy.adapter is None:
        return model, None
    model.load_adapter("policy", policy.adapter)
    return model, "policy"


def answer(model: SharedModel, role: str | None, batch: list[Prompt], number: int, config: SampleConfig) -> list[Row]:
    rollout = sample(
        model,
        role,
        [prompt.tokens for prompt in batch],
        count=config.completions_per_prompt,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        generator=generator(config.seed, "sample", number),
    )
    texts = rollout.texts(model)
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
        for index in range(config.completions_per_prompt)
    ]


def finished_batches(run: RunDir, batches: list[list[Prompt]], per_prompt: int) -> int:
    """How many batches, from the first on, have all their rows in samples.jsonl."""
    found = Counter(row["step"] for row in run.samples())
    for number, batch in enumerate(batches, start=1):
        if found[number] != len(batch) * per_prompt:
            return number - 1
    return len(batches)


if __name__ == "__main__":
    run_recipe(sample_policy, SampleConfig)
