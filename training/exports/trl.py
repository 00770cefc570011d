"""A round for TRL 1.x: its stages as arguments of TRL's trainers, and the script that reads them.

TRL has had no PPO since 1.13. What was PPO here is RLOO there, which differs in its baseline: the other answers to the
same prompt stand in for the value model.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

from annotation.errors import NotPossible
from training.exports.stages import ExportedStage, Tool
from training.methods.ppo import LEARNING_RATES
from training.rundir import Row

SCRIPT = Path(__file__).resolve().with_name("_trl_script.py")  # text to send along: nothing here imports it
REQUIRES = ["trl>=1.16,<2", "peft>=0.21", "datasets>=4.7", "torch"]


def files(stages: list[ExportedStage], base: str, start: str) -> dict[str, str]:
    round = {"base_model": base, "stages": [described(stage) for stage in stages]}
    return {
        "train.py": SCRIPT.read_text("utf-8"),
        "round.json": json.dumps(round, indent=1),
        "requirements.txt": "\n".join(REQUIRES) + "\n",
    }


def described(stage: ExportedStage) -> Row:
    """Return a stage as round.json holds it."""
    trainer, arguments = ARGUMENTS[stage.method](stage.config, stage)
    found: dict[str, Any] = {"name": stage.name, "trainer": trainer, "data": stage.files, "arguments": arguments}
    if stage.config.get("train", "lora") == "lora" and "lora_rank" in stage.config:
        found["lora"] = {"rank": stage.config["lora_rank"], "top_blocks": stage.config["top_blocks"]}
    return found


def _reward(config: Row, stage: ExportedStage) -> tuple[str, Row]:
    return "reward", {
        "per_device_train_batch_size": config["rankings_per_step"] * stage.pairs_per_ranking,
        "num_train_epochs": config["epochs"],
        "learning_rate": config["learning_rate"],
        "weight_decay": config["weight_decay"],
        "max_length": config["max_length"],
        "seed": config["seed"],
    }


def _dpo(config: Row, _: ExportedStage) -> tuple[str, Row]:
    return "dpo", {**_epochs(config), "learning_rate": config["learning_rate"], "beta": config["beta"]}


def _sft(config: Row, _: ExportedStage) -> tuple[str, Row]:
    return "sft", {**_epochs(config), "learning_rate": config["learning_rate"]}


def _instruction_tuning(config: Row, _: ExportedStage) -> tuple[str, Row]:
    rate = config["learning_rate"] or {"lora": 5e-4, "full": 2e-5}[config["train"]]
    return "sft", {**_epochs(config), "learning_rate": rate}


def _epochs(config: Row) -> Row:
    return {
        "per_device_train_batch_size": config["batch_size"],
        "num_train_epochs": config["epochs"],
        "max_length": config["max_length"],
        "seed": config["seed"],
    }


def _rloo(config: Row, _: ExportedStage) -> tuple[str, Row]:
    passes = config.get("passes") or config["ppo_epochs"]
    batch, minibatch = config["batch_size"], config["minibatch_size"]
    answers = max(config["completions_per_prompt"], 2)  # a baseline needs another answer
    if batch % answers:
        raise NotPossible(f"RLOO needs two answers to a prompt, and {batch} episodes cannot be shared out by twos.")
    return "rloo", {
        "max_steps": config["episodes"] // batch * (batch // minibatch) * passes,
        "per_device_train_batch_size": minibatch,
        "steps_per_generation": batch // minibatch,
        "num_iterations": passes,
        "num_generations": answers,
        "max_completion_length": config["max_new_tokens"],
        "temperature": config["temperature"],
        "beta": config["kl_coef"],
        "epsilon": config["clip_range"],
        "learning_rate": config["learning_rate"] or LEARNING_RATES[config["train"]],
        "max_grad_norm": config["max_grad_norm"],
        "seed": config["seed"],
    }


def _grpo(config: Row, stage: ExportedStage) -> tuple[str, Row]:
    _, arguments = _rloo(config, stage)
    scaled = "none" if config["loss"] == "dr_grpo" else "group"
    return "grpo", {**arguments, "loss_type": config["loss"], "scale_rewards": scaled}


def _sample(config: Row, _: ExportedStage) -> tuple[str, Row]:
    return "sample", {
        "num_return_sequences": config["completions_per_prompt"],
        "max_new_tokens": config["max_new_tokens"],
        "temperature": config["temperature"],
        "batch_size": max(1, ceil(config["batch_size"] / config["completions_per_prompt"])),
        "seed": config["seed"],
    }


ARGUMENTS: dict[str, Callable[[Row, ExportedStage], tuple[str, Row]]] = {
    "reward": _reward,
    "dpo": _dpo,
    "sft": _sft,
    "instruction_tuning": _instruction_tuning,
    "rloo": _rloo,
    "grpo": _grpo,
    "ppo": _rloo,
    "sample": _sample,
}


def _ppo_differences(stage: ExportedStage) -> list[str]:
    said = [
        "TRL has no PPO since 1.13; RLOO stands in for it. The other answers to a prompt are the baseline, so "
        "there is no value model; what PPO stops at (KL limit, floors of entropy and length) is not watched."
    ]
    if stage.config["completions_per_prompt"] < 2:
        said.append("RLOO draws 2 answers to each prompt, where PPO drew 1.")
    return said


def _reward_differences(stage: ExportedStage) -> list[str]:
    said = [
        "TRL's reward model is an adapter under one head on the last token, trained on pairs with the logistic "
        "loss. Ties are in no pair, soft labels (`share`) are not used, and there is no gate."
    ]
    if stage.config["pooling"] == "depths":
        said.append(
            "Prefloop's was heads on the base model's states, without an adapter; epochs and learning rate are "
            "therefore those that its settings name for an adapter."
        )
    return said


DIFFERENCES: dict[str, Callable[[ExportedStage], list[str]]] = {"ppo": _ppo_differences, "reward": _reward_differences}


def differences(stages: list[ExportedStage], start: str) -> list[str]:
    """Return where the script does something else than Prefloop did, for the README."""
    methods = {stage.method: stage for stage in stages}
    said = [each for method, of in DIFFERENCES.items() if method in methods for each in of(methods[method])]
    if start:
        said.append(f"The KL is measured to where the round began ({start}), in Prefloop to the base model.")
    return said


HOW_TO_RUN = """\
```
python3 -m venv .venv && .venv/bin/pip install -r requirements.txt
.venv/bin/python train.py --try     # two steps of each stage on a few rows
.venv/bin/python train.py
```

`train.py` reads the settings from `round.json`. Each stage goes on from what the one before it made, and leaves a whole
model in `out/<stage>/model`; `--only` repeats some of them, `--model` names another base model."""

TOOL = Tool("trl", "TRL", HOW_TO_RUN, methods=ARGUMENTS, files=files, differences=differences, order=10)
