"""Answers to prompts, of a policy or of a server's model: `python -m training.recipes.sample RUN_DIR`.

Some of the answers may come from the reference policy or an older version, and where there are more prompts than people
can judge, those are kept on whose answers the reward model is least sure, beside a random control.

Every batch draws from a seed of its own, so a run that was killed goes on at the first unfinished batch and ends up
with the very answers that it would have given anyway (a server keeps its own counsel about seeds).
"""

from __future__ import annotations

import random
from collections import Counter
from math import floor
from pathlib import Path
from statistics import fmean
from typing import Any

from annotation.model_server import ServerProblem
from training.methods import SampleConfig
from training.phrases import phrase
from training.recipes.process.errors import RecipeError, nothing_usable
from training.recipes.process.files import required_path
from training.recipes.process.log import logger
from training.recipes.process.resources import Stopwatch, peak_rss_mb, pick_device
from training.recipes.process.run import run_recipe
from training.recipes.process.seeds import generator
from training.recipes.text.served import ServedModel
from training.rundir import GENERATING, Row, RunDir
from training.tokenizers.settings import ChatSettings

OTHERS = ("base", "older")  # authors beside the policy


def sample_policy(run: RunDir, config: SampleConfig, inputs: Row) -> Row:
    watch = Stopwatch()
    asked = Asked(run, watch)
    try:
        # 1. The policy, or a server's model, and the prompts that can be asked.
        rows = list(run.rows())
        if 0 < config.asked < len(rows):
            chosen = sorted(random.Random(config.seed).sample(range(len(rows)), config.asked))
            rows = [rows[index] for index in chosen]
        source = (
            ServedModel(config, run, rows, ChatSettings.of(inputs.get("chat")))
            if config.server
            else LocalPolicy(config, inputs, rows)
        )
        shares = Shares(config, others=[author for author in OTHERS if inputs.get(author)])
        asked.total = len(source.prompts) + len(shares.others) * (config.prompts or len(source.prompts))

        # 2. Its own answers; and by them the prompts that people are to judge.
        asked.answer(source, "policy", source.prompts, shares)
        prompts: list[Any] = source.prompts
        why: dict[int, Row] | None = None
        if config.choose_by == "disagreement":
            with watch.measure("choose"):
                why = choose_prompts(run, config, inputs, source)
            prompts = [prompt for prompt in prompts if prompt.prompt_id in why]

        # 3. What other versions answer to those.
        for author in shares.others:
            kept = {prompt.prompt_id for prompt in prompts}
            other = LocalPolicy(config, {"policy": inputs[author]}, [row for row in rows if row["prompt_id"] in kept])
            asked.answer(other, author, other.prompts, shares)
        asked.drop_the_rest()
    except ServerProblem as problem:
        raise RecipeError(str(problem)) from None

    # 4. The figures, from the file itself: a resumed run counts all of it.
    samples = [row for row in run.samples() if why is None or row["prompt_id"] in why]
    if not samples:
        raise nothing_usable(phrase("None of the prompts can be answered"), len(rows), source.refused)
    lengths = [row["tokens"] for row in samples if row["tokens"] is not None]
    return {
        "completions": len(samples),
        "authors": dict(Counter(row["author"] for row in samples)),
        "finished_share": round(fmean(row["finished"] for row in samples), 4),
        "mean_tokens": round(fmean(lengths), 2) if lengths else None,
        "refused": source.refused,
        **({"chosen": list(why.values()), "pool": len(source.prompts)} if why is not None else {}),
        "in_words": in_words(samples, why, len(source.prompts)) + left_out_in_words(source.refused),
        "seconds": watch.total(),
        "peak_rss_mb": peak_rss_mb(),
    }


def choose_prompts(run: RunDir, config: SampleConfig, inputs: Row, source: Any) -> dict[int, Row]:
    """Return prompt id → {"prompt_id", "by", "disagreement"} for the prompts that people are to judge."""
    from training.recipes.models import choosing

    texts: dict[int, list[str]] = {}
    for row in run.samples():
        if row["author"] == "policy":
            texts.setdefault(row["prompt_id"], []).append(row["text"])
    folder = Path(required_path(inputs, "reward_model"))
    found = choosing.disagreements(source.model, folder, source.prompts, texts)
    chosen = choosing.choose(found, config.prompts, config.control_share, config.seed)
    logger.info("%d of %d prompts chosen", len(chosen), len(found))
    return {
        prompt_id: {"prompt_id": prompt_id, "by": by, "disagreement": round(found[prompt_id], 4)}
        for prompt_id, by in chosen.items()
    }


def in_words(samples: list[Row], why: dict[int, Row] | None, pool: int) -> list[str]:
    """Return sentences for the page of the round: who answered, and how the prompts were chosen."""
    said = []
    authors = Counter(row["author"] for row in samples)
    if len(authors) > 1:
        named = {"policy": "the policy", "base": "version 0", "older": "an older version"}
        said.append("Answers: " + ", ".join(f"{count} of {named[author]}" for author, count in authors.items()) + ".")
    if why:
        means = {}
        for by in ("disagreement", "control"):
            of_them = [row["disagreement"] for row in why.values() if row["by"] == by]
            means[by] = f"{len(of_them)}" + (f" ({fmean(of_them):.3f} on average)" if of_them else "")
        said.append(
            f"{len(why)} of {pool} prompts go to people: {means['disagreement']} on whose answers the reward model's "
            f"heads disagree most, {means['control']} by chance."
        )
    return said


