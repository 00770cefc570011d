"""Proximal policy optimisation: `python -m training.recipes.ppo RUN_DIR`.

One update: sample answers, score them, take the KL penalty against the reference off, estimate advantages, and go over
the batch a few times with the clipped objective. What must hold is asserted where it must hold (rl/guards.py): these
are the mistakes that do not crash and only make the policy worse.
"""

from __future__ import annotations

import torch

from training.methods import PPOConfig
from training.recipes.evaluation import Evaluator, figures, mean_of, report
from training.recipes.losses.rl_math import adapted_kl_coef
from training.recipes.process.distributed import Processes
from training.recipes.process.errors import RecipeError
from training.recipes.process.log import logger
from training.recipes.process.pace import SavingPace
from training.recipes.process.resources import Stopwatch
from training.recipes.process.run import run_recipe
from training.recipes.rl.episodes import sample_episodes, score_rollouts, split_prompts
from training.recipes.rl.guards import (
    Progress,
    stop_after_learning,
    stop_after_sampling,
    watch_for_negative_kl,
)
from training.recipes.rl.policy import digest, learned_weights, load_roles, restore_weights
from training.recipes.rl.state import Trainer, candidate_path, keep_candidate, load_state, save_outcome, save_state
from training.recipes.rl.update import groups_at_once, learn
from training.recipes.selection import evaluation, gate, select
from training.rundir import BASELINE, EVALUATING, TRAINING, Row, RunDir


def train_policy(run: RunDir, config: PPOConfig, inputs: Row) -> Row:
    trainer, refused = set_up(run, config, inputs)
    progress, policy = trainer.progress, trainer.policy
    run.report_phase(TRAINING)
    while progress.update < trainer.updates and not progress.stopped:
        run_update(trainer)
        if progress.stopped:
            logger.info("Stopped: %s", progress.stopped)

    run.report_phase(EVALUATING)
    # The best of the evaluated policies, on the same prompts with the same random numbers. The unchanged one is among
    # them.
    if not progress.stopped and digest(policy) == progress.start_digest:
        raise RecipeError(
            f"The policy has not changed in {progress.update} updates: nothing was trained. "
            f"Raise learning_rate (now {config.rate:g})"
        )
    if progress.update and (not progress.evaluations or progress.evaluations[-1]["step"] != progress.update):
        keep_candidate(trainer)
    evaluations = [evaluation(0, progress.before), *progress.evaluations]
    step, reason = select(evaluations)
    if step > 0:
        restore_weights(policy, torch.load(candidate_path(run, step), map_location=policy.shared.device))
    after = next(row["rows"] for row in evaluations if row["step"] == step)
    verdict = gate(evaluations, step, config.seed, unseen=trainer.evaluator.prompts[0].split == "eval")
    logger.info("Kept update %d: %s", step, reason)
    reference = trainer.evaluate_reference()
    trainer.processes.wait()  # each has read the candidate's weights, which are deleted now
    if trainer.processes.is_first:
        save_outcome(trainer, step, after, reference)
    return {
        **report(progress.before, after, reference),
        "frontier": [figures(row["step"], row["rows"]) for row in evaluations],
        "selected": {"step": step, "reason": reason},
        "gate": verdict,
        "episodes": progress.update * config.batch_size,
        "updates": progress.update,
        "stopped": progress.stopped,
        "refused": refused,
        **trainer.watch.report(),
    }


