"""Proximal policy optimisation: `python -m training.recipes.ppo RUN_DIR`.

One update: sample answers, score them, take the KL penalty against the reference off, estimate advantages, and go over
the batch a few times with the clipped objective. What must hold is asserted where it must hold (ppo_watch.py): these
are the mistakes that do not crash and only make the policy worse.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from training.methods import PPOConfig
from training.recipes.evaluation import best_of_n, evaluate, mean_of, of_reference, side_by_side
from training.recipes.losses.rl_math import (
    adapted_kl_coef,
    explained_variance,
    gae,
    masked_mean,
    masked_whiten,
    penalised_rewards,
    policy_loss,
    sequence_kl,
    value_loss,
)
from training.recipes.models.answers import Answers
from training.recipes.models.generation import Rollout, sample
from training.recipes.models.shared_model import SharedModel
from training.recipes.ppo_policy import Policy, digest, learned_weights, load_roles, restore_weights, save_policy
from training.recipes.ppo_watch import (
    Progress,
    check_first_ratio,
    check_masks,
    check_untrained,
    check_whitened,
    distinct_pairs,
    select,
    stop_after_learning,
    stop_after_sampling,
    watch_for_negative_kl,
)
from training.recipes.process.distributed import Processes
from training.recipes.process.errors import RecipeError
from training.recipes.process.run import Stopwatch, generator, logger, peak_rss_mb, replace_folder, run_recipe
from training.recipes.text.prompts import Prompt, read_prompts
from training.rundir import Row, RunDir

CANDIDATES = "candidates"  # weights of the evaluated updates, until one of them is chosen


@dataclass(frozen=True)
class Batch:
    """One update's episodes with everything the loss needs: those of this process. Shapes: (groups, k, r)."""

    answers: Answers
    mask: Tensor
    old_logprobs: Tensor
    old_values: Tensor
    advantages: Tensor
    returns: Tensor

    def select(self, groups: Tensor) -> Batch:
        tensors = (self.mask, self.old_logprobs, self.old_values, self.advantages, self.returns)
        return Batch(self.answers.select(groups), *(tensor[groups] for tensor in tensors))


@dataclass
class Trainer:
    """What goes through all updates of a run."""

    run: RunDir
    config: PPOConfig
    processes: Processes
    policy: Policy
    optimiser: torch.optim.Optimizer
    progress: Progress
    prompts: list[Prompt]
    held_out: list[Prompt]
    watch: Stopwatch
    previous: dict[str, Any]  # the weights from before the last update

    @property
    def updates(self) -> int:
        return self.config.episodes // self.config.batch_size


def train_policy(run: RunDir, config: PPOConfig, inputs: Row) -> Row:
    # 1. Roles and prompts, and where an earlier attempt stopped.
    processes = Processes()
    policy = load_roles(config, inputs)
    prompts, held_out, refused = split_prompts(run, policy.shared, config)
    learning = [*policy.parameters, *policy.value_head.parameters()]
    optimiser = torch.optim.AdamW(learning, lr=config.learning_rate, eps=1e-5, weight_decay=0.0)
    progress = Progress(kl_coef=config.kl_coef, start_digest=digest(policy))
    previous = load_state(run, policy, optimiser, progress)
    trainer = Trainer(
        run,
        config,
        processes,
        policy,
        optimiser,
        progress,
        prompts,
        held_out,
        Stopwatch(progress.seconds),
        previous or learned_weights(policy),
    )
    if processes.is_first:
        run.rewind(progress.update)

    # 2. How good is the policy now?
    if previous is None:
        progress.before = evaluate_policy(trainer)
        logger.info("score before: %.3f", mean_of(progress.before, "score"))
        save_state(trainer)

    # 3. Updates.
    while progress.update < trainer.updates and not progress.stopped:
        run_update(trainer)
        if progress.stopped:
            logger.info("Stopped: %s", progress.stopped)

    # 4. The best of the evaluated policies, on the same prompts with the same random numbers as before.
    if not progress.stopped and digest(policy) == progress.start_digest:
        raise AssertionError("the policy has not changed: nothing was trained")
    if not progress.evaluations or progress.evaluations[-1]["step"] != progress.update:
        keep_candidate(trainer)
    step, reason = select(progress.evaluations)
    restore_weights(policy, torch.load(candidate_path(run, step), map_location=policy.shared.device))
    after = next(row["rows"] for row in progress.evaluations if row["step"] == step)
    logger.info("Kept update %d: %s", step, reason)
    reference = evaluate_reference(trainer)

    # 5. Save.
    if processes.is_first:
        save_outcome(trainer, step, after, reference)
    return {
        "score_before": mean_of(progress.before, "score"),
        "score_after": mean_of(after, "score"),
        "judge_before": mean_of(progress.before, "judge"),
        "judge_after": mean_of(after, "judge"),
        **of_reference(reference),
        "kl": mean_of(after, "kl"),
        "kl_round_start": mean_of(after, "kl_round_start"),
        "best_of_n": best_of_n(progress.before),
        "frontier": [
            figures(0, progress.before),
            *(figures(row["step"], row["rows"]) for row in progress.evaluations if row["step"] > 0),
        ],
        "selected": {"step": step, "reason": reason},
        "episodes": progress.update * config.batch_size,
        "updates": progress.update,
        "stopped": progress.stopped,
        "refused": refused,
        "seconds": trainer.watch.total(),
        "seconds_by_stage": trainer.watch.rounded(),
        "peak_rss_mb": peak_rss_mb(),
    }


