"""A TRL training's own callback: metrics, progress, reasons to stop, and a whole state to resume from."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from peft import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import TrainerCallback

from training.recipes.evaluation import Evaluator
from training.recipes.process.distributed import Processes
from training.recipes.process.errors import RecipeError
from training.recipes.process.files import replace_file
from training.recipes.process.log import logger
from training.recipes.process.pace import SavingPace
from training.recipes.process.resources import Stopwatch
from training.recipes.selection import JUDGE, Yardstick, evaluation, select
from training.recipes.text.prompts import PromptTokens
from training.recipes.trainer.checks import check_start
from training.recipes.trainer.roles import (
    POLICY,
    ROUND_START,
    STUDENT,
    Roles,
    TrainerConfig,
    policy_weights,
    put_policy_weights,
)
from training.rundir import BASELINE, Row, RunDir

TRAINER_STATE, PROGRESS, EARLIER = "trainer", "progress.json", "earlier.safetensors"  # what a state consists of
EVALUATED_TOGETHER = 64
CANDIDATES = "candidates"  # weights of the evaluated steps, until one of them is chosen

Describe = Callable[[Row], dict[str, float]]
WhyStop = Callable[[Row], str | None]
Weights = dict[str, Tensor]


@dataclass
class RunCallback(TrainerCallback):
    """Write metrics and progress during a training, and keep a whole state to resume from.

    TRL saves into a folder of its own, file by file; only when it is done does the folder become the run's state. Of
    several processes the first one writes; all come to the same figures.
    `steps_per_row` optimiser steps make one row of metrics; in rows all is counted that people see.
    """

    run: RunDir
    config: TrainerConfig
    roles: Roles
    prompts: list[PromptTokens]
    unit: str
    steps_per_row: int = 1
    why_stop: WhyStop | None = None  # a reason ends the training, see rl.guards.outside_limits
    yardstick: Yardstick | None = None  # chooses checkpoints where there is no judge
    measure: Callable[[], list[Row]] | None = None  # what a method asks of its policy besides, before and after
    describe: Describe | None = None
    before: list[Row] = field(default_factory=list)
    measured: list[Row] = field(default_factory=list)  # before
    watch: Stopwatch = field(default_factory=Stopwatch)
    rows: int = 0  # so far
    stopped: str | None = None
    chosen: int = 0  # the step that is kept, once that is known, and why
    reason: str = ""
    evaluations: list[Row] = field(default_factory=list)  # of candidates, that of the unchanged policy first
    earlier: list[Weights] = field(default_factory=list)  # the adapter as it was one and no row ago
    pace: SavingPace = field(default_factory=SavingPace)
    processes: Processes = field(default_factory=Processes)

    def __post_init__(self) -> None:
        self.pace = SavingPace(self.config.save_every)
        judge = self.roles.reward_model
        if judge is not None and judge.has_judge and self.yardstick is not None and not self.yardstick.before_judge:
            self.yardstick = None
        folder = self.run.load_state()
        if folder is None:
            self.rewind(0)
            self.run.report_phase(BASELINE)
            self.before = self.evaluate()
            self.measured = self.measure_policy()
            check_start(self.before, self.roles)
            self.add_candidate(0, self.before)
            self.earlier = [self.roles.start]  # empty where all weights learn: no such method stops by itself
            self.save(None)
            return
        state = json.loads((folder / PROGRESS).read_text("utf-8"))
        self.before, self.measured = state["before"], state.get("measured", [])
        self.rows, self.watch = state["rows"], Stopwatch(state["seconds"])
        self.stopped, self.evaluations = state["stopped"], state["evaluations"]
        self.earlier = unpack(load_file(folder / EARLIER))
        self.rewind(self.rows)
        logger.info("Resuming after %d %s", self.rows, self.unit)

    def rewind(self, rows: int) -> None:
        """Forget what a run that was stopped has written behind this row."""
        if self.processes.is_first:
            self.run.rewind(rows)

    def evaluate(self) -> list[Row]:
        """Return one row per eval prompt and answer of the policy."""
        with self.watch.measure("evaluate"):
            return self.evaluator.rows(self.roles.actor, self.roles.role)

    def evaluate_reference(self) -> list[Row]:
        with self.watch.measure("evaluate"):
            return self.evaluator.rows(self.roles.shared, None)

    @property
    def evaluator(self) -> Evaluator:
        roles = self.roles
        return Evaluator.of(
            self.config,
            self.prompts,
            roles.reward_model,
            reference=roles.shared,
            round_start=None if roles.fresh else (roles.shared, ROUND_START),
            batch_size=EVALUATED_TOGETHER,
            processes=self.processes,
        )

    def add_candidate(self, step: int, rows: list[Row]) -> None:
        """Measure the policy as it is, whose evaluated answers are `rows`, and keep its weights until one is chosen."""
        with self.watch.measure("evaluate"):
            measured = None if self.yardstick is None else self.yardstick.measure()
        self.evaluations = [row for row in self.evaluations if row["step"] < step]
        self.evaluations.append(evaluation(step, rows, measured))
        if self.processes.is_first:
            weights = policy_weights(self.roles)
            # On the disk before the state that is saved next, which names it.
            replace_file(self.candidate_path(step), lambda path: save_file(weights, path))
        self.processes.wait()

    def candidate_path(self, step: int) -> Path:
        """Return where the weights of an evaluated step are kept."""
        return self.run.path / CANDIDATES / f"{step}.safetensors"

    @property
    def yardstick_name(self) -> str:
        """Return by what checkpoints are chosen, in words."""
        return JUDGE if self.yardstick is None else self.yardstick.name

    def choose(self) -> list[Row]:
        """Give the policy the weights of the best candidate up to the last good row; return its evaluated answers."""
        self.evaluations = [row for row in self.evaluations if row["step"] <= self.kept]
        self.chosen, self.reason = select(self.evaluations, self.yardstick_name)
        put_policy_weights(self.roles, load_file(self.candidate_path(self.chosen)))
        logger.info("Kept step %d: %s", self.chosen, self.reason)
        self.processes.wait()  # each has read those weights, before they are deleted
        rows: list[Row] = next(row["rows"] for row in self.evaluations if row["step"] == self.chosen)
        return rows

    def measure_policy(self) -> list[Row]:
        with self.watch.measure("measure"):
            return self.measure() if self.measure else []

    def save(self, checkpoint: Path | None) -> None:
        progress = {
            "before": self.before,
            "measured": self.measured,
            "rows": self.rows,
            "seconds": self.watch.spent,
            "stopped": self.stopped,
            "evaluations": self.evaluations,
        }

        def write(folder: Path) -> None:
            (folder / PROGRESS).write_text(json.dumps(progress), "utf-8")
            save_file(pack(self.earlier), folder / EARLIER)
            if checkpoint is not None:
                checkpoint.rename(folder / TRAINER_STATE)

        self.processes.wait()  # each has written its part of TRL's checkpoint
        if self.processes.is_first:
            self.run.save_state(write)
        self.processes.wait()

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.began = time.perf_counter()

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        self.watch.spent["train"] = self.watch.spent.get("train", 0.0) + time.perf_counter() - self.began
        row, rest = divmod(state.global_step, self.steps_per_row)
        # Between the steps of a row TRL's state would lack the answers that are being learned from.
        # The first process's clock decides for all: each has a part in saving.
        due = self.processes.gather_objects([self.pace.is_due(row)])[0]
        if not rest and (state.global_step == state.max_steps or due):
            control.should_save = True
        self.save_begins = self.pace.clock()

    def on_log(self, _args: Any, state: Any, control: Any, *, logs: Row, model: nn.Module, **_: Any) -> None:
        if "loss" not in logs:  # TRL's own summary at the end
            return
        self.log_row(logs, state, control, model)
        self.save_begins = self.pace.clock()

    def log_row(self, logs: Row, state: Any, control: Any, model: nn.Module) -> None:
        """Write a row of metrics, evaluate where that is due, and end the training where a limit was passed."""
        if not isfinite(logs["loss"]):
            raise RecipeError("The loss is not a number any more: the learning rate is too large")
        assert self.describe is not None
        self.rows = state.global_step // self.steps_per_row
        metrics = self.describe(logs)
        if self.processes.is_first:
            self.run.log_metrics(self.rows, **metrics)
            self.run.report_progress(self.rows, state.max_steps // self.steps_per_row, self.unit)
        if self.why_stop is not None:
            if reason := self.why_stop(metrics):
                self.stopped = f"{reason} at {self.unit.removesuffix('s')} {self.rows}"
                logger.info("Stopped: %s", self.stopped)
                control.should_training_stop = True
                return
            self.earlier = [*self.earlier[-1:], student_weights(model)]
        every = self.config.eval_every
        if every and self.rows % every == 0 and state.global_step < state.max_steps:
            self.evaluate_student(model)

    def evaluate_student(self, model: nn.Module) -> None:
        """Make what is in training a candidate, with dropout off while it answers."""
        if self.roles.adapter is not None:
            self.roles.shared.adapters.load_weights(POLICY, student_weights(model))
        training = model.training
        model.eval()
        self.add_candidate(self.rows, self.evaluate())
        model.train(training)

    @property
    def kept(self) -> int:
        """Return the row whose policy is kept.

        A row's figures are of answers drawn before its steps: the figures that stop a run are of the row before it, so
        the last good policy is that of the row before that.
        """
        return max(self.rows - 2, 0) if self.stopped else self.rows

    def on_save(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
        with self.pace.saving(self.save_begins):
            self.save(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def student_weights(model: nn.Module) -> Weights:
    weights = get_peft_model_state_dict(model, adapter_name=STUDENT)
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}


def pack(several: list[Weights]) -> Weights:
    return {f"{place}:{name}": tensor for place, weights in enumerate(several) for name, tensor in weights.items()}


def unpack(packed: Weights) -> list[Weights]:
    several: dict[int, Weights] = {}
    for key, tensor in packed.items():
        place, _, name = key.partition(":")
        several.setdefault(int(place), {})[name] = tensor
    return [several[place] for place in sorted(several)]
