"""A reward model from people's rankings and unary annotations: `python -m training.recipes.reward RUN_DIR`.

All that was said about one set of candidates stands in one optimiser step, each candidate is read once, and the
ranking's loss is a mean over its terms. (Pairs shuffled apart make the model see a candidate K−1 times an epoch, and it
memorises.) Accuracy is always measured on prompts that were never trained on.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from training.methods import RewardConfig
from training.phrases import phrase
from training.recipes.evaluation import correlation
from training.recipes.models.generation import Drawing, sample
from training.recipes.models.rankings import (
    READ_AT_ONCE,
    JudgedSet,
    collate,
    keep_depths,
    keep_trunks,
    portions,
    read_rankings,
    some_of,
)
from training.recipes.models.reward_model import HEAD_FILE, ROLE, RewardModel
from training.recipes.models.shared_model import SharedModel
from training.recipes.process import checkpoints
from training.recipes.process.errors import RecipeError, nothing_usable
from training.recipes.process.files import replace_folder, required_path
from training.recipes.process.log import logger, remark
from training.recipes.process.pace import SavingPace
from training.recipes.process.resources import Stopwatch, peak_rss_mb, pick_device
from training.recipes.process.run import run_recipe
from training.recipes.process.seeds import generator
from training.recipes.reward_learners import HeadLearner, Learner, learner_for, solve
from training.recipes.reward_report import Accuracy, accuracy_interval, accuracy_of, outcomes, report
from training.rundir import EVALUATING, LEARNING_CURVE, SAVING, TRAINING, Row, RunDir

RELOAD_TOLERANCE = 1e-5
RELOADED_RANKINGS = 3
JUDGES_SHARE = 0.25  # of the prompts, whose rankings only the judge learns from


def train_reward_model(run: RunDir, config: RewardConfig, inputs: Row) -> Row:
    """Train the reward model and its judge, save it and return the result with its gate."""
    watch = Stopwatch()
    # 1. The base model, and the rankings that fit it.
    base = checkpoints.resolve(required_path(inputs, "base_model"))
    shared = SharedModel(base.base, pick_device())
    longest = min(config.max_length, shared.longest)
    rankings, counts = read_rankings(run.rows(), shared, longest, with_single=config.line)
    train = [ranking for ranking in rankings if ranking.split == "train"]
    held_out = [ranking for ranking in rankings if ranking.split == "eval"]
    if not train:
        raise nothing_usable(phrase("There is no ranking to train on"), counts["in"], counts["refused"])
    learning, judging = judges_share(train, config)
    logger.info(
        "%d rankings to train on, %d for the judge, %d to test on; rows: %s",
        *(len(learning), len(judging), len(held_out), counts),
    )

    # 2. Adapter and heads; what does not learn is the same in every epoch and computed once.
    reward_model = begin(shared, config if judging else replace(config, heads=1), inputs)
    with watch.measure("trunk"):
        if reward_model.has_judge or not reward_model.has_adapter:
            keep_depths(shared, rankings)
        if reward_model.has_adapter and config.pooling != "verbalizer":  # whose question would have to be in them
            keep_trunks(shared, rankings)

    # 3. Training.
    if reward_model.judging is not None:
        solve(reward_model.judging, judging, torch.ones(len(judging), 1), config)
    learner = learner_for(reward_model, learning, config)
    # Of the rankings trained on, as many are measured as are held out: it only shows how far apart the two are.
    probe = some_of(learning, max(len(held_out), READ_AT_ONCE), generator(config.seed, "probe"))
    run.report_phase(TRAINING)
    learn(run, learner, {"train": probe, "eval": held_out}, watch)

    # 4. Scores on one scale, whatever the heads came to: answers of the reference have mean 0 and variance 1.
    run.report_phase(EVALUATING)
    with watch.measure("normalise"):
        reward_model.normalise_on(reference_scores(reward_model, rankings, config))

    # 5. How good is it, on prompts it has not seen, and how much did each ranking bring?
    with watch.measure("evaluate"):
        result: Row = {
            **report(held_out, scores_of(reward_model, held_out), train, config.seed),
            "judge": judge_report(reward_model, judging, held_out),
            "line": line_report(reward_model, learning, held_out, config),
            "train_accuracy": accuracy(reward_model, probe).rounded(),
            "rankings": sum(len(ranking.candidates) > 1 for ranking in learning),
            "sources": dict(sorted(Counter(ranking.source for ranking in learning).items())),
            "pairs": sum(len(ranking.pairs) for ranking in learning),
            "rows": counts,
            "gain": reward_model.gain,
            "bias": reward_model.bias,
        }
    logger.info("Gate: %s: %s", "passed" if result["gate"]["passed"] else "not passed", result["gate"]["reason"])
    run.report_phase(LEARNING_CURVE)
    with watch.measure("learning curve"):
        result["learning_curve"] = learning_curve(shared, learning, held_out, config, result)

    # 6. Save, and prove that what was saved is what was trained.
    run.report_phase(SAVING)
    replace_folder(run.checkpoint_path, lambda folder: reward_model.save(folder, {"accuracy": result["accuracy"]}))
    with watch.measure("reload"):
        check_reload(reward_model, run.checkpoint_path, (held_out or train)[:RELOADED_RANKINGS])
    return {
        **result,
        "seconds": watch.total(),
        "seconds_by_stage": watch.rounded(),
        "peak_rss_mb": peak_rss_mb(),
    }


def learn(run: RunDir, learner: Learner | HeadLearner, measured: dict[str, list[JudgedSet]], watch: Stopwatch) -> None:
    """Take all steps from where an earlier attempt stopped; measure accuracy by split after each epoch."""
    done = load_state(run, learner)
    run.rewind(done)
    pace = SavingPace()
    for step in range(done + 1, learner.steps + 1):
        with watch.measure("train"):
            metrics = learner.take_step(step)
        if step % learner.steps_per_epoch == 0:
            with watch.measure("evaluate"):
                for split, rankings in measured.items():
                    if (found := accuracy(learner.model, rankings)).pairs:
                        metrics[f"reward/accuracy_{split}"] = found.value
            logger.info("pass %d of %d: %s", step // learner.steps_per_epoch, learner.passes, metrics)
        run.log_metrics(step, **metrics)
        run.report_progress(step, learner.steps, "steps")
        if step == learner.steps or pace.is_due(step):
            with pace.saving():
                save_state(run, learner, step)


def begin(shared: SharedModel, config: RewardConfig, inputs: Row) -> RewardModel:
    """Return adapter and heads as training starts: fresh, from the policy's adapter, or from the last reward model."""
    model = RewardModel.initialise(
        shared,
        rank=config.lora_rank,
        top_blocks=config.top_blocks,
        generator=generator(config.seed, "head"),
        heads=config.heads,
        pooling=config.pooling,
    )
    if config.start == "fresh" or not model.has_adapter:
        return model
    folder = checkpoints.resolve(required_path(inputs, config.start)).adapter
    if folder is None:
        logger.info("There is no adapter to start from: the reward model starts fresh")
        return model
    try:
        shared.adapters.load_weights(ROLE, load_file(folder / checkpoints.ADAPTER_WEIGHTS))
        if config.start == "previous":
            model.load_head_weights(load_file(folder / HEAD_FILE))
    except (RuntimeError, KeyError) as problem:
        raise RecipeError(
            f"The reward model cannot start from {folder}: lora_rank, top_blocks, heads or pooling differ ({problem})"
        ) from None
    return model