def run_update(trainer: Trainer) -> None:
    config, progress, policy = trainer.config, trainer.progress, trainer.policy
    update = progress.update + 1
    rate = config.learning_rate * (1 - (update - 1) / trainer.updates)
    with trainer.watch.measure("sample"):
        rollout = sample_episodes(policy, trainer.prompts, update, config, trainer.processes)
    with trainer.watch.measure("score"):
        batch, tokens, metrics = appraise(
            policy, rollout, progress.kl_coef, config, trainer.processes, check_fresh=update == 1
        )
    if stop := stop_after_sampling(metrics, config):
        # The step that led here went too far: the policy from before it is the one that is kept.
        restore_weights(policy, trainer.previous)
        progress.stopped = f"{stop}, at update {update}"
        return
    kl = metrics["objective/kl"]
    watch_for_negative_kl(progress, kl, metrics.pop("kl_error"))
    trainer.previous = learned_weights(policy)
    with trainer.watch.measure("update"):
        metrics |= learn(policy, trainer.optimiser, batch, tokens, rate, update, config, trainer.processes)
    if trainer.processes.is_first:
        trainer.run.log_metrics(
            update,
            **metrics,
            **{"ppo/lr": rate, "objective/kl_coef": progress.kl_coef},
            **{"time/sample_s": trainer.watch.latest["sample"], "time/update_s": trainer.watch.latest["update"]},
        )
    if stop := stop_after_learning(metrics, config):
        restore_weights(policy, trainer.previous)
        progress.stopped = f"{stop}, at update {update}"
        return
    if config.kl_target > 0:
        progress.kl_coef = adapted_kl_coef(
            progress.kl_coef,
            kl,
            target=config.kl_target,
            episodes=config.batch_size,
            horizon=config.kl_horizon * config.batch_size,
        )
    progress.update = update
    if config.eval_every and update % config.eval_every == 0:
        keep_candidate(trainer)
    if trainer.processes.is_first:
        trainer.run.report_progress(update, trainer.updates, "updates")
    logger.info("update %d of %d: score %.3f, KL %.2f", update, trainer.updates, metrics["objective/score"], kl)
    if update % config.save_every == 0 or update == trainer.updates:
        save_state(trainer)


# --- prompts ---------------------------------------------------------------------------------------------------


