"""The models of a run with TRL: the shared base with its adapters, and the student that TRL trains.

The student is a copy of the model's modules around the very weights of the shared base, with one fresh LoRA adapter. A
later round loads its adapter into that fresh one. TRL must not know that it began elsewhere: given a model with a
trained adapter, it takes that adapter for the reference, and the KL starts at 0 again in every round (trl #3194). So
the student with its adapter off is the reference in every round, and this is asserted before the first step. Where all
weights learn, the student is a model of its own, and the shared base stays the reference.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

from peft import PeftConfig
from torch import Tensor
from transformers import PreTrainedModel

from training.methods import (
    DistilConfig,
    DPOConfig,
    GRPOConfig,
    InstructionTuningConfig,
    KTOConfig,
    RLOOConfig,
    SFTConfig,
)
from training.recipes.models import attention
from training.recipes.models.reward_model import RewardModel
from training.recipes.models.shared_model import SharedModel
from training.recipes.process import checkpoints
from training.recipes.process.distributed import Processes
from training.recipes.process.files import required_path
from training.recipes.process.resources import pick_device
from training.rundir import Row, RunDir

POLICY, ROUND_START = "policy", "round_start"
STUDENT = "default"  # PEFT's name for the only adapter of a model
SCRATCH = "trl"  # TRL's own folder in the run directory

TrainerConfig = DistilConfig | DPOConfig | GRPOConfig | KTOConfig | RLOOConfig | SFTConfig | InstructionTuningConfig


@dataclass
class Roles:
    """The shared model with the adapters that are compared, and the student that TRL trains."""

    shared: SharedModel
    student: PreTrainedModel
    adapter: PeftConfig | None  # of the student, still to be made by TRL; None where all its weights learn
    start: dict[str, Tensor]  # the adapter's weights as the round begins
    fresh: bool  # the round begins at the reference itself
    reward_model: RewardModel | None
    actor: SharedModel  # where the policy is: the shared model, or the student itself
    role: str | None = POLICY


def load_roles(run: RunDir, config: TrainerConfig, inputs: Row) -> Roles:
    start = checkpoints.resolve(required_path(inputs, "policy"))
    shared = SharedModel(start.base, pick_device())
    if getattr(config, "train", "lora") == "full":
        return _whole_model(shared, start, inputs)
    # Before the shared model gets adapters: PEFT and TRL both put their own things into a model's modules.
    student = copy_for_trl(shared.model)
    attention.without_masks(getattr(student, student.base_model_prefix))
    if start.adapter is None:
        shared.adapters.add(POLICY, rank=config.lora_rank, top_blocks=config.top_blocks)
    else:
        shared.adapters.load(POLICY, start.adapter, rank=config.lora_rank, top_blocks=config.top_blocks)
        shared.adapters.load(ROUND_START, start.adapter)
    folder = run.path / SCRATCH / f"adapter-{Processes().rank}"
    shared.adapters.save(POLICY, folder)
    adapter = PeftConfig.from_pretrained(str(folder))
    adapter.inference_mode = False
    return Roles(
        shared,
        student,
        adapter,
        shared.adapters.weights(POLICY),
        start.adapter is None,
        _reward_model(shared, inputs),
        shared,
    )


def _whole_model(shared: SharedModel, start: checkpoints.PolicyPath, inputs: Row) -> Roles:
    if start.adapter is not None:
        shared.adapters.load(ROUND_START, start.adapter)
    actor = SharedModel(start.base, shared.device, merged=start.adapter)
    actor.learn_whole()
    attention.without_masks(actor.decoder)
    fresh = start.adapter is None
    return Roles(shared, actor.model, None, {}, fresh, _reward_model(shared, inputs), actor, role=None)


def _reward_model(shared: SharedModel, inputs: Row) -> RewardModel | None:
    scorer = inputs.get("reward_model")
    return RewardModel.load(shared, Path(scorer)) if scorer else None


def copy_for_trl(model: PreTrainedModel) -> PreTrainedModel:
    """Return modules of their own around the same weights, which are in memory once."""
    return copy.deepcopy(model, {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]})


def policy_weights(roles: Roles) -> dict[str, Tensor]:
    """Return copies of the policy's weights: those of its adapter, or all of them."""
    if roles.adapter is not None:
        return roles.shared.adapters.weights(POLICY)
    return {name: weight.detach().cpu().clone() for name, weight in roles.actor.model.named_parameters()}


def put_policy_weights(roles: Roles, weights: dict[str, Tensor]) -> None:
    """Give the policy these weights."""
    if roles.adapter is not None:
        roles.shared.adapters.load_weights(POLICY, weights)
    else:
        roles.actor.load_weights(weights)


def save_policy(roles: Roles, folder: Path) -> None:
    """Write an adapter over the shared base, or a whole model, which is then its own base."""
    if roles.adapter is not None:
        roles.shared.adapters.save(POLICY, folder)
        return
    roles.actor.model.save_pretrained(folder)
    roles.actor.tokenizer.save_pretrained(folder)
