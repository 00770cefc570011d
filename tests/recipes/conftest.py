"""One tiny model for all recipe tests, and the shortest way to run a recipe on it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny_model import made_once, shared_checkpoint
from training.methods import (
    DistilConfig,
    DPOConfig,
    EvaluateConfig,
    GRPOConfig,
    InstructionTuningConfig,
    KTOConfig,
    PPOConfig,
    PromptTuningConfig,
    RewardConfig,
    RLOOConfig,
    SampleConfig,
    SelfInstructConfig,
    SFTConfig,
)
from training.recipes.models.shared_model import SharedModel
from training.recipes.process.run import execute
from training.rundir import Row, RunDir

CONFIGS = {
    "sample": SampleConfig,
    "reward": RewardConfig,
    "ppo": PPOConfig,
    "dpo": DPOConfig,
    "distil": DistilConfig,
    "kto": KTOConfig,
    "rloo": RLOOConfig,
    "grpo": GRPOConfig,
    "sft": SFTConfig,
    "prompt_tuning": PromptTuningConfig,
    "self_instruct": SelfInstructConfig,
    "instruction_tuning": InstructionTuningConfig,
    "evaluate": EvaluateConfig,
}
SEVERAL_HEADS: Row = {"learning_curve": 0, "reference_samples": 8, "max_new_tokens": 6}
Prepare = Callable[..., RunDir]
LIKES_A: Row = {
    "pooling": "mean",
    "heads": 1,
    "learning_curve": 0,
    "epochs": 6,
    "learning_rate": 1e-2,
    "lora_rank": 4,
    "top_blocks": 2,
    "reference_samples": 40,
    "max_new_tokens": 8,
}


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Tensors this small gain nothing from a second thread, and lose a lot where the machine is busy."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint() -> Path:
    return shared_checkpoint()


@pytest.fixture(scope="session")
def reward_model(checkpoint: Path) -> Path:
    """Likes the letter a."""
    return trained_reward(checkpoint)


def trained_reward(checkpoint: Path, settings: Row = LIKES_A, *, rankings: int = 30, candidates: int = 4) -> Path:
    """Return the checkpoint of a reward model that was trained on preferences for the letter a, once for all tests."""
    rows = preference_rows(rankings, candidates=candidates)
    config = {"method": "reward", "settings": settings, "inputs": {"base_model": str(checkpoint)}}

    def train(folder: Path) -> None:
        run = RunDir(folder)
        run.prepare(config=config, rows=rows)
        finish(run)

    return RunDir(made_once("reward", [config, rows], train)).checkpoint_path


@pytest.fixture
def shared(checkpoint: Path) -> SharedModel:
    torch.manual_seed(0)
    return SharedModel(str(checkpoint), torch.device("cpu"))


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    return preparing(tmp_path)


def preparing(folder: Path) -> Prepare:
    """Return what prepares runs inside `folder`."""

    def prepare_run(name: str, method: str, settings: Row, inputs: Row, rows: Iterable[Row]) -> RunDir:
        run = RunDir(folder / name)
        run.prepare(config={"method": method, "settings": settings, "inputs": inputs}, rows=rows)
        return run

    return prepare_run


def finish(run: RunDir) -> Row:
    """Run the recipe in this process and return its result."""
    execute_run(run)
    result = run.result()
    assert result is not None
    return result


def execute_run(run: RunDir) -> None:
    """Run the recipe in this process, which may be one of several."""
    import importlib

    method = run.config()["method"]
    module = importlib.import_module(f"training.recipes.{method}")
    recipe = {
        "sample": "sample_policy",
        "reward": "train_reward_model",
        "prompt_tuning": "train_classifier",
        "self_instruct": "propose_tasks",
        "evaluate": "answer_prompts",
    }.get(method, "train_policy")
    execute(getattr(module, recipe), CONFIGS[method], run)


def prompt_rows(count: int, held_out: int = 0) -> list[Row]:
    topics = ["the sea", "rainy Sundays", "tea", "the weather in spring", "long walks"]
    return [
        {
            "prompt_id": number,
            "messages": [{"role": "user", "content": f"Write about {topics[number % 5]}, {number} words."}],
            "split": "eval" if number >= count - held_out else "train",
        }
        for number in range(count)
    ]


def preference_rows(rankings: int, held_out: int = 0, candidates: int = 3) -> list[Row]:
    """Rankings by one simple taste: the more letters "a" in an answer, the better."""
    dice = random.Random(3)
    rows: list[Row] = []
    for prompt in prompt_rows(rankings, held_out):
        texts = [
            "".join(dice.choice("a" if dice.random() < share else "bcdefgh") for _ in range(dice.randint(6, 10)))
            for share in (0.8, 0.4, 0.0, 0.6)[:candidates]
        ]
        texts.sort(key=lambda text: -text.count("a") / len(text))
        for better in range(candidates):
            for worse in range(better + 1, candidates):
                rows.append(preference(prompt, texts[better], texts[worse]))
    return rows


def ranking_rows(count: int, held_out: int = 0) -> list[Row]:
    """The same taste, said by two people as whole rankings; the second cannot tell the last two apart."""
    groups: dict[int, list[Row]] = {}
    for row in preference_rows(count, held_out):
        groups.setdefault(row["group_id"], []).append(row)
    rows = []
    for pairs in groups.values():
        best, middle, worst = (pairs[0]["chosen"], pairs[0]["rejected"], pairs[1]["rejected"])
        first = pairs[0]
        rows.append(
            {
                "prompt": first["prompt"],
                "candidates": [{"text": side[0]["content"], "finished": True} for side in (worst, best, middle)],
                "rankings": [
                    {"tiers": [[1], [2], [0]], "unacceptable": [0], "weight": 1.0, "annotator": "annotator-1"},
                    {"tiers": [[1], [0, 2]], "unacceptable": [], "weight": 1.0, "annotator": "annotator-2"},
                ],
                "prompt_id": first["prompt_id"],
                "group_id": first["group_id"],
                "split": first["split"],
                "policy": 0,
            }
        )
    return rows


def preference(prompt: Row, chosen: str, rejected: str, **more: Any) -> Row:
    return {
        "prompt": prompt["messages"],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
        "prompt_id": prompt["prompt_id"],
        "group_id": prompt["prompt_id"],
        "split": prompt["split"],
        "margin": 0.5,
        "votes_for": 1,
        "votes_against": 0,
        **more,
    }