def left_out_in_words(refused: list[Row]) -> list[str]:
    """Return how many answers of a server could not be used, and why."""
    reasons: Counter[str] = Counter()
    for row in refused:
        reasons[row["reason"]] += row.get("answers", 0)
    counted = [f"{count} ({reason})" for reason, count in reasons.most_common() if count]
    return [f"Answers of the server that were left out: {', '.join(counted)}."] if counted else []


class Shares:
    """How many of a prompt's answers each author gives: whole numbers, whose means over prompts are the shares.

    A fraction of an answer is rounded up for some prompts and down for others, by a number derived from the prompt.
    """

    def __init__(self, config: SampleConfig, others: list[str]) -> None:
        self.all, self.seed = config.completions_per_prompt, config.seed
        shares = {"base": config.base_share, "older": config.older_share}
        self.share = {author: shares[author] for author in others if shares[author]}
        self.others = list(self.share)

    def counts(self, prompt_id: int) -> dict[str, int]:
        up = random.Random(f"share {self.seed} {prompt_id}").random()
        counts, before, share = {}, 0, 0.0
        for author in self.others:
            share += self.share[author]
            until = min(self.all, floor(self.all * share + up + 1e-9))
            counts[author], before = until - before, until
        return {"policy": self.all - before, **counts}


class Asked:
    """The batches of all authors in one row of numbers; those that an earlier attempt finished are not asked again."""

    def __init__(self, run: RunDir, watch: Stopwatch) -> None:
        self.run, self.watch = run, watch
        self.found = Counter((row["step"], row["prompt_id"], row.get("author")) for row in run.samples())
        self.behind = True  # so far everything was there
        self.number = self.done = self.total = 0

    def answer(self, source: Any, author: str, prompts: list[Any], shares: Shares) -> None:
        self.run.report_phase(GENERATING)
        by_count: dict[int, list[Any]] = {}
        first: dict[int, int] = {}  # the index of this author's first answer
        for prompt in prompts:
            counts = shares.counts(prompt.prompt_id)
            by_count.setdefault(counts[author], []).append(prompt)
            before = list(counts)[: list(counts).index(author)]
            first[prompt.prompt_id] = sum(counts[name] for name in before)
        for count, group in sorted(by_count.items(), reverse=True):
            if count:
                self._answer_alike(source, author, group, count, first)
        self.done += len(by_count.get(0, ()))

    def _answer_alike(self, source: Any, author: str, prompts: list[Any], count: int, first: dict[int, int]) -> None:
        per_batch = max(1, source.config.batch_size // count)
        for at in range(0, len(prompts), per_batch):
            batch = prompts[at : at + per_batch]
            self.number += 1
            self.done += len(batch)
            if self._is_there(batch, author, count, source):
                continue
            with self.watch.measure("sample"):
                for row in source.answer(batch, self.number, count):
                    row["index"] += first[row["prompt_id"]]
                    self.run.log_sample({**row, "author": author})
            self.run.report_progress(self.done, max(self.done, self.total), "prompts")
            logger.info("batch %d, %s: %.1f s", self.number, author, self.watch.latest["sample"])

    def _is_there(self, batch: list[Any], author: str, count: int, source: Any) -> bool:
        if not self.behind:
            return False
        for prompt in batch:
            there = self.found[self.number, prompt.prompt_id, author]
            left_out = source.left_out(prompt.prompt_id)
            if left_out is not None and there != count - left_out:
                self.behind = False
                self.run.rewind(self.number - 1)
                return False
        return True

    def drop_the_rest(self) -> None:
        """Drop the rows that an earlier attempt wrote beyond these."""
        if self.behind:
            self.run.rewind(self.number)


class LocalPolicy:
    """A policy in this process. Shorter prompts come first, so that a batch has little padding."""

    def __init__(self, config: SampleConfig, inputs: Row, rows: list[Row]) -> None:
        # Costs seconds: asking a server goes without.
        from training.recipes.models.shared_model import SharedModel
        from training.recipes.process import checkpoints
        from training.recipes.text.prompts import PromptTokens, read_prompts

        policy = checkpoints.resolve(required_path(inputs, "policy"))
        self.config, self.model = config, SharedModel(policy.base, pick_device())
        self.role: str | None = None  # of a full checkpoint: the base itself
        if policy.adapter is not None:
            self.role = "policy"
            self.model.adapters.load(self.role, policy.adapter)
        most = min(config.max_prompt_tokens, self.model.longest - config.max_new_tokens - 1)
        prompts, self.refused = read_prompts(self.model.chat, rows, most, asks=True)
        self.prompts: list[PromptTokens] = sorted(prompts, key=lambda prompt: len(prompt.tokens))

    def left_out(self, _prompt_id: int) -> int | None:
        """Return 0: every answer that is drawn here is kept."""
        return 0

    def answer(self, batch: list[Any], number: int, count: int) -> list[Row]:
        from training.recipes.models.generation import Drawing, sample

        rollout = sample(
            self.model,
            self.role,
            [prompt.tokens for prompt in batch],
            Drawing(count, self.config.max_new_tokens, self.config.temperature),
            generator(self.config.seed, "sample", number),
        )
        texts, ended = rollout.texts(self.model, asked=True), rollout.ended(self.model)
        return [
            {
                "step": number,
                "prompt_id": prompt.prompt_id,
                "index": index,
                "text": texts[at][index],
                "tokens": int(rollout.lengths[at, index]),
                "logprob": float(rollout.logprobs[at, index].sum()),
                "finished": ended[at][index],
                **({"dropped_messages": prompt.dropped} if prompt.dropped else {}),
            }
            for at, prompt in enumerate(batch)
            for index in range(count)
        ]


if __name__ == "__main__":
    run_recipe(sample_policy, SampleConfig)