def split_prompts(run: RunDir, shared: SharedModel, config: PPOConfig) -> tuple[list[Prompt], list[Prompt], list[Row]]:
    """Prompts to train on, prompts to evaluate on, and the refused ones."""
    most = min(config.max_prompt_tokens, shared.longest - config.max_new_tokens - 1)
    prompts, refused = read_prompts(shared.tokenizer, list(run.rows()), most)
    train = [prompt for prompt in prompts if prompt.split == "train"]
    held_out = [prompt for prompt in prompts if prompt.split == "eval"]
    if not train:
        raise RecipeError(f"There is no prompt to train on ({len(refused)} refused: {refused[:1]})")
    if not held_out:
        logger.info("No eval prompts: the scores before and after are those of prompts that were trained on")
    return train, held_out or train, refused


def prompts_of_update(prompts: list[Prompt], update: int, groups: int, seed: int) -> list[Prompt]:
    """The next prompts of an endless sequence of shuffled passes; update numbers count from 1."""
    chosen = []
    for place in range((update - 1) * groups, update * groups):
        turn, index = divmod(place, len(prompts))
        order = torch.randperm(len(prompts), generator=generator(seed, "prompts", turn))
        chosen.append(prompts[int(order[index])])
    return chosen


# --- one update ------------------------------------------------------------------------------------------------


def sample_episodes(
    policy: Policy, prompts: list[Prompt], update: int, config: PPOConfig, processes: Processes
) -> Rollout:
    groups = config.batch_size // config.completions_per_prompt
    first, count = processes.share(groups)
    chosen = prompts_of_update(prompts, update, groups, config.seed)[first : first + count]
    return sample(
        policy.actor,
        policy.role,
        [prompt.tokens for prompt in chosen],
        count=config.completions_per_prompt,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        generator=generator(config.seed, "episodes", update),
        keep_trunk=True,
        among=(first, groups),
    )


@torch.no_grad()
def appraise(
    policy: Policy,
    rollout: Rollout,
    kl_coef: float,
    config: PPOConfig,
    processes: Processes,
    *,
    check_fresh: bool = False,
) -> tuple[Batch, Tensor, dict[str, float]]:
    """Scores, KL penalty, advantages.

    Returns this process's batch, how many tokens each group of the whole batch has (groups of all processes,), and the
    metrics: means over the whole batch, before it is learned from.
    """
    check_masks(policy.shared, rollout)
    answers, mask = policy.shared.with_trunk(rollout.answers), rollout.drawn
    reference = policy.reference_logprobs(answers, mask, config.temperature)
    if check_fresh and policy.fresh:
        check_untrained(policy.logprobs(answers, mask, config.temperature), reference)
    start = reference if policy.fresh else policy.start_logprobs(answers, mask, config.temperature)
    score = policy.reward_model.score(answers)
    if config.disagreement_coef:
        score = score - config.disagreement_coef * policy.reward_model.disagreement(answers)
    if config.missing_eos == "replace":
        score = torch.where(rollout.finished, score, config.missing_eos_score)
    values = policy.values(answers, rollout.before).masked_fill(~mask, 0.0)

    # From here on every process has the numbers of all episodes. Shapes: (b,) and (b, t).
    def everybody(tensor: Tensor) -> Tensor:
        return processes.gather(tensor.flatten(0, 1))

    logprobs, old_values, drawn, all_scores = map(everybody, (rollout.logprobs, values, mask, score))
    rewards = penalised_rewards(all_scores, logprobs, reference := everybody(reference), drawn, kl_coef)
    total = rewards.sum(-1)
    if config.whiten_rewards:
        rewards = masked_whiten(rewards, drawn, shift_mean=False)
    advantages, returns = gae(rewards, old_values, drawn, gamma=config.gamma, lam=config.gae_lambda)
    advantages = masked_whiten(advantages, drawn)
    check_whitened(advantages, drawn)
    kl = sequence_kl(logprobs, reference, drawn)
    groups, per_group, length = mask.shape
    own = slice(processes.rank * groups * per_group, (processes.rank + 1) * groups * per_group)
    batch = Batch(
        answers=answers,
        mask=mask,
        old_logprobs=rollout.logprobs,
        old_values=values,
        advantages=advantages[own, :length].view_as(values),
        returns=returns[own, :length].view_as(values),
    )
    lengths = drawn.sum(-1).float()
    return (
        batch,
        drawn.sum(-1).view(-1, per_group).sum(-1),
        {
            "objective/kl": float(kl.mean()),
            "kl_error": float(kl.std() / len(kl) ** 0.5),
            "objective/kl_round_start": float(sequence_kl(logprobs, everybody(start), drawn).mean()),
            "objective/score": float(all_scores.mean()),
            "objective/reward_total": float(total.mean()),
            "objective/entropy": float(masked_mean(everybody(rollout.entropy), drawn)),
            "ppo/explained_variance": float(explained_variance(old_values, returns, drawn)),
            "response/length": float(lengths.mean()),
            "response/eos_share": float(everybody(rollout.finished[..., None]).float().mean()),
            "response/distinct_2": float(
                processes.gather(distinct_pairs(answers.response.flatten(0, 1), mask.flatten(0, 1))).mean()
            ),
        },
    )


