"""Episodes of one PPO update: which prompts, the sampled answers, their scores, KL penalty and advantages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from training.methods import PPOConfig
from training.phrases import phrase
from training.recipes.losses.rl_math import (
    explained_variance,
    gae,
    masked_mean,
    masked_whiten,
    penalised_rewards,
    sequence_kl,
)
from training.recipes.models.answers import Answers
from training.recipes.models.generation import Drawing, Rollout, sample
from training.recipes.models.shared_model import SharedModel
from training.recipes.process import precision
from training.recipes.process.distributed import Processes
from training.recipes.process.errors import nothing_usable
from training.recipes.process.log import logger
from training.recipes.process.seeds import generator
from training.recipes.rl.guards import check_masks, check_own_sampler, check_untrained, check_whitened, distinct_pairs
from training.recipes.rl.policy import Policy
from training.recipes.text.prompts import PromptTokens, read_prompts
from training.rundir import Row, RunDir

GAP_OF_ROUNDING = 2e-3  # nats between sampler and trainer in float32
WEIGHT_LIMIT = 2.0


@dataclass(frozen=True)
class Batch:
    """One update's episodes with everything the loss needs: those of this process. Shapes: (groups, k, r)."""

    answers: Answers
    mask: Tensor
    old_logprobs: Tensor
    weights: Tensor  # of each token: how much likelier the trainer finds it than the sampler, see sampler_weights
    old_values: Tensor
    advantages: Tensor
    returns: Tensor

    def select(self, groups: Tensor) -> Batch:
        tensors = (self.mask, self.old_logprobs, self.weights, self.old_values, self.advantages, self.returns)
        return Batch(self.answers.select(groups), *(tensor[groups] for tensor in tensors))


def split_prompts(
    run: RunDir, shared: SharedModel, config: PPOConfig
) -> tuple[list[PromptTokens], list[PromptTokens], list[Row]]:
    """Return the prompts to train on, those to evaluate on, and the refused ones."""
    most = min(config.max_prompt_tokens, shared.longest - config.max_new_tokens - 1)
    rows = list(run.rows())
    prompts, refused = read_prompts(shared.chat, rows, most)
    train = [prompt for prompt in prompts if prompt.split == "train"]
    held_out = [prompt for prompt in prompts if prompt.split == "eval"]
    if not train:
        raise nothing_usable(phrase("There is no prompt to train on"), len(rows), refused)
    if not held_out:
        logger.info("No eval prompts: the scores before and after are those of prompts that were trained on")
    return train, held_out or train, refused


def prompts_of_update(prompts: list[PromptTokens], update: int, groups: int, seed: int) -> list[PromptTokens]:
    """Return the prompts of an update, from an endless sequence of shuffled passes; updates count from 1."""
    chosen = []
    for place in range((update - 1) * groups, update * groups):
        turn, index = divmod(place, len(prompts))
        order = torch.randperm(len(prompts), generator=generator(seed, "prompts", turn))
        chosen.append(prompts[int(order[index])])
    return chosen


def sample_episodes(
    policy: Policy, prompts: list[PromptTokens], update: int, config: PPOConfig, processes: Processes
) -> Rollout:
    groups = config.batch_size // config.completions_per_prompt
    first, count = processes.share(groups)
    chosen = prompts_of_update(prompts, update, groups, config.seed)[first : first + count]
    return sample(
        policy.actor,
        policy.role,
        [prompt.tokens for prompt in chosen],
        Drawing(config.completions_per_prompt, config.max_new_tokens, config.temperature, config.sampling_batch),
        generator(config.seed, "episodes", update),
        keep_trunk=True,
        among=(first, groups),
    )


@torch.no_grad()
def score_rollouts(
    policy: Policy,
    rollout: Rollout,
    kl_coef: float,
    config: PPOConfig,
    processes: Processes,
    *,
    check_fresh: bool = False,
) -> tuple[Batch, Tensor, dict[str, float]]:
    """Score the answers, take the KL penalty off and estimate advantages.

    Return this process's batch, the number of tokens in each group of the whole batch (groups of all processes,), and
    the metrics: means over the whole batch, before it is learned from.
    """
    check_masks(policy.shared, rollout)
    answers, mask = policy.shared.with_trunk(rollout.answers), rollout.drawn
    reference = policy.reference_logprobs(answers, mask, config.temperature)
    own = read_as_trainer(policy, rollout, answers, config.temperature, whole=check_fresh)
    if check_fresh and policy.fresh:
        check_untrained(own.logprobs, reference)
    old = own.logprobs
    start = reference if policy.fresh else policy.start_logprobs(answers, mask, config.temperature)
    score = penalised_scores(policy, rollout, answers, config)
    values = policy.values(answers, own.before).masked_fill(~mask, 0.0)

    # From here on every process has the numbers of all episodes. Shapes: (b,) and (b, t).
    def of_all(tensor: Tensor) -> Tensor:
        return processes.gather(tensor.flatten(0, 1))

    logprobs, reference, old_values, drawn = map(of_all, (old, reference, values, mask))
    scores = of_all(score)
    rewards = penalised_rewards(scores, logprobs, reference, drawn, kl_coef)
    advantages, returns = estimate_advantages(rewards, old_values, drawn, config)
    groups, per_group, length = mask.shape
    mine = slice(processes.rank * groups * per_group, (processes.rank + 1) * groups * per_group)
    batch = Batch(
        answers=answers,
        mask=mask,
        old_logprobs=old,
        weights=sampler_weights(old, rollout.logprobs, mask),
        old_values=values,
        advantages=advantages[mine, :length].view_as(values),
        returns=returns[mine, :length].view_as(values),
    )
    kl = sequence_kl(logprobs, reference, drawn)
    metrics = {
        "objective/kl": float(kl.mean()),
        "kl_error": float(kl.std() / len(kl) ** 0.5),
        "objective/kl_round_start": float(sequence_kl(logprobs, of_all(start), drawn).mean()),
        "objective/score": float(scores.mean()),
        "objective/score_total": float(rewards.sum(-1).mean()),
        "ppo/policy/entropy": float(masked_mean(of_all(rollout.entropy), drawn)),
        "ppo/val/var_explained": float(explained_variance(old_values, returns, drawn)),
        **sampler_metrics(own, of_all),
        **answer_metrics(rollout, drawn, of_all),
    }
    return batch, drawn.sum(-1).view(-1, per_group).sum(-1), metrics


