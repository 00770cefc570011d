"""What a quality gate asks for before it can tell anything; shared by the recipes and the pages."""

from __future__ import annotations

# With fewer a reward model cannot be judged: on two or three prompts one in ten untrained ones would pass.
FEWEST_PAIRS = 20
FEWEST_PROMPTS = 5