# --- learning --------------------------------------------------------------------------------------------------


def judges_share(train: list[JudgedSet], config: RewardConfig) -> tuple[list[JudgedSet], list[JudgedSet]]:
    """Return the rankings that the scoring heads learn from, and those of a quarter of the prompts, the judge's own.

    The judge gets none where there is no judge, or where all rankings are of one prompt.
    """
    if config.heads < 2:
        return train, []
    prompts = list({tuple(ranking.prompt): None for ranking in train})
    if len(prompts) < 2:
        remark("All rankings are of one prompt: the reward model has no judge, which needs prompts of its own")
        return train, []
    order = torch.randperm(len(prompts), generator=generator(config.seed, "judge")).tolist()
    own = {prompts[place] for place in order[: max(1, round(len(prompts) * JUDGES_SHARE))]}
    return (
        [ranking for ranking in train if tuple(ranking.prompt) not in own],
        [ranking for ranking in train if tuple(ranking.prompt) in own],
    )


def learning_curve(
    shared: SharedModel, train: list[JudgedSet], held_out: list[JudgedSet], config: RewardConfig, whole: Row
) -> list[Row]:
    """Return accuracy by number of rankings: of models trained on ½, ¼, … of them, and of the whole one.

    Single responses, which compare nothing, are halved beside the rankings and not counted.
    """
    order = torch.randperm(len(train), generator=generator(config.seed, "curve")).tolist()
    compared = [train[index] for index in order if len(train[index].candidates) > 1]
    single = [train[index] for index in order if len(train[index].candidates) == 1]
    points = [{"rankings": len(compared), "accuracy": whole["accuracy"], "ci95": whole["ci95"]}]
    for halvings in range(1, config.learning_curve + 1):
        share = compared[: len(compared) >> halvings]
        part = [*share, *single[: len(single) >> halvings]]
        if not share or not held_out:
            break
        model = RewardModel.initialise(
            shared,
            rank=config.lora_rank,
            top_blocks=config.top_blocks,
            generator=generator(config.seed, "head"),
            pooling=config.pooling,
            role=f"half_{halvings}",
        )
        learner = learner_for(model, part, config)
        for step in range(1, learner.steps + 1):
            learner.take_step(step)
        measured = accuracy(model, held_out)
        interval = accuracy_interval(measured, config.seed)
        points.insert(0, {"rankings": len(share), "accuracy": measured.rounded(), "ci95": interval})
        logger.info("with %d rankings: accuracy %.3f", len(share), measured.value)
    return points


# --- state -----------------------------------------------------------------------------------------------------


