from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import LazySettings

from training.executors.local import LocalExecutor
from training.rundir import RunDir
from training.worker.loop import Worker

BEGIN = """\
import json, os, signal, sys, time
from training.rundir import RunDir
run = RunDir(sys.argv[1])
rows = list(run.rows())
"""


class ScriptExecutor(LocalExecutor):
    """Real processes with a few lines of Python in place of a recipe: what the worker does is the same."""

    def __init__(self, scripts: dict[str, str]) -> None:
        self.scripts = scripts

    def command(self, recipe: str, directory: RunDir) -> list[str]:
        return [sys.executable, "-c", BEGIN + self.scripts[recipe], str(directory.path)]


SAMPLE = """
for row in rows:
    for index in range(run.config()["settings"]["completions_per_prompt"]):
        run.log_sample({"step": 0, "prompt_id": row["prompt_id"], "index": index, "text": f"answer {index}",
                        "tokens": 3, "logprob": -4.5, "finished": index != 0})
run.report_progress(len(rows), len(rows), "prompts")
run.log_metrics(1, **{"sample/tokens_per_second": 12.5})
run.finish({"completions": 4 * len(rows)})
"""
REWARD = """
assert {"group_id", "split"} <= set(rows[0])
assert run.config()["inputs"]["base_model"] == "/models/base"
run.checkpoint_path.mkdir()
run.finish({"accuracy": 0.7, "ci95": [0.6, 0.8], "n": 10, "length_baseline": 0.5})
"""
PPO = """
assert run.config()["inputs"]["reward_model"].endswith("checkpoint")
run.checkpoint_path.mkdir()
for step in (1, 2):
    run.log_metrics(step, **{"objective/kl": step / 2})
run.log_sample({"step": 2, "prompt_id": rows[0]["prompt_id"], "before": "so-so", "after": "lovely",
                "score_before": 0.1, "score_after": 0.9})
run.finish({"kl": 1.0, "score_before": 0.1, "score_after": 0.9, "episodes": 64})
"""
IMITATES = """
assert rows
run.checkpoint_path.mkdir()
run.finish({"kl": 1.0})
"""


@pytest.fixture
def make_worker(settings: LazySettings) -> Callable[..., Worker]:
    """A worker whose recipes are the scripts above, or those given."""
    settings.TRAINING_POLL_SECONDS = 0.05
    settings.BASE_DIR = Path(settings.BASE_DIR)

    def make(**scripts: str) -> Worker:
        return Worker(
            ScriptExecutor(
                {
                    "sample": SAMPLE,
                    "reward": REWARD,
                    "ppo": PPO,
                    "dpo": IMITATES,
                    "sft": IMITATES,
                    "instruction_tuning": IMITATES,
                    **scripts,
                }
            )
        )

    return make
