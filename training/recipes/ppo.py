"""Proximal policy optimisation: `python -m training.recipes.ppo RUN_DIR`.

One update: sample answers, score them, take the KL penalty against the reference off, estimate advantages, and go over
the batch a few times with the clipped objective. What must hold is asserted where it must hold: these are the mistakes
that do not crash and only make the policy worse.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.methods import PPOConfig
from training.recipes import checkpoints
from training.recipes.common import (
    RecipeError,
    Stopwatch,
    generator,
    logger,
    peak_rss_mb,
    pick_device,
    replace_folder,
    required_path,
    run_recipe,
)
from training.recipes.evaluation import best_of_n, evaluate, mean_of
from training.recipes.generation import Rollout, sample
from training.recipes.prompts import Prompt, read_prompts
from training.recipes.reward_model import RewardModel
from training.recipes.rl_math import (
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
from training.recipes.roles import Answers, SharedModel, role_logprobs
from training.rundir import Row, RunDir

POLICY, ROUND_START = "policy", "round_start"
VALUE_HEAD_FILE = "value_head.safetensors"
# The sampler reads token by token through a cache, the update all at once: float32 rounds the two differently.
RATIO_TOLERANCE_MEAN, RATIO_TOLERANCE_MAX = 1e-4, 2e-3
NEGATIVE_KL_UPDATES = 3
NEGATIVE_KL_ERRORS = 3.0


@dataclass
class Policy:
    """The roles on the shared model, and what learns."""

    shared: SharedModel
    reward_model: RewardModel
    value_head: nn.Linear
    fresh: bool  # at the start of the round the policy is the reference itself
    parameters: list[nn.Parameter] = field(default_factory=list)


@dataclass
class Progress:
    """What a resumed run must know besides the weights. All of it is plain JSON."""

    update: int = 0
    kl_coef: float = 0.0
    negative_kl: int = 0  # updates in a row whose KL was below zero by more than its error explains
    stopped: str | None = None
    start_digest: str = ""
    before: list[Row] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """One update's episodes with everything the loss needs. Shapes: (groups, k, r)."""

    answers: Answers
    mask: Tensor
    old_logprobs: Tensor
    old_values: Tensor
    advantages: Tensor
    returns: Tensor

    def select(self, groups: Tensor) -> Batch:
        tensors = (self.mask, self.old_logprobs, self.old_values, self.advantages, self.returns)
        return Batch(self.answers.select(groups), *(tensor[groups] for tensor in tensors))


