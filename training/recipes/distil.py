"""Best-of-n distillation: `python -m training.recipes.distil RUN_DIR`.

The policy answers each prompt n times, the reward model scores the answers, and DPO learns from the best against the
worst (BoNBoN, Gui et al. 2406.00832; its part that learns from pairs). All is sampled before anything is learned.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

import torch

from training.methods import DistilConfig
from training.methods.load import prompts_at_once
from training.phrases import phrase
from training.recipes.models.generation import Drawing, sample
from training.recipes.models.reward_model import RewardModel
from training.recipes.process.distributed import Processes
from training.recipes.process.errors import RecipeError, nothing_usable
from training.recipes.process.files import replace_file, required_path
from training.recipes.process.log import logger
from training.recipes.process.run import run_recipe
from training.recipes.process.seeds import generator
from training.recipes.text.prompts import PromptTokens, read_prompts
from training.recipes.trainer.callback import RunCallback
from training.recipes.trainer.pairs import TokenPair, learn_from_pairs
from training.recipes.trainer.roles import Roles, load_roles
from training.recipes.trainer.training import count_rows, held_out_prompts, report_results
from training.rundir import GENERATING, Row, RunDir

SAMPLED = "sampled.json"  # what was drawn and scored, until the run is finished: a resumed attempt reads it


@dataclass(frozen=True)
class ScoredAnswer:
    """A sampled answer's own tokens, with its stop where the policy ended it, and its score."""

    tokens: list[int]
    score: float


def train_policy(run: RunDir, config: DistilConfig, inputs: Row) -> Row:
    # 1. Roles and prompts.
    required_path(inputs, "reward_model")
    roles = load_roles(run, config, inputs)
    rows = list(run.rows())
    most = min(config.max_prompt_tokens, roles.shared.longest - config.max_new_tokens - 1)
    prompts, refused = read_prompts(roles.shared.chat, rows, most)
    train = [prompt for prompt in prompts if prompt.split == "train"]
    if not train:
        raise nothing_usable(phrase("There is no prompt to train on"), len(rows), refused)
    callback = RunCallback(
        run, config, roles, held_out_prompts({prompt.prompt_id: prompt for prompt in prompts}), unit="steps"
    )

    # 2. Answers, scored, and the pairs among them.
    with callback.watch.measure("sample"):
        groups = sampled_answers(run, config, roles, train)
    pairs = [
        TokenPair(prompt.tokens, best.tokens, worst.tokens)
        for prompt, answers in zip(train, groups, strict=True)
        for best, worst in best_and_worst(answers, config.pairs_per_prompt)
    ]
    if not pairs:
        raise RecipeError(
            "The reward model scores all answers to each prompt the same, or they are the same: there is nothing to "
            "learn from them. Raise temperature or completions_per_prompt"
        )
    logger.info("%d pairs out of %d answers to %d prompts", len(pairs), sum(map(len, groups)), len(train))

    # 3. Training, then save.
    after = learn_from_pairs(callback, pairs, config)
    result = report_results(
        callback,
        after,
        pairs=len(pairs),
        sampled=figures(groups),
        rows=count_rows(len(rows), Counter(row["reason"] for row in refused)),
    )
    if callback.processes.is_first:
        (run.path / SAMPLED).unlink(missing_ok=True)
    return result


def sampled_answers(
    run: RunDir, config: DistilConfig, roles: Roles, prompts: list[PromptTokens]
) -> list[list[ScoredAnswer]]:
    """Return the scored answers to each prompt by the policy that the run starts from; several processes share them.

    Drawn once: what an earlier attempt of the run has drawn is read again.
    """
    path, processes = run.path / SAMPLED, Processes()
    if path.exists():
        logger.info("The answers are those that an earlier attempt sampled")
        return [[ScoredAnswer(**answer) for answer in group] for group in json.loads(path.read_text("utf-8"))]
    assert roles.reward_model is not None
    run.report_phase(GENERATING)
    together = prompts_at_once(config.completions_per_prompt)
    own: list[tuple[int, list[ScoredAnswer]]] = []
    for at in range(processes.rank * together, len(prompts), processes.count * together):
        drawn = draw(config, roles, roles.reward_model, prompts[at : at + together], at)
        own += enumerate(drawn, start=at)
        if processes.is_first:
            run.report_progress(min(at + processes.count * together, len(prompts)), len(prompts), "prompts")
    groups = [group for _, group in sorted(processes.gather_objects(own), key=lambda item: item[0])]
    if processes.is_first:
        text = json.dumps([[asdict(answer) for answer in group] for group in groups])
        replace_file(path, lambda fresh: fresh.write_text(text, "utf-8"))
    processes.wait()
    return groups


@torch.no_grad()
def draw(
    config: DistilConfig, roles: Roles, reward_model: RewardModel, prompts: list[PromptTokens], at: int
) -> list[list[ScoredAnswer]]:
    """Return scored answers to neighbouring prompts, of which the first stands at place `at` of all."""
    rollout = sample(
        roles.actor,
        roles.role,
        [prompt.tokens for prompt in prompts],
        Drawing(config.completions_per_prompt, config.max_new_tokens, config.temperature),
        generator(config.seed, "distil", at),
        keep_trunk=True,
    )
    answers = roles.shared.with_trunk(rollout.answers)
    scores = rollout.read_as_seen(roles.shared, answers, reward_model.score).tolist()
    return [
        [ScoredAnswer(tokens, score) for tokens, score in zip(*group, strict=True)]
        for group in zip(rollout.tokens(), scores, strict=True)
    ]


def best_and_worst(answers: Sequence[ScoredAnswer], most: int) -> list[tuple[ScoredAnswer, ScoredAnswer]]:
    """Return the best answer with the worst, the second best with the second worst, and so on: `most` pairs at most.

    Of equal answers one counts, and an answer is in one pair; without a difference in score there is no pair.
    """
    different = {tuple(answer.tokens): answer for answer in answers}
    order = sorted(different.values(), key=lambda answer: -answer.score)
    pairs = [(order[place], order[-1 - place]) for place in range(min(most, len(order) // 2))]
    return [(best, worst) for best, worst in pairs if best.score > worst.score]


def figures(groups: list[list[ScoredAnswer]]) -> Row:
    """Return how many answers were sampled, and the means of all scores and of the best and worst to each prompt."""
    scores = [[answer.score for answer in group] for group in groups]
    means = {"mean": fmean(map(fmean, scores)), "best": fmean(map(max, scores)), "worst": fmean(map(min, scores))}
    return {"responses": sum(map(len, groups)), **{name: round(value, 4) for name, value in means.items()}}


if __name__ == "__main__":
    run_recipe(train_policy, DistilConfig)
