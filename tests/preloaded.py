"""What forked recipes find imported, see forked.py. No tensor is made here: its threads would not survive a fork."""

import datasets  # noqa: F401
from trl import DPOTrainer, KTOTrainer, RewardTrainer, RLOOTrainer, SFTTrainer  # noqa: F401

import training.recipes.distil
import training.recipes.dpo
import training.recipes.evaluate
import training.recipes.instruction_tuning
import training.recipes.kto
import training.recipes.ppo
import training.recipes.prompt_tuning
import training.recipes.reward
import training.recipes.rloo
import training.recipes.sample
import training.recipes.sft  # noqa: F401
