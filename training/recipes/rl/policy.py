"""The roles of PPO: which model holds the policy, the reference, the reward and the value model, and their weights.

With LoRA they all sit on one base model. Where all weights of the policy learn, the policy has a model of its own, and
the base with its adapters off stays the reference. The code around is the same; only the trunk is then not shared.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.methods import PPOConfig
from training.recipes.models.answers import AnswerReading, Answers
from training.recipes.models.reward_model import ROLE as REWARD
from training.recipes.models.reward_model import RewardModel, base_of
from training.recipes.models.shared_model import SharedModel, role_logprobs
from training.recipes.process import checkpoints
from training.recipes.process.errors import RecipeError
from training.recipes.process.files import required_path
from training.recipes.process.resources import pick_device
from training.rundir import Row

POLICY, VALUE, ROUND_START = "policy", "value", "round_start"
VALUE_HEAD_FILE = "value_head.safetensors"
VALUE_FOLDER = "value"


@dataclass
class Policy:
    """The policy with what it is trained against."""

    shared: SharedModel  # the reference ρ, with the adapters of the reward model and of all that LoRA trains
    actor: SharedModel  # where the policy lives: `shared` itself, or a model of its own whose weights all learn
    role: str | None  # its adapter there; None where the weights are the policy
    reward_model: RewardModel
    value_head: nn.Linear
    value_role: str | None  # the value model's own adapter; None: the head reads the policy's states
    start: tuple[SharedModel, str | None]  # the policy with which the round began
    fresh: bool  # that was the reference itself
    parameters: list[nn.Parameter] = field(default_factory=list)

    def logprobs(self, answers: Answers, mask: Tensor, temperature: float) -> Tensor:
        return role_logprobs(self.actor, answers, mask, self.role, temperature)

    def reference_logprobs(self, answers: Answers, mask: Tensor, temperature: float) -> Tensor:
        return role_logprobs(self.shared, answers, mask, None, temperature)

    def start_logprobs(self, answers: Answers, mask: Tensor, temperature: float) -> Tensor:
        model, role = self.start
        if model is not self.shared:
            answers = answers.without_trunk()  # those states are of the shared model
        return role_logprobs(model, answers, mask, role, temperature)

    def read(self, answers: Answers) -> AnswerReading:
        return self.actor.read(answers, self.role)

    def values(self, answers: Answers, states_before: Tensor) -> Tensor:
        """Return value estimates (g, k, r) before each token; `states_before` are the policy's own."""
        if self.value_role is not None:
            states_before = self.shared.read(answers, self.value_role).before
        return self.value_head(states_before.float())[..., 0]


def load_roles(config: PPOConfig, inputs: Row) -> Policy:
    start = checkpoints.resolve(required_path(inputs, "policy"))
    reward_folder = Path(required_path(inputs, "reward_model"))
    if config.train == "full":
        policy = _whole_model(config, start, reward_folder)
    else:
        policy = _adapters(config, start, reward_folder)
    if config.value_model == "separate":
        _separate_value_model(policy, config, start)
    elif start.adapter is not None and (start.adapter / VALUE_HEAD_FILE).exists():
        policy.value_head.load_state_dict(load_file(start.adapter / VALUE_HEAD_FILE))
    trained_roles = [POLICY] * (policy.role is not None) + [VALUE] * (policy.value_role is not None)
    policy.parameters = policy.shared.adapters.learn(*trained_roles) if trained_roles else []
    if policy.role is None:
        policy.parameters = policy.actor.learn_whole() + policy.parameters
    if config.checkpointing:
        policy.actor.blocks.checkpoint()
    if config.disagreement_coef and policy.reward_model.head.out_features < 2:
        raise RecipeError(
            f"disagreement_coef does nothing: one head of the reward model in {reward_folder} scores, and one alone "
            "cannot disagree. Train it with heads of 3 or more, or leave disagreement_coef out"
        )
    return policy


def _adapters(config: PPOConfig, start: checkpoints.PolicyPath, reward_folder: Path) -> Policy:
    shared = SharedModel(start.base, pick_device())
    if start.adapter is None:
        shared.adapters.add(POLICY, rank=config.lora_rank, top_blocks=config.top_blocks)
    else:
        # A later round goes on from an adapter. The reference stays the base below it; where the round began is kept
        # as a role of its own, to report the KL to both.
        shared.adapters.load(POLICY, start.adapter, rank=config.lora_rank, top_blocks=config.top_blocks)
        shared.adapters.load(ROUND_START, start.adapter)
    fresh = start.adapter is None
    return Policy(
        shared,
        shared,
        POLICY,
        RewardModel.load(shared, reward_folder),
        zero_head(shared),
        None,
        start=(shared, None if fresh else ROUND_START),
        fresh=fresh,
    )


