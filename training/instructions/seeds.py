"""The seed tasks: written for this project, with one example each, right and short."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SEED_TASKS = Path(__file__).with_name("seed_tasks.jsonl")


@dataclass(frozen=True)
class SeedTask:
    id: str
    cluster: str
    instruction: str
    input: str  # empty where the instruction is complete
    output: str


@cache
def seed_tasks() -> tuple[SeedTask, ...]:
    with SEED_TASKS.open(encoding="utf-8") as lines:
        return tuple(SeedTask(**json.loads(line)) for line in lines)
