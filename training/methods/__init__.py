"""The training methods: one frozen dataclass and one row of METHODS each. No torch.

A dataclass field is a form field, a JSON key and a recipe setting at once; its help text and range live beside it.
To add a method: a dataclass, a row, `recipes/<recipe>.py`, one test file.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.methods.fine_tuning import DPOConfig, InstructionTuningConfig, SFTConfig
from training.methods.prompt_tuning import PromptTuningConfig
from training.methods.reinforcement import PPOConfig, RLOOConfig
from training.methods.reward import RewardConfig
from training.methods.sampling import EvaluateConfig, SampleConfig, SelfInstructConfig
from training.methods.settings import InvalidConfig, MethodConfig

__all__ = [
    "METHODS",
    "DPOConfig",
    "EvaluateConfig",
    "InstructionTuningConfig",
    "InvalidConfig",
    "Method",
    "MethodConfig",
    "PPOConfig",
    "PromptTuningConfig",
    "RLOOConfig",
    "RewardConfig",
    "SFTConfig",
    "SampleConfig",
    "SelfInstructConfig",
]


@dataclass(frozen=True)
class Method:
    """A row of METHODS: what the method is called, takes and makes."""

    label: str
    config: type[MethodConfig]
    recipe: str  # module under training.recipes
    data: str  # dataset type of data.jsonl, in TRL's words
    makes: str  # "policy", "reward_model", "completions", "comparisons", "classifier" or "proposals"


METHODS: dict[str, Method] = {
    "sample": Method("Sampling", SampleConfig, recipe="sample", data="prompt-only", makes="completions"),
    "reward": Method("Reward model", RewardConfig, recipe="reward", data="ranking", makes="reward_model"),
    "ppo": Method("PPO", PPOConfig, recipe="ppo", data="prompt-only", makes="policy"),
    "dpo": Method("DPO", DPOConfig, recipe="dpo", data="preference", makes="policy"),
    "rloo": Method("RLOO", RLOOConfig, recipe="rloo", data="prompt-only", makes="policy"),
    "prompt_tuning": Method(
        "Prompt tuning", PromptTuningConfig, recipe="prompt_tuning", data="classification", makes="classifier"
    ),
    "self_instruct": Method(
        "Self-instruct", SelfInstructConfig, recipe="self_instruct", data="examples", makes="proposals"
    ),
    "instruction_tuning": Method(
        "Instruction tuning", InstructionTuningConfig, recipe="instruction_tuning", data="instructions", makes="policy"
    ),
    "evaluate": Method(
        "Evaluation by people", EvaluateConfig, recipe="evaluate", data="prompt-only", makes="comparisons"
    ),
    "sft": Method("SFT", SFTConfig, recipe="sft", data="prompt-completion", makes="policy"),
}
