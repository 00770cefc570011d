"""Proposes tasks after a few examples: `python -m training.recipes.self_instruct RUN_DIR`.

data.jsonl holds the examples. Each request draws its own by a seed of its own; samples.jsonl has, per request, the very
messages, what the model wrote, and the task that it was read as, or why it was none. Whether a task is any good is
judged later, where the project's other tasks are known, and by people.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from annotation.model_server import ServerProblem
from training.instructions.form import Unparsed, draw, parse, request
from training.methods import SampleConfig, SelfInstructConfig
from training.phrases import phrase
from training.recipes.process.errors import RecipeError, nothing_usable
from training.recipes.process.log import logger
from training.recipes.process.resources import Stopwatch, peak_rss_mb
from training.recipes.process.run import run_recipe
from training.recipes.process.seeds import derived_seed
from training.recipes.sample import LocalPolicy
from training.recipes.text.served import ServedModel
from training.rundir import GENERATING, Row, RunDir


def propose_tasks(run: RunDir, config: SelfInstructConfig, inputs: Row) -> Row:
    watch = Stopwatch()
    examples = list(run.rows())
    if not examples and config.seed_examples + config.pool_examples:
        raise RecipeError("There are no examples to show: neither seed tasks nor accepted proposals")
    try:
        # 1. The requests, each with examples of its own.
        shown: dict[int, list[Row]] = {}
        rows: list[Row] = []
        for number in range(config.proposals):
            dice = random.Random(derived_seed(config.seed, "examples", number))
            shown[number] = draw(examples, seeds=config.seed_examples, pool=config.pool_examples, random=dice)
            rows.append({"prompt_id": number, "messages": request(shown[number])})
        asked = {row["prompt_id"]: row["messages"] for row in rows}
        sampling = as_sampling(config)
        source: Any = ServedModel(sampling, run, rows) if config.server else LocalPolicy(sampling, inputs, rows)

        # 2. Batches, from the first one that an earlier attempt did not finish.
        requests = source.prompts
        batches = [requests[at : at + config.batch_size] for at in range(0, len(requests), config.batch_size)]
        finished = finished_batches(run, batches, source.refused)
        run.rewind(finished)
        run.report_phase(GENERATING)
        for number, batch in enumerate(batches[finished:], start=finished + 1):
            counts: Counter[str] = Counter()
            with watch.measure("sample"):
                for answer in source.answer(batch, number, 1):
                    row = as_proposal(answer, asked[answer["prompt_id"]], shown[answer["prompt_id"]])
                    counts["read" if row["unparsed"] == "" else "unread"] += 1
                    run.log_sample(row)
            if counts:
                run.log_metrics(number, **{"self_instruct/parsed": counts["read"] / counts.total()})
            run.report_progress(min(number * config.batch_size, len(requests)), len(requests), "proposals")
            logger.info("batch %d of %d: %.1f s", number, len(batches), watch.latest["sample"])
    except ServerProblem as problem:
        raise RecipeError(str(problem)) from None

    # 3. The figures, from the file itself: a resumed run counts all of it.
    samples = list(run.samples())
    if not samples:
        raise nothing_usable(phrase("None of the requests could be made"), len(rows), source.refused)
    unparsed = Counter(row["unparsed"] for row in samples if row["unparsed"])
    return {
        "proposed": len(samples),
        "parsed": len(samples) - unparsed.total(),
        "unparsed": dict(unparsed),
        "model": source.client.model if config.server else "",
        "refused": source.refused,
        "seconds": watch.total(),
        "peak_rss_mb": peak_rss_mb(),
    }


def finished_batches(run: RunDir, batches: list[list[Any]], refused: list[Row]) -> int:
    """Return how many batches, from the first on, have all their rows in samples.jsonl."""
    found = {(row["step"], row["prompt_id"]) for row in run.samples()}
    excused = {row["prompt_id"] for row in refused}
    for number, batch in enumerate(batches, start=1):
        if any((number, each.prompt_id) not in found and each.prompt_id not in excused for each in batch):
            return number - 1
    return len(batches)


def as_sampling(config: SelfInstructConfig) -> SampleConfig:
    """Return the sampling settings for one answer to each request."""
    return SampleConfig(
        completions_per_prompt=1,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        batch_size=config.batch_size,
        max_prompt_tokens=config.max_prompt_tokens,
        server=config.server,
        server_model=config.server_model,
        seed=config.seed,
    )


def as_proposal(answer: Row, messages: list[dict[str, str]], shown: list[Row]) -> Row:
    try:
        task, problem = parse(answer["text"]), ""
    except Unparsed as why:
        task, problem = {"instruction": "", "input": "", "output": ""}, str(why)
    return {
        **answer,
        **task,
        "unparsed": problem,
        "prompt": messages,
        "examples": [example["id"] for example in shown],
    }


if __name__ == "__main__":
    run_recipe(propose_tasks, SelfInstructConfig)
