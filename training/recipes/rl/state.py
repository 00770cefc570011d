"""What goes through all updates of a PPO run, and how it is saved and found again."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from training.methods import PPOConfig
from training.recipes.evaluation import Evaluator, side_by_side
from training.recipes.process.distributed import Processes
from training.recipes.process.files import replace_file, replace_folder
from training.recipes.process.log import logger
from training.recipes.process.memory import MicroBatches
from training.recipes.process.pace import SavingPace
from training.recipes.process.resources import Stopwatch
from training.recipes.rl.guards import Progress
from training.recipes.rl.policy import Policy, learned_weights, restore_weights, save_policy
from training.recipes.selection import evaluation
from training.recipes.text.prompts import PromptTokens
from training.rundir import Row, RunDir

CANDIDATES = "candidates"  # weights of the evaluated updates, until one of them is chosen


@dataclass
class Trainer:
    """What goes through all updates of a run."""

    run: RunDir
    config: PPOConfig
    processes: Processes
    policy: Policy
    optimiser: torch.optim.Optimizer
    progress: Progress
    prompts: list[PromptTokens]
    evaluator: Evaluator
    watch: Stopwatch
    previous: dict[str, Any]  # the weights before the last update
    memory: MicroBatches
    pace: SavingPace = field(default_factory=SavingPace)

    @property
    def updates(self) -> int:
        return self.config.updates

    def evaluate(self) -> list[Row]:
        """Return one row per held-out prompt and answer of the policy as it is now."""
        with self.watch.measure("evaluate"):
            return self.evaluator.rows(self.policy.actor, self.policy.role)

    def evaluate_reference(self) -> list[Row]:
        """Return the rows of the reference where the round began with another policy; none where it began there."""
        if self.policy.fresh:
            return []
        with self.watch.measure("evaluate"):
            return self.evaluator.rows(self.policy.shared, None)


def keep_candidate(trainer: Trainer) -> None:
    """Evaluate the policy as it is, and keep its weights until the best is chosen."""
    update = trainer.progress.update
    trainer.progress.evaluations.append(evaluation(update, trainer.evaluate()))
    if trainer.processes.is_first:
        weights = learned_weights(trainer.policy)
        # On the disk before the state that is saved next, which names it.
        replace_file(candidate_path(trainer.run, update), lambda path: torch.save(weights, path))
    trainer.processes.wait()


def candidate_path(run: RunDir, update: int) -> Path:
    return run.path / CANDIDATES / f"{update}.pt"


def save_outcome(trainer: Trainer, step: int, after: list[Row], reference: list[Row]) -> None:
    run = trainer.run
    if step > 0:  # else nothing new is kept
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
    began = trainer.pace.clock()
    state = {
        "weights": learned_weights(trainer.policy),
        "previous": trainer.previous,
        "optimiser": trainer.optimiser.state_dict(),
        "progress": vars(trainer.progress),
    }
    with trainer.pace.saving(began):
        trainer.run.save_state(lambda folder: torch.save(state, folder / "ppo.pt"))


def load_state(
    run: RunDir, policy: Policy, optimiser: torch.optim.Optimizer, progress: Progress
) -> dict[str, Any] | None:
    """Fill policy, optimiser and progress from the last state; return the weights before its last update.

    Return None where there is no state yet.
    """
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