def train_policy(run: RunDir, config: PPOConfig, inputs: Row) -> Row:
    # 1. Roles and prompts.
    policy = load_roles(config, inputs)
    prompts, held_out, refused = split_prompts(run, policy.shared, config)
    optimiser = torch.optim.AdamW(
        [*policy.parameters, *policy.value_head.parameters()], lr=config.learning_rate, eps=1e-5, weight_decay=0.0
    )
    updates = config.episodes // config.batch_size

    # 2. Where an earlier attempt stopped, or the start: how good is the policy now?
    progress = Progress(kl_coef=config.kl_coef, start_digest=digest(policy))
    previous = load_state(run, policy, optimiser, progress)
    watch = Stopwatch(progress.seconds)
    run.rewind(progress.update)
    if previous is None:
        previous = learned_weights(policy)
        with watch.measure("evaluate"):
            progress.before = evaluate_policy(policy, held_out, config)
        logger.info("score before: %.3f", fmean(row["score"] for row in progress.before))
        save_state(run, policy, optimiser, progress, previous, watch)

    # 3. Updates.
    while progress.update < updates and not progress.stopped:
        update = progress.update + 1
        rate = config.learning_rate * (1 - (update - 1) / updates)
        with watch.measure("sample"):
            rollout = sample_episodes(policy, prompts, update, config)
        with watch.measure("score"):
            batch, metrics = appraise(policy, rollout, progress.kl_coef, config, check_fresh=update == 1)
        kl = metrics["objective/kl"]
        if kl > config.kl_limit:
            # The step that led here went too far: the policy from before it is the one that is kept.
            restore_weights(policy, previous)
            progress.stopped = f"KL of {kl:.1f} nats exceeded the limit of {config.kl_limit:g} at update {update}"
            logger.info("%s", progress.stopped)
            break
        watch_for_negative_kl(progress, kl, metrics.pop("kl_error"))
        previous = learned_weights(policy)
        with watch.measure("update"):
            metrics |= learn(policy, optimiser, batch, rate, update, config)
        run.log_metrics(
            update,
            **metrics,
            **{"ppo/lr": rate, "objective/kl_coef": progress.kl_coef},
            **{"time/sample_s": watch.latest["sample"], "time/update_s": watch.latest["update"]},
        )
        if config.kl_target > 0:
            progress.kl_coef = adapted_kl_coef(
                progress.kl_coef, kl, target=config.kl_target, episodes=config.batch_size,
                horizon=config.kl_horizon * config.batch_size,
            )  # fmt: skip
        progress.update = update
        run.report_progress(update, updates, "updates")
        logger.info("update %d of %d: score %.3f, KL %.2f", update, updates, metrics["objective/score"], kl)
        if update % config.save_every == 0 or update == updates:
            save_state(run, policy, optimiser, progress, previous, watch)

    # 4. The same prompts and random numbers again, with the policy as it is now.
    if not progress.stopped and digest(policy) == progress.start_digest:
        raise AssertionError("the policy has not changed: nothing was trained")
    with watch.measure("evaluate"):
        after = evaluate_policy(policy, held_out, config)

    # 5. Save.
    replace_folder(run.checkpoint_path, lambda folder: save_policy(policy, folder))
    run.samples_path.unlink(missing_ok=True)
    for old, new in zip(progress.before, after, strict=True):
        run.log_sample({
            "step": progress.update, "prompt_id": new["prompt_id"], "before": old["text"], "after": new["text"],
            "score_before": old["score"], "score_after": new["score"],
        })  # fmt: skip
    return {
        "score_before": mean_of(progress.before, "score"),
        "score_after": mean_of(after, "score"),
        "kl": mean_of(after, "kl"),
        "kl_round_start": mean_of(after, "kl_round_start"),
        "best_of_n": best_of_n(progress.before),
        "episodes": progress.update * config.batch_size,
        "updates": progress.update,
        "stopped": progress.stopped,
        "refused": refused,
        "seconds": watch.total(),
        "seconds_by_stage": watch.rounded(),
        "peak_rss_mb": peak_rss_mb(),
    }


# --- roles and prompts -----------------------------------------------------------------------------------------


def load_roles(config: PPOConfig, inputs: Row) -> Policy:
    start = checkpoints.resolve(required_path(inputs, "policy"))
    shared = SharedModel(start.base, pick_device())
    value_head = nn.Linear(shared.hidden_size, 1)
    nn.init.zeros_(value_head.weight)
    nn.init.zeros_(value_head.bias)
    if start.adapter is None:
        shared.add_adapter(POLICY, rank=config.lora_rank, top_blocks=config.top_blocks)
    else:
        # A later round goes on from an adapter. The reference stays the base below it; where the round began is kept
        # as a role of its own, to report the KL to both.
        shared.load_adapter(POLICY, start.adapter)
        shared.load_adapter(ROUND_START, start.adapter)
        if (start.adapter / VALUE_HEAD_FILE).exists():
            value_head.load_state_dict(load_file(start.adapter / VALUE_HEAD_FILE))
    reward_model = RewardModel.load(shared, Path(required_path(inputs, "reward_model")))
    policy = Policy(shared, reward_model, value_head.to(shared.device), fresh=start.adapter is None)
    policy.parameters = shared.learn(POLICY)
    return policy


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


def sample_episodes(policy: Policy, prompts: list[Prompt], update: int, config: PPOConfig) -> Rollout:
    groups = config.batch_size // config.completions_per_prompt
    return sample(
        policy.shared,
        POLICY,
        [prompt.tokens for prompt in prompts_of_update(prompts, update, groups, config.seed)],
        count=config.completions_per_prompt,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        generator=generator(config.seed, "episodes", update),
        keep_trunk=True,
    )