def learn(
    policy: Policy,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    tokens: Tensor,
    rate: float,
    update: int,
    config: PPOConfig,
    processes: Processes,
) -> dict[str, float]:
    """Several passes over the batch in minibatches of whole groups. The metrics are means over all of them."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    trained = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    first, count = processes.share(len(tokens))
    history: list[Tensor] = []  # policy loss, value loss, clipfrac, approxkl, mean ratio, gradient norm
    for epoch in range(config.ppo_epochs):
        for groups in minibatches(len(tokens), config, update, epoch):
            own = groups[(groups >= first) & (groups < first + count)] - first
            optimiser.zero_grad()
            sums = torch.zeros(5)
            if len(own):
                part = batch.select(own)
                losses = minibatch_loss(policy, part, config, int(tokens[groups].sum()))
                if not history:
                    check_first_ratio(losses["ratios"][part.mask.flatten(0, 1)])
                losses["loss"].backward()
                names = ("policy", "value", "clipfrac", "approxkl", "ratio")
                sums = torch.stack([losses[name].detach() for name in names]).cpu()
            for parameter in trained:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            processes.add_up([sums, *(parameter.grad for parameter in trained)])
            norm = nn.utils.clip_grad_norm_(trained, config.max_grad_norm)
            optimiser.step()
            history.append(torch.cat([sums, norm.detach().cpu()[None]]))
    table = torch.stack(history)
    means = table.mean(0).tolist()
    logged = ("ppo/policy_loss", "ppo/value_loss", "ppo/clipfrac", "ppo/approxkl")
    return {
        **dict(zip(logged, means[:4], strict=True)),
        "ppo/grad_norm": means[5],
        "ppo/ratio_first_minibatch": float(table[0, 4]),
        "ppo/ratio_max": float(table[:, 4].max()),
    }


def minibatches(groups: int, config: PPOConfig, update: int, epoch: int) -> Iterator[Tensor]:
    order = torch.randperm(groups, generator=generator(config.seed, "minibatches", update, epoch))
    yield from order.split(config.minibatch_size // config.completions_per_prompt)


def minibatch_loss(policy: Policy, part: Batch, config: PPOConfig, tokens: int) -> dict[str, Tensor]:
    """Losses over this part of a minibatch that has `tokens` tokens in all, so that parts add up to its mean."""
    reading = policy.read(part.answers)
    logprobs = policy.actor.logprobs(reading, part.answers, part.mask, config.temperature)
    values = policy.values(part.answers, reading.before)
    mask = part.mask.flatten(0, 1)
    outcome = policy_loss(
        logprobs.flatten(0, 1),
        part.old_logprobs.flatten(0, 1),
        part.advantages.flatten(0, 1),
        mask,
        config.clip_range,
        tokens,
    )
    squared = value_loss(
        values.flatten(0, 1),
        part.old_values.flatten(0, 1),
        part.returns.flatten(0, 1),
        mask,
        config.value_clip_range,
        tokens,
    )
    return {
        "loss": outcome.loss + config.value_coef * squared,
        "policy": outcome.loss,
        "value": squared,
        "clipfrac": outcome.clipfrac,
        "approxkl": outcome.approxkl,
        "ratio": masked_mean(outcome.ratio, mask, tokens),
        "ratios": outcome.ratio,
    }


# --- evaluation ------------------------------------------------------------------------------------------------


def evaluate_policy(trainer: Trainer) -> list[Row]:
    policy, config = trainer.policy, trainer.config
    model, role = policy.start
    with trainer.watch.measure("evaluate"):
        return evaluate(
            policy.actor,
            policy.role,
            policy.reward_model,
            trainer.held_out,
            completions=config.eval_completions,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            seed=config.seed,
            batch_size=config.batch_size,
            reference=policy.shared,
            round_start=None if policy.fresh else (model, role),
            processes=trainer.processes,
        )


def evaluate_reference(trainer: Trainer) -> list[Row]:
    """What the reference answers, where the round began with another policy; empty where it began with it."""
    policy, config = trainer.policy, trainer.config
    if policy.fresh:
        return []
    with trainer.watch.measure("evaluate"):
        return evaluate(
            policy.shared,
            None,
            policy.reward_model,
            trainer.held_out,
            completions=config.eval_completions,
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            seed=config.seed,
            batch_size=config.batch_size,
            processes=trainer.processes,
        )


def keep_candidate(trainer: Trainer) -> None:
    """Evaluate the policy as it is, and keep its weights until the best is chosen."""
    update, rows = trainer.progress.update, evaluate_policy(trainer)
    trainer.progress.evaluations.append({**figures(update, rows), "by_prompt": by_prompt(rows), "rows": rows})
    if trainer.processes.is_first:
        path = candidate_path(trainer.run, update)
        path.parent.mkdir(exist_ok=True)
        torch.save(learned_weights(trainer.policy), path)
    trainer.processes.wait()


def candidate_path(run: RunDir, update: int) -> Path:
    return run.path / CANDIDATES / f"{update}.pt"


def figures(step: int, rows: list[Row]) -> Row:
    return {"step": step, **{name: mean_of(rows, name) for name in ("kl", "score", "judge")}}


def by_prompt(rows: list[Row]) -> list[float]:
    """The judge's mean for each prompt, in the order of the prompts; empty without a judge."""
    scores: dict[Any, list[float]] = {}
    for row in rows:
        if row["judge"] is not None:
            scores.setdefault(row["prompt_id"], []).append(row["judge"])
    return [fmean(values) for values in scores.values()]


