"""The training methods: a module each, with the dataclass of its settings and its row of METHODS. No torch.

A dataclass field is a form field, a JSON key and a recipe setting at once; its help text and range stand beside it.
To add a method: a module here with `METHOD`, `recipes/<recipe>.py`, one test file. An installed package adds one with
an entry point of the group `prefloop.methods` that names its `METHOD`.
"""

from __future__ import annotations

from training.methods.base import Method, Plan
from training.methods.distil import DistilConfig
from training.methods.dpo import DPOConfig
from training.methods.evaluate import EvaluateConfig
from training.methods.grpo import GRPOConfig
from training.methods.instruction_tuning import InstructionTuningConfig
from training.methods.kto import KTOConfig
from training.methods.ppo import PPOConfig
from training.methods.prompt_tuning import PromptTuningConfig
from training.methods.reward import RewardConfig
from training.methods.rloo import RLOOConfig
from training.methods.sample import SampleConfig
from training.methods.self_instruct import SelfInstructConfig
from training.methods.settings import InvalidConfig, MethodConfig
from training.methods.sft import SFTConfig
from training.plugins import Registry

__all__ = [
    "METHODS",
    "DPOConfig",
    "DistilConfig",
    "EvaluateConfig",
    "GRPOConfig",
    "InstructionTuningConfig",
    "InvalidConfig",
    "KTOConfig",
    "Method",
    "MethodConfig",
    "PPOConfig",
    "Plan",
    "PromptTuningConfig",
    "RLOOConfig",
    "RewardConfig",
    "SFTConfig",
    "SampleConfig",
    "SelfInstructConfig",
    "making",
]

METHODS = Registry("training.methods", "METHOD", Method, "prefloop.methods")


def making(*products: str) -> list[str]:
    """Return the names of the methods that make one of these products."""
    return [name for name, method in METHODS.items() if method.makes in products]