def save_state(run: RunDir, learner: Learner | HeadLearner, step: int) -> None:
    state = {
        "step": step,
        "adapter": learner.model.shared.adapters.weights(ROLE) if learner.model.has_adapter else None,
        "head": learner.model.head_weights(),
        "optimiser": learner.optimiser.state_dict() if learner.optimiser else None,
    }
    run.save_state(lambda folder: torch.save(state, folder / "reward.pt"))


def load_state(run: RunDir, learner: Learner | HeadLearner) -> int:
    """Return the step that an earlier attempt reached, 0 for a fresh start; no random state outlives a step."""
    folder = run.load_state()
    if folder is None:
        return 0
    shared = learner.model.shared
    state = torch.load(folder / "reward.pt", map_location=shared.device, weights_only=True)
    if learner.model.has_adapter:
        shared.adapters.load_weights(ROLE, state["adapter"])
    learner.model.load_head_weights(state["head"])
    if learner.optimiser is not None:
        learner.optimiser.load_state_dict(state["optimiser"])
    logger.info("Resuming after step %d", state["step"])
    return int(state["step"])


# --- measuring -------------------------------------------------------------------------------------------------


@torch.no_grad()
def reference_scores(reward_model: RewardModel, rankings: list[JudgedSet], config: RewardConfig) -> Tensor:
    """Return raw scores (n, heads) of the reference policy's answers to the data's own prompts."""
    prompts = list({tuple(ranking.prompt): ranking.prompt for ranking in rankings}.values())
    prompts = prompts[: config.reference_samples]
    count = -(-config.reference_samples // len(prompts))
    scores = []
    for number, at in enumerate(range(0, len(prompts), per_pass := max(1, 64 // count))):
        rollout = sample(
            reward_model.shared,
            None,
            prompts[at : at + per_pass],
            Drawing(count, config.max_new_tokens, config.temperature),
            generator(config.seed, "normalise", number),
            keep_trunk=True,
        )
        scores.append(rollout.read_as_seen(reward_model.shared, rollout.answers, reward_model.raw_scores).flatten(0, 1))
    return torch.cat(scores)


@torch.no_grad()
def scores_of(model: RewardModel, rankings: list[JudgedSet]) -> list[list[float]]:
    """Return the raw scores of every candidate of every ranking."""
    scores: list[list[float]] = []
    for batch in portions(rankings):
        raw = model.raw_score(collate(batch, model.shared)).tolist()
        scores += [row[: len(ranking.candidates)] for row, ranking in zip(raw, batch, strict=True)]
    return scores


@torch.no_grad()
def judge_report(model: RewardModel, judging: list[JudgedSet], held_out: list[JudgedSet]) -> Row | None:
    """Return what the judge learned from, its accuracy on held-out prompts, and how far it and the score agree."""
    if not model.has_judge:
        return None
    judged: list[list[float]] = []
    for batch in portions(held_out):
        raw = model.raw_judge(collate(batch, model.shared)).tolist()
        judged += [row[: len(ranking.candidates)] for row, ranking in zip(raw, batch, strict=True)]
    score = [value for values in scores_of(model, held_out) for value in values]
    return {
        "rankings": len(judging),
        "accuracy": accuracy_of(outcomes(held_out, judged)).rounded(),
        "correlation_with_score": correlation(score, [value for values in judged for value in values]),
    }


def line_report(
    model: RewardModel, train: list[JudgedSet], held_out: list[JudgedSet], config: RewardConfig
) -> Row | None:
    """Return the score of the line above unacceptable responses, and how often held-out ones are on the right side."""
    if not config.line or not any(ranking.lines for ranking in train):
        return None
    right = [
        (scores[line.candidate] > 0) == (line.share > 0.5)
        for ranking, scores in zip(held_out, scores_of(model, held_out), strict=True)
        for line in ranking.lines
        if line.share != 0.5
    ]
    accuracy = round(sum(right) / len(right), 4) if right else None
    return {"score": model.bias, "accuracy": accuracy, "n": len(right)}


def accuracy(model: RewardModel, rankings: list[JudgedSet]) -> Accuracy:
    return accuracy_of(outcomes(rankings, scores_of(model, rankings)))


def check_reload(trained: RewardModel, folder: Path, rankings: list[JudgedSet]) -> None:
    """Load the artefact into a fresh model and score again: a head lost on the way would pass unnoticed otherwise."""
    fresh = SharedModel(trained.shared.path, trained.shared.device)
    reloaded = RewardModel.load(fresh, folder)
    answers = collate([replace(ranking, trunk=None, depths=None) for ranking in rankings], fresh)
    names = ("score", "judge", "disagreement")
    pairs = [(getattr(trained, name)(answers), getattr(reloaded, name)(answers)) for name in names]
    difference = torch.stack([one - two for one, two in pairs])[:, answers.response_mask.any(-1)].abs().max()
    if not difference <= RELOAD_TOLERANCE:
        raise AssertionError(f"the reward model scores differently after it was saved and loaded: by {difference:.2e}")


if __name__ == "__main__":
    run_recipe(train_reward_model, RewardConfig)
