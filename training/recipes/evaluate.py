"""Answers of two versions to the same prompts, for people to compare: `python -m training.recipes.evaluate RUN_DIR`.

Both sides are sampled with the same settings. Against reference answers only the version is asked. Every batch draws
from a seed of its own, so a run that was killed ends up with the very answers that it would have given anyway.
"""

from __future__ import annotations

from collections import Counter
from statistics import fmean
from typing import Any

from training.methods import EvaluateConfig, SampleConfig
from training.phrases import phrase
from training.recipes.process.errors import nothing_usable
from training.recipes.process.log import logger
from training.recipes.process.resources import Stopwatch, peak_rss_mb
from training.recipes.process.run import run_recipe
from training.recipes.sample import LocalPolicy
from training.rundir import GENERATING, Row, RunDir

SIDES = ("version", "opponent")
SHARED = ("max_new_tokens", "temperature", "batch_size", "max_prompt_tokens", "seed")


def answer_prompts(run: RunDir, config: EvaluateConfig, inputs: Row) -> Row:
    watch = Stopwatch()
    rows = list(run.rows())
    drawing = SampleConfig(completions_per_prompt=1, **{name: getattr(config, name) for name in SHARED})
    asked = [side for side in SIDES if inputs.get(side)]
    lengths: dict[str, float] = {}
    refused: list[Row] = []
    before = 0  # batches of the sides before this one

    for place, side in enumerate(asked):
        source = LocalPolicy(drawing, {"policy": inputs[side]}, rows)
        refused += source.refused
        run.report_phase(GENERATING)
        starts = range(0, len(source.prompts), config.batch_size)
        batches = [source.prompts[at : at + config.batch_size] for at in starts]
        finished = _finished(run, batches, before)
        if finished < len(batches):
            run.rewind(before + finished)
        for number, batch in enumerate(batches[finished:], start=before + finished + 1):
            with watch.measure("sample"):
                for row in source.answer(batch, number - before, 1):
                    run.log_sample({**row, "step": number, "index": place, "side": side})
            done = place * len(rows) + min((number - before) * config.batch_size, len(rows))
            run.report_progress(done, len(asked) * len(rows), "answers")
            logger.info("%s, batch %d of %d: %.1f s", side, number - before, len(batches), watch.latest["sample"])
        before += len(batches)
        own = [row["tokens"] for row in run.samples() if row["side"] == side]
        if not own:
            raise nothing_usable(phrase("None of the prompts can be answered"), len(rows), refused)
        lengths[side] = round(fmean(own), 2)
    return {
        "prompts": len(rows),
        "mean_tokens": lengths,
        "refused": refused,
        "seconds": watch.total(),
        "peak_rss_mb": peak_rss_mb(),
    }


def _finished(run: RunDir, batches: list[list[Any]], before: int) -> int:
    """Return how many of these batches, from the first on, have all their rows in samples.jsonl."""
    found = Counter(row["step"] for row in run.samples())
    for number, batch in enumerate(batches):
        if found[before + number + 1] != len(batch):
            return number
    return len(batches)


if __name__ == "__main__":
    run_recipe(answer_prompts, EvaluateConfig)