@torch.no_grad()
def appraise(
    policy: Policy, rollout: Rollout, kl_coef: float, config: PPOConfig, *, check_fresh: bool = False
) -> tuple[Batch, dict[str, float]]:
    """Scores, KL penalty, advantages. The metrics are means over this batch, before it is learned from."""
    check_masks(policy.shared, rollout)
    shared, answers, mask = policy.shared, rollout.answers, rollout.drawn
    reference = role_logprobs(shared, answers, mask, None, config.temperature)
    if check_fresh and policy.fresh:
        difference = role_logprobs(shared, answers, mask, POLICY, config.temperature) - reference
        if float(difference.abs().max()) != 0:
            raise AssertionError("an untrained policy differs from its reference")
    start = reference if policy.fresh else role_logprobs(shared, answers, mask, ROUND_START, config.temperature)
    raw_score = policy.reward_model.score(answers)
    score = raw_score
    if config.missing_eos == "replace":
        score = torch.where(rollout.finished, score, config.missing_eos_score)

    def flat(tensor: Tensor) -> Tensor:
        return tensor.flatten(0, 1)

    values = policy.value_head(rollout.before)[..., 0].masked_fill(~mask, 0.0)
    rewards = penalised_rewards(flat(score), flat(rollout.logprobs), flat(reference), flat(mask), kl_coef)
    total = rewards.sum(-1)
    if config.whiten_rewards:
        rewards = masked_whiten(rewards, flat(mask), shift_mean=False)
    advantages, returns = gae(rewards, flat(values), flat(mask), gamma=config.gamma, lam=config.gae_lambda)
    kl = sequence_kl(flat(rollout.logprobs), flat(reference), flat(mask))
    batch = Batch(
        answers=answers,
        mask=mask,
        old_logprobs=rollout.logprobs,
        old_values=values,
        advantages=masked_whiten(advantages, flat(mask)).view_as(values),
        returns=returns.view_as(values),
    )
    return batch, {
        "objective/kl": float(kl.mean()),
        "kl_error": float(kl.std() / len(kl) ** 0.5),
        "objective/kl_round_start": float(sequence_kl(flat(rollout.logprobs), flat(start), flat(mask)).mean()),
        "objective/score": float(score.mean()),
        "objective/reward_total": float(total.mean()),
        "objective/entropy": float(masked_mean(flat(rollout.entropy), flat(mask))),
        "ppo/explained_variance": float(explained_variance(flat(values), returns, flat(mask))),
        "response/length": float(rollout.lengths.float().mean()),
        "response/eos_share": float(rollout.finished.float().mean()),
    }


