"""What forked processes find imported (fork_server.py): recipes, and the processes of the test run itself.

No tensor is made here: its threads would not survive a fork. Nothing here may read Django's settings.
"""

import datasets  # noqa: F401
import schemathesis  # noqa: F401
import scipy.stats  # noqa: F401
from trl import DPOTrainer, GRPOTrainer, KTOTrainer, RewardTrainer, RLOOTrainer, SFTTrainer  # noqa: F401

import training.recipes.chat
import training.recipes.distil
import training.recipes.dpo
import training.recipes.evaluate
import training.recipes.grpo
import training.recipes.instruction_tuning
import training.recipes.kto
import training.recipes.package
import training.recipes.ppo
import training.recipes.prepare
import training.recipes.prompt_tuning
import training.recipes.reward
import training.recipes.rloo
import training.recipes.sample
import training.recipes.serve_reward
import training.recipes.sft  # noqa: F401