# --- state -----------------------------------------------------------------------------------------------------


def save_outcome(trainer: Trainer, step: int, after: list[Row], reference: list[Row]) -> None:
    run = trainer.run
    replace_folder(run.checkpoint_path, lambda folder: save_policy(trainer.policy, folder))
    run.samples_path.unlink(missing_ok=True)
    for row in side_by_side(trainer.progress.before, after, reference):
        run.log_sample({"step": step, **row})
    shutil.rmtree(run.path / CANDIDATES, ignore_errors=True)


def save_state(trainer: Trainer) -> None:
    """All that the next update depends on. Random numbers need no saving: each use has a seed of its own."""
    if not trainer.processes.is_first:
        return
    trainer.progress.seconds = dict(trainer.watch.spent)
    state = {
        "weights": learned_weights(trainer.policy),
        "previous": trainer.previous,
        "optimiser": trainer.optimiser.state_dict(),
        "progress": vars(trainer.progress),
    }
    trainer.run.save_state(lambda folder: torch.save(state, folder / "ppo.pt"))


def load_state(
    run: RunDir, policy: Policy, optimiser: torch.optim.Optimizer, progress: Progress
) -> dict[str, Any] | None:
    """Fill policy, optimiser and progress from the last state; the weights before its last update, None if fresh."""
    folder = run.load_state()
    if folder is None:
        return None
    state = torch.load(folder / "ppo.pt", map_location=policy.shared.device, weights_only=True)
    restore_weights(policy, state["weights"])
    optimiser.load_state_dict(state["optimiser"])
    vars(progress).update(state["progress"])
    logger.info("Going on after update %d", progress.update)
    previous: dict[str, Any] = state["previous"]
    return previous


if __name__ == "__main__":
    run_recipe(train_policy, PPOConfig)