def learn(
    policy: Policy, optimiser: torch.optim.Optimizer, batch: Batch, rate: float, update: int, config: PPOConfig
) -> dict[str, float]:
    """Several passes over the batch in minibatches of whole groups. The metrics are means over all of them."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    trained = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    history: list[dict[str, float]] = []
    first_ratio = 1.0
    for epoch in range(config.ppo_epochs):
        for groups in minibatches(batch, config, update, epoch):
            part = batch.select(groups)
            losses = minibatch_loss(policy, part, config)
            if not history:
                first_ratio = check_first_ratio(losses["ratio"][part.mask.flatten(0, 1)])
            optimiser.zero_grad()
            losses["loss"].backward()
            norm = nn.utils.clip_grad_norm_(trained, config.max_grad_norm)
            optimiser.step()
            history.append({
                "ppo/policy_loss": float(losses["policy"].detach()),
                "ppo/value_loss": float(losses["value"].detach()),
                "ppo/clipfrac": float(losses["clipfrac"]),
                "ppo/approxkl": float(losses["approxkl"]),
                "ppo/grad_norm": float(norm),
            })  # fmt: skip
    means = {name: fmean(entry[name] for entry in history) for name in history[0]}
    return {**means, "ppo/ratio_first_minibatch": first_ratio}


def minibatches(batch: Batch, config: PPOConfig, update: int, epoch: int) -> Iterator[Tensor]:
    groups = batch.mask.shape[0]
    order = torch.randperm(groups, generator=generator(config.seed, "minibatches", update, epoch))
    yield from order.split(config.minibatch_size // config.completions_per_prompt)


def minibatch_loss(policy: Policy, part: Batch, config: PPOConfig) -> dict[str, Tensor]:
    reading = policy.shared.read(part.answers, POLICY)
    logprobs = policy.shared.logprobs(reading, part.answers, part.mask, config.temperature)
    values = policy.value_head(reading.before)[..., 0]
    mask = part.mask.flatten(0, 1)
    outcome = policy_loss(
        logprobs.flatten(0, 1), part.old_logprobs.flatten(0, 1), part.advantages.flatten(0, 1), mask, config.clip_range
    )
    squared = value_loss(
        values.flatten(0, 1), part.old_values.flatten(0, 1), part.returns.flatten(0, 1), mask, config.value_clip_range
    )
    return {
        "loss": outcome.loss + config.value_coef * squared,
        "policy": outcome.loss,
        "value": squared,
        "clipfrac": outcome.clipfrac,
        "approxkl": outcome.approxkl,
        "ratio": outcome.ratio,
    }


# --- what must hold --------------------------------------------------------------------------------------------


def check_masks(shared: SharedModel, rollout: Rollout) -> None:
    if shared.pad == shared.eos:
        raise AssertionError("padding and EOS are the same token")
    closing = rollout.answers.response_mask & ~rollout.drawn
    if (rollout.drawn & ~rollout.answers.response_mask).any() or (closing.sum(-1) != (~rollout.finished).long()).any():
        raise AssertionError("drawn tokens and scored tokens do not fit together")
    if rollout.logprobs[~rollout.drawn].any() or (rollout.logprobs > 1e-4).any():
        raise AssertionError("log-probabilities outside the drawn tokens, or above 0")


def check_first_ratio(ratio: Tensor) -> float:
    """Before the first step the policy is the one that sampled. If not, sampler and update disagree about something."""
    mean, worst = float(ratio.mean()), float((ratio - 1).abs().max())
    if abs(mean - 1) > RATIO_TOLERANCE_MEAN or worst > RATIO_TOLERANCE_MAX:
        raise AssertionError(f"ratio {mean:.6f} on the first minibatch, off by up to {worst:.1e}: it must be 1")
    return mean


def watch_for_negative_kl(progress: Progress, kl: float, error: float) -> None:
    """A KL is never negative; its estimate dips below zero by chance, but not time after time by several errors."""
    progress.negative_kl = progress.negative_kl + 1 if kl < -NEGATIVE_KL_ERRORS * error else 0
    if progress.negative_kl >= NEGATIVE_KL_UPDATES:
        raise AssertionError(f"the KL has been negative for {progress.negative_kl} updates (now {kl:.3f})")


# --- evaluation ------------------------------------------------------------------------------------------------


def evaluate_policy(policy: Policy, prompts: list[Prompt], config: PPOConfig) -> list[Row]:
    return evaluate(
        policy.shared,
        POLICY,
        policy.reward_model,
        prompts,
        completions=config.eval_completions,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        seed=config.seed,
        batch_size=config.batch_size,
        round_start=None if policy.fresh else ROUND_START,
    )


# --- weights and state -----------------------------------------------------------------------------------------


def save_policy(policy: Policy, folder: Path) -> None:
    policy.shared.save_adapter(POLICY, folder)
    save_file(
        {name: tensor.detach().cpu() for name, tensor in policy.value_head.state_dict().items()},
        folder / VALUE_HEAD_FILE,
    )


def digest(policy: Policy) -> str:
    """SHA-256 of the policy's adapter."""
    total = hashlib.sha256()
    for name, tensor in sorted(policy.shared.adapter_weights(POLICY).items()):
        total.update(name.encode())
        total.update(tensor.numpy().tobytes())
    return total.hexdigest()


def learned_weights(policy: Policy) -> dict[str, Any]:
    head = {name: tensor.detach().clone() for name, tensor in policy.value_head.state_dict().items()}
    return {"adapter": policy.shared.adapter_weights(POLICY), "value_head": head}


def restore_weights(policy: Policy, weights: dict[str, Any]) -> None:
    policy.shared.load_adapter_weights(POLICY, weights["adapter"])
    policy.value_head.load_state_dict(weights["value_head"])


def save_state(
    run: RunDir,
    policy: Policy,
    optimiser: torch.optim.Optimizer,
    progress: Progress,
    previous: dict[str, Any],
    watch: Stopwatch,
) -> None:
    """All that the next update depends on. Random numbers need no saving: each use has a seed of its own."""
    progress.seconds = dict(watch.spent)
    state = {
        "weights": learned_weights(policy),
        "previous": previous,
        "optimiser": optimiser.state_dict(),
        "progress": vars(progress),
    }
    run.save_state(lambda folder: torch.save(state, folder / "ppo.pt"))


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
