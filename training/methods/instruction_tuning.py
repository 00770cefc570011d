"""Instruction tuning: the method `instruction_tuning`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from training.instructions.recast import CLUSTERS
from training.instructions.tasks import TASKS
from training.methods import shared
from training.methods.base import Method, Plan
from training.methods.bases import parts_errors
from training.methods.load import Available, evaluated, learns_rows
from training.methods.settings import GATES, InvalidConfig, MethodConfig, idle, setting
from training.phrases import phrase


@dataclass(frozen=True)
class InstructionTuningConfig(MethodConfig):
    """Supervised fine-tuning on many tasks worded as instructions, measured on wordings and tasks it has never seen."""

    per_task: int = setting(
        48, "Training examples of each rule-generated task; 0: none of these tasks", least=0, most=100_000
    )
    test_per_task: int = setting(24, "Test examples of each rule-generated task", least=1, most=10_000)
    held_out: str = setting(
        "sentiment, paraphrase, definitions", "Task clusters that are only tested on, separated by commas"
    )
    seed_tasks: bool = setting(True, "Also train on the seed tasks")
    pool: bool = setting(True, "Also train on the accepted proposals")
    labelled: bool = setting(False, "Also train on the project's labelled texts, with the labels as options")
    train: str = setting("lora", "lora: an adapter; full: all weights, as a separate model")
    epochs: int = setting(2, "Passes over the instructions", least=1, most=100)
    batch_size: int = setting(16, "Instructions per optimiser step", least=1, most=65536)
    packing: bool = setting(
        True, "Concatenate the instructions of a step instead of padding them; attention stays within each"
    )
    learning_rate: float = setting(
        0.0, "Peak rate of AdamW; linear decay to 0; 0: 5e-4 for an adapter, 2e-5 for all weights", least=0, most=1
    )
    lora_rank: int = shared.lora_rank()
    top_blocks: int = shared.top_blocks()
    max_length: int = setting(
        512, "Tokens of instruction and response; longer ones are skipped and counted", least=8, most=1_000_000
    )
    max_new_tokens: int = setting(24, "Length at which responses are truncated", least=1, most=4096)
    temperature: float = setting(0.9, "Temperature of the responses shown", least=0.01, most=5)
    shown: int = setting(32, "Unseen instructions shown with their responses, before and after", least=1, most=10_000)
    eval_completions: int = setting(1, "Responses to each of them", least=1, most=64)
    eval_every: int = shared.eval_every(20, phrase("Steps"))
    gate: str = shared.policy_gate()
    micro_batch: int = shared.micro_batch(phrase("Instructions"))
    checkpointing: bool = shared.checkpointing()
    processes: int = shared.processes()
    save_every: int = shared.save_every(phrase("Steps"))
    seed: int = setting(
        0, "Seed of the random generator, and of the choice of examples and wordings", least=0, most=shared.MOST_SEED
    )

    choices: ClassVar = {"train": ("lora", "full"), "gate": GATES}

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := [name for name in self.clusters_held_out if name not in CLUSTERS]:
            text = "names clusters that do not exist: %(unknown)s; there are %(known)s"
            raise InvalidConfig({"held_out": phrase(text, unknown=", ".join(unknown), known=", ".join(CLUSTERS))})

    def without_effect(self) -> Iterator[tuple[str, str]]:
        """Yield the settings that would do nothing beside the others."""
        yield from parts_errors(self.micro_batch, self.batch_size, "batch_size")
        if self.train == "full":
            yield from idle(
                "lora_rank top_blocks", phrase("does nothing with train=full, where no adapter learns: leave it out")
            )

    @property
    def clusters_held_out(self) -> list[str]:
        return [name.strip() for name in self.held_out.split(",") if name.strip()]


def work(config: Mapping[str, Any], rows: int) -> float:
    """Return the examples read: each is learned from once an epoch, and those kept for measuring are answered twice."""
    return float(config["per_task"] * config["epochs"] + 2 * config["test_per_task"])


def answers(config: Mapping[str, Any], found: Available) -> int:
    """Return the answers drawn: to the test examples before and after, and those shown at each evaluation."""
    tested = 2 * int(config["test_per_task"]) * len(TASKS)
    learned = int(config["per_task"]) * len(TASKS) * int(config["epochs"])
    return tested + evaluated(config, int(config["shown"]), learned)


METHOD = Method(
    "instruction_tuning",
    phrase("Instruction tuning"),
    InstructionTuningConfig,
    recipe="instruction_tuning",
    data="instructions",
    makes="policy",
    uses_trl=True,
    order=80,
    work=work,
    answers=answers,
    learns=learns_rows,
    shows_tokens=True,
    settings_page=("instruction_tokens", phrase("Token view (loss mask)")),
    presets={
        "quick": {"per_task": 12, "test_per_task": 6, "epochs": 1, "shown": 16},
        "thorough": {"per_task": 96, "test_per_task": 48, "epochs": 3, "shown": 64},
    },
    plans=(
        Plan(
            "instruction_tuning,sample",
            phrase("Instruction tuning"),
            order=90,
            does=phrase(
                "Fine-tunes the policy on many small tasks in plain language, and generates new responses to rank."
            ),
            needs=phrase("Prompts and a prepared model."),
        ),
    ),
)
