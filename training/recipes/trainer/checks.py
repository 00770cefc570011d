"""What must hold in a run with TRL: it trains our policy, measures against our reference, and changes nothing else."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import Trainer

from training.recipes.models.answers import Answers
from training.recipes.models.shared_model import role_logprobs
from training.recipes.process import precision
from training.recipes.process.errors import RecipeError
from training.recipes.text.prompts import PromptTokens
from training.recipes.trainer.roles import POLICY, STUDENT, Roles, TrainerConfig
from training.rundir import Row

ATOL = 1e-3  # nats, between two ways of computing one log-probability in float32
ATOL_BFLOAT16 = 0.3
CHECKED = 256  # tokens of a prompt: all of their logits are there at once


def atol() -> float:
    """Return how far two ways of computing one log-probability may be apart, in nats."""
    return precision.tolerance(ATOL, ATOL_BFLOAT16)


def check_start(before: list[Row], roles: Roles) -> None:
    """Raise AssertionError unless the policy is where the round began, in the first round the reference."""
    distance = max(abs(row["kl"]) if roles.fresh else abs(row["kl_round_start"]) for row in before)
    if distance > 10 * atol():
        raise AssertionError(f"the untrained policy is {distance:.4f} nats away from where it starts")


@torch.no_grad()
def check_student(trainer: Trainer, roles: Roles, prompt: PromptTokens) -> None:
    """Raise AssertionError unless TRL trains our policy, whose adapter switched off gives ρ and alone learns."""
    if roles.adapter is None:
        return
    model = trainer.model
    learning = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not learning or len(learning) != len(roles.start):
        raise AssertionError(f"{len(learning)} tensors would be trained, the adapter has {len(roles.start)}")
    if set(model.peft_config) != {STUDENT}:
        raise AssertionError(f"TRL has added adapters of its own: {sorted(model.peft_config)}")
    ids = torch.tensor([prompt.tokens[:CHECKED]], device=roles.shared.device)
    mask = torch.ones_like(ids, dtype=torch.bool)
    answers = Answers(ids[:, :1], mask[:, :1], ids[:, None, 1:], mask[:, None, 1:])
    was_training = model.training
    model.eval()
    with model.disable_adapter():
        reference = next_token_logprobs(model, ids)
    policy = next_token_logprobs(model, ids)
    model.train(was_training)
    for role, theirs in ((None, reference), (POLICY, policy)):
        ours = role_logprobs(roles.shared, answers, answers.response_mask, role, 1.0)
        if float((theirs - ours[:, 0]).abs().max()) > atol():
            raise AssertionError(f"TRL's {'policy' if role else 'reference'} is not ours")


@torch.no_grad()
def check_whole(trainer: Trainer, roles: Roles, prompt: PromptTokens, config: TrainerConfig) -> None:
    """Raise AssertionError where TRL trained another model, RecipeError where it changed no weight of the policy."""
    if trainer.model is not roles.actor.model:
        raise AssertionError("TRL trains another model than the policy")
    ids = torch.tensor([prompt.tokens[:CHECKED]], device=roles.shared.device)
    if torch.equal(next_token_logprobs(trainer.model, ids), next_token_logprobs(roles.shared.model, ids)):
        raise nothing_trained(config)


def nothing_trained(config: TrainerConfig) -> RecipeError:
    """Return what to tell who asked for a training that changed no weight."""
    return RecipeError(
        f"The policy has not changed: nothing was trained. Raise learning_rate (now {config.learning_rate:g})"
    )


def next_token_logprobs(model: nn.Module, ids: Tensor) -> Tensor:
    """Return the log-probability of each token but the first, at temperature 1: (1, t) → (1, t − 1)."""
    logprobs = model(input_ids=ids).logits[:, :-1].float().log_softmax(-1)
    return logprobs.gather(-1, ids[:, 1:, None])[..., 0]
