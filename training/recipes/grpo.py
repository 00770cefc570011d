"""Group relative policy optimisation (Shao et al. 2402.03300): `python -m training.recipes.grpo RUN_DIR`.

The trainer is TRL's, tokens and scores are ours (trainer/online.py). The KL penalty stands in the loss, by the
estimator exp(d) − d − 1 of d = ln ρ − ln π, token by token, and not in the score.
"""

from __future__ import annotations

from training.methods import GRPOConfig
from training.recipes.process.run import run_recipe
from training.recipes.trainer.online import describe_answers, train_online
from training.rundir import Row, RunDir


def train_policy(run: RunDir, config: GRPOConfig, inputs: Row) -> Row:
    """Train the policy with TRL's GRPO trainer and the project's reward model; return the result."""
    from trl import GRPOConfig as Arguments
    from trl import GRPOTrainer

    return train_online(
        run,
        config,
        inputs,
        GRPOTrainer,
        Arguments,
        lambda log: describe(log, config.kl_coef),
        entropy="grpo/policy/entropy",
        loss_type=config.loss,
        scale_rewards="group" if config.loss == "grpo" else "none",
    )


def describe(log: Row, kl_coef: float) -> dict[str, float]:
    """Return TRL's log of an update under the names of PPO's metrics."""
    return describe_answers(log, kl_coef) | {
        "grpo/policy/entropy": log["entropy"],
        "grpo/loss": log["loss"],
        "grpo/policy/clipfrac": log["clip_ratio/region_mean"],
        "grpo/grad_norm": log["grad_norm"],
        "grpo/lr": log["learning_rate"],
    }


if __name__ == "__main__":
    run_recipe(train_policy, GRPOConfig)
