"""REINFORCE with a leave-one-out baseline (Ahmadian et al. 2402.14740): `python -m training.recipes.rloo RUN_DIR`.

The trainer is TRL's, tokens and scores are ours (trainer/online.py).
"""

from __future__ import annotations

from training.methods import RLOOConfig
from training.recipes.process.run import run_recipe
from training.recipes.trainer.online import describe_answers, train_online
from training.rundir import Row, RunDir


def train_policy(run: RunDir, config: RLOOConfig, inputs: Row) -> Row:
    """Train the policy with TRL's RLOO trainer and the project's reward model; return the result."""
    from trl import RLOOConfig as Arguments
    from trl import RLOOTrainer

    return train_online(
        run,
        config,
        inputs,
        RLOOTrainer,
        Arguments,
        lambda log: describe(log, config.kl_coef),
        entropy="rloo/policy/entropy",
    )


def describe(log: Row, kl_coef: float) -> dict[str, float]:
    """Return TRL's log of an update under the names of PPO's metrics."""
    return describe_answers(log, kl_coef) | {
        "rloo/policy/entropy": log["entropy"],
        "rloo/loss": log["loss"],
        "rloo/policy/clipfrac": log["clip_ratio/region_mean"],
        "rloo/grad_norm": log["grad_norm"],
        "rloo/lr": log["learning_rate"],
    }


if __name__ == "__main__":
    run_recipe(train_policy, RLOOConfig)