class TrainerReading(NamedTuple):
    """What the policy itself says about its answers: log-probabilities (g, k, r), and the states that give values.

    `gap` (n, k, r) is by how many nats the sampler's log-probabilities are above the trainer's in the n groups that
    were read for it; `compared` marks their drawn tokens.
    """

    logprobs: Tensor
    before: Tensor
    gap: Tensor
    compared: Tensor


def read_as_trainer(
    policy: Policy, rollout: Rollout, answers: Answers, temperature: float, *, whole: bool
) -> TrainerReading:
    """Return the policy's reading of its own answers. Raises AssertionError where the sampler read them differently.

    In float32 the sampler's numbers are the trainer's up to rounding: they are kept, and the first group is read anew
    to make sure of it, all groups where `whole`. In bfloat16 the two round differently, so that all is read anew.
    """
    mask = rollout.drawn
    exact = precision.current() == torch.float32 and not whole
    chosen = torch.arange(1 if exact else len(mask), device=mask.device)
    some, drawn, sampled = answers.select(chosen), mask[chosen], rollout.logprobs[chosen]
    reading = policy.read(some)
    logprobs = policy.actor.logprobs(reading, some, drawn, temperature)
    check_own_sampler(logprobs, sampled, drawn)
    gap = sampled - logprobs
    if exact:
        return TrainerReading(rollout.logprobs, rollout.before, gap, drawn)
    return TrainerReading(logprobs, reading.before, gap, drawn)


def sampler_metrics(own: TrainerReading, of_all: Callable[[Tensor], Tensor]) -> dict[str, float]:
    """Return how far the sampler's log-probabilities are from the trainer's, over what was read for it."""
    gap, compared = of_all(own.gap), of_all(own.compared)
    return {
        "ppo/sampler_kl": float(masked_mean(gap, compared)),
        "ppo/sampler_gap": float(gap[compared].abs().max()),
    }


def sampler_weights(trainer: Tensor, sampler: Tensor, mask: Tensor) -> Tensor:
    """Return p_trainer / p_sampler of each token, cut at WEIGHT_LIMIT; 1 where they differ by rounding only.

    The sampler reads token by token, perhaps in another number format or program: what it drew is then not quite what
    the trainer's policy would have drawn (truncated importance sampling, Yao et al. 2025). Shapes: (g, k, r).
    """
    difference = (trainer - sampler).masked_fill(~mask, 0.0)
    if not difference.numel() or float(difference.abs().max()) <= GAP_OF_ROUNDING:
        return torch.ones_like(difference)
    return difference.exp().clamp(max=WEIGHT_LIMIT)


def penalised_scores(policy: Policy, rollout: Rollout, answers: Answers, config: PPOConfig) -> Tensor:
    """Return the score of each answer (g, k) as people see it, less what disagreement and a missing end cost."""
    score = rollout.read_as_seen(policy.shared, answers, policy.reward_model.score)
    if config.disagreement_coef:
        doubt = rollout.read_as_seen(policy.shared, answers, policy.reward_model.disagreement)
        score = score - config.disagreement_coef * doubt
    if config.missing_eos == "replace":
        score = torch.where(rollout.finished, score, config.missing_eos_score)
    return score


def estimate_advantages(rewards: Tensor, values: Tensor, drawn: Tensor, config: PPOConfig) -> tuple[Tensor, Tensor]:
    """Return whitened advantages and returns, (b, t) each, of the whole batch."""
    if config.whiten_rewards:
        rewards = masked_whiten(rewards, drawn, shift_mean=False)
    advantages, returns = gae(rewards, values, drawn, gamma=config.gamma, lam=config.gae_lambda)
    advantages = masked_whiten(advantages, drawn)
    check_whitened(advantages, drawn)
    return advantages, returns


def answer_metrics(rollout: Rollout, drawn: Tensor, of_all: Callable[[Tensor], Tensor]) -> dict[str, float]:
    """Return length, share of finished answers and variety of the whole batch's answers."""
    response, own = rollout.answers.response, rollout.drawn
    distinct = distinct_pairs(response.flatten(0, 1), own.flatten(0, 1)).view(response.shape[:2])
    return {
        "response/length": float(drawn.sum(-1).float().mean()),
        "response/eos_share": float(of_all(rollout.finished[..., None]).float().mean()),
        "response/distinct_2": float(of_all(distinct).mean()),
    }