def _whole_model(config: PPOConfig, start: checkpoints.PolicyPath, reward_folder: Path) -> Policy:
    """Return the roles where all weights learn; the reference is the reward model's base, in every round."""
    shared = SharedModel(base_of(reward_folder), pick_device())
    reward_model = RewardModel.load(shared, reward_folder)
    actor = SharedModel(start.base, shared.device, merged=start.adapter)
    fresh = start.adapter is None and Path(start.base).resolve() == Path(shared.path).resolve()
    before = shared if fresh else SharedModel(start.base, shared.device, merged=start.adapter)
    return Policy(shared, actor, None, reward_model, zero_head(shared), None, start=(before, None), fresh=fresh)


def zero_head(shared: SharedModel) -> nn.Linear:
    head = nn.Linear(shared.hidden_size, 1, device=shared.device)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def _separate_value_model(policy: Policy, config: PPOConfig, start: checkpoints.PolicyPath) -> None:
    """Return a value model with an adapter of its own: that of the last round, or a copy of the reward model's.

    The reward model already tells good from bad (Stiennon et al. 2009.01325); its head is the first guess of an
    answer's value, read at every token instead of once. A reward model without an adapter has nothing to copy.
    """
    shared, reward_model = policy.shared, policy.reward_model
    earlier = (start.adapter or Path(start.base)) / VALUE_FOLDER
    policy.value_role = VALUE
    if earlier.exists():
        shared.adapters.load(VALUE, earlier, rank=config.lora_rank, top_blocks=config.top_blocks)
        policy.value_head.load_state_dict(load_file(earlier / VALUE_HEAD_FILE))
        return
    if not reward_model.has_adapter or reward_model.reads_own_base:
        shared.adapters.add(VALUE, rank=config.lora_rank, top_blocks=config.top_blocks)
        return
    shared.adapters.copy(REWARD, VALUE)
    head = reward_model.head
    with torch.no_grad():
        policy.value_head.weight.copy_(reward_model.gain * head.weight.mean(0, keepdim=True))
        policy.value_head.bias.copy_(reward_model.gain * head.bias.mean() + reward_model.bias)


# --- weights ---------------------------------------------------------------------------------------------------


def save_policy(policy: Policy, folder: Path) -> None:
    """Write an adapter in PEFT's format, or a whole checkpoint with its tokenizer, and the value model beside it."""
    if policy.role is not None:
        policy.shared.adapters.save(policy.role, folder)
    else:
        policy.actor.model.save_pretrained(folder)
        policy.actor.tokenizer.save_pretrained(folder)
    beside = folder
    if policy.value_role is not None:
        beside = folder / VALUE_FOLDER
        policy.shared.adapters.save(policy.value_role, beside)
    head = {name: tensor.detach().cpu() for name, tensor in policy.value_head.state_dict().items()}
    save_file(head, beside / VALUE_HEAD_FILE)


def policy_weights(policy: Policy) -> dict[str, Tensor]:
    if policy.role is not None:
        return policy.shared.adapters.weights(policy.role)
    return {name: weight.detach().cpu().clone() for name, weight in policy.actor.model.named_parameters()}


def digest(policy: Policy) -> str:
    """Return the SHA-256 of the policy's weights."""
    total = hashlib.sha256()
    for name, tensor in sorted(policy_weights(policy).items()):
        total.update(name.encode())
        total.update(tensor.numpy().tobytes())
    return total.hexdigest()


def learned_weights(policy: Policy) -> dict[str, Any]:
    """Return copies of all weights that learn."""
    return {
        "policy": policy_weights(policy),
        "value": None if policy.value_role is None else policy.shared.adapters.weights(policy.value_role),
        "value_head": {name: tensor.detach().clone() for name, tensor in policy.value_head.state_dict().items()},
    }


def restore_weights(policy: Policy, weights: dict[str, Any]) -> None:
    if policy.role is not None:
        policy.shared.adapters.load_weights(policy.role, weights["policy"])
    else:
        policy.actor.load_weights(weights["policy"])
    if policy.value_role is not None:
        policy.shared.adapters.load_weights(policy.value_role, weights["value"])
    policy.value_head.load_state_dict(weights["value_head"])