def set_up(run: RunDir, config: PPOConfig, inputs: Row) -> tuple[Trainer, list[Row]]:
    """Return the roles and prompts where an earlier attempt left them, and the refused prompts.

    A run that begins is evaluated and saved first, so that its figures "before" are there whatever comes.
    """
    processes = Processes()
    policy = load_roles(config, inputs)
    prompts, held_out, refused = split_prompts(run, policy.shared, config)
    learning = [*policy.parameters, *policy.value_head.parameters()]
    optimiser = torch.optim.AdamW(learning, lr=config.rate, eps=1e-5, weight_decay=0.0)
    progress = Progress(kl_coef=config.kl_coef, start_digest=digest(policy))
    previous = load_state(run, policy, optimiser, progress)
    evaluator = Evaluator.of(
        config,
        held_out,
        policy.reward_model,
        reference=policy.shared,
        round_start=None if policy.fresh else policy.start,
        batch_size=config.batch_size,
        processes=processes,
    )
    watch = Stopwatch(progress.seconds)
    weights = previous or learned_weights(policy)
    trainer = Trainer(
        run,
        config,
        processes,
        policy,
        optimiser,
        progress,
        prompts,
        evaluator,
        watch,
        weights,
        groups_at_once(config),
        SavingPace(config.save_every),
    )
    if processes.is_first:
        run.rewind(progress.update)
    if previous is None:
        run.report_phase(BASELINE)
        progress.before = trainer.evaluate()
        logger.info("score before: %.3f", mean_of(progress.before, "score"))
        save_state(trainer)
    return trainer, refused


def run_update(trainer: Trainer) -> None:
    """Sample, score, learn, and write the update's metrics; set `progress.stopped` where a limit was passed."""
    config, progress, policy = trainer.config, trainer.progress, trainer.policy
    update = progress.update + 1
    rate = config.rate * (1 - (update - 1) / trainer.updates)
    with trainer.watch.measure("sample"):
        rollout = sample_episodes(policy, trainer.prompts, update, config, trainer.processes)
    with trainer.watch.measure("score"):
        batch, tokens, metrics = score_rollouts(
            policy, rollout, progress.kl_coef, config, trainer.processes, check_fresh=update == 1
        )
    if reason := stop_after_sampling(metrics, config):
        return stop(trainer, reason)  # the step that led here went too far: the policy before it is the one to keep
    watch_for_negative_kl(progress, metrics["objective/kl"], metrics.pop("kl_error"))
    trainer.previous = learned_weights(policy)
    with trainer.watch.measure("update"):
        metrics |= learn(
            policy, trainer.optimiser, batch, tokens, rate, update, config, trainer.processes, trainer.memory
        )
    if trainer.processes.is_first:
        trainer.run.log_metrics(
            update,
            **metrics,
            **{"ppo/lr": rate, "objective/kl_coef": progress.kl_coef},
            **{"time/sample_s": trainer.watch.latest["sample"], "time/update_s": trainer.watch.latest["update"]},
        )
    if reason := stop_after_learning(metrics, config):
        return stop(trainer, reason)
    return finish_update(trainer, metrics)


def stop(trainer: Trainer, reason: str) -> None:
    """End the run with the weights before the last update."""
    restore_weights(trainer.policy, trainer.previous)
    trainer.progress.stopped = f"{reason}, at update {trainer.progress.update + 1}"


def finish_update(trainer: Trainer, metrics: dict[str, float]) -> None:
    """Adapt the KL coefficient, evaluate where it is due, and save."""
    config, progress, kl = trainer.config, trainer.progress, metrics["objective/kl"]
    if config.kl_target > 0:
        progress.kl_coef = adapted_kl_coef(
            progress.kl_coef,
            kl,
            target=config.kl_target,
            episodes=config.batch_size,
            horizon=config.kl_horizon * config.batch_size,
        )
    progress.update = update = progress.update + 1
    if config.eval_every and update % config.eval_every == 0:
        keep_candidate(trainer)
    if trainer.processes.is_first:
        trainer.run.report_progress(update, trainer.updates, "updates")
    logger.info("update %d of %d: score %.3f, KL %.2f", update, trainer.updates, metrics["objective/score"], kl)
    if update == trainer.updates or trainer.pace.is_due(update):
        save_state(trainer)


if __name__ == "__main__":
    run_recipe(train_policy, PPOConfig)
