"""What DPO, RLOO, SFT and instruction tuning share: TRL's trainers on our roles, with our run directory around them.

TRL trains the *student*: modules of its own around the very weights of the shared base, with one fresh LoRA adapter. A
later round loads its adapter into that fresh one. TRL must not know that it began elsewhere: given a model with a
trained adapter, it takes that adapter for the reference, and the KL starts at 0 again in every round (trl #3194). So
the student with its adapter off is the reference ρ in every round, and this is asserted before the first step. Where
all weights learn, the student is a model of its own, and the shared base stays the reference.

The tokens are ours, too (prompts.py), not those of TRL's data preparation: it drops long rows without a word, and what
a chat template puts behind an answer is not what a policy is sampled and scored with.
"""

from __future__ import annotations

import copy
import json
import shutil
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel, Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from training.methods import DPOConfig, InstructionTuningConfig, RLOOConfig, SFTConfig
from training.recipes.evaluation import best_of_n, evaluate, mean_of, of_reference, side_by_side
from training.recipes.models.answers import Answers
from training.recipes.models.reward_model import RewardModel
from training.recipes.models.shared_model import SharedModel, role_logprobs
from training.recipes.process import checkpoints
from training.recipes.process.errors import RecipeError
from training.recipes.process.run import Stopwatch, logger, peak_rss_mb, pick_device, replace_folder, required_path
from training.recipes.text.prompts import Prompt
from training.rundir import Row, RunDir

POLICY, ROUND_START = "policy", "round_start"
STUDENT = "default"  # PEFT's name for the only adapter of a model
SCRATCH = "trl"  # TRL's own folder in the run directory
TRAINER_STATE, PROGRESS, EARLIER = "trainer", "progress.json", "earlier.safetensors"  # what a state consists of
LEARNING_RATES = {"lora": 5e-4, "full": 2e-5}  # of instruction tuning, where none is set
AGREEMENT = 1e-3
EVALUATED_TOGETHER = 64

# TRL switches it on unless told not to, in the word that transformers is giving up.
warnings.filterwarnings("ignore", message=".*gradient_checkpointing` is deprecated.*")

Config = DPOConfig | RLOOConfig | SFTConfig | InstructionTuningConfig
Describe = Callable[[Row], dict[str, float]]
WhyStop = Callable[[Row], str | None]
Weights = dict[str, Tensor]


@dataclass
class Roles:
    """The shared model with the adapters that are compared, and the student that TRL trains."""

    shared: SharedModel
    student: PreTrainedModel
    adapter: PeftConfig | None  # of the student, still to be made by TRL; None where all its weights learn
    start: dict[str, Tensor]  # the adapter's weights as the round begins
    fresh: bool  # the round begins at the reference itself
    reward_model: RewardModel | None
    actor: SharedModel  # where the policy is: the shared model, or the student itself
    role: str | None = POLICY


def load_roles(run: RunDir, config: Config, inputs: Row) -> Roles:
    start = checkpoints.resolve(required_path(inputs, "policy"))
    shared = SharedModel(start.base, pick_device())
    if getattr(config, "train", "lora") == "full":
        return _whole_model(shared, start, inputs)
    # Before the shared model gets adapters: PEFT and TRL both put their own things into a model's modules.
    student = twin(shared.model)
    if start.adapter is None:
        shared.add_adapter(POLICY, rank=config.lora_rank, top_blocks=config.top_blocks)
    else:
        shared.load_adapter(POLICY, start.adapter)
        shared.load_adapter(ROUND_START, start.adapter)
    folder = run.path / SCRATCH / "adapter"
    shared.save_adapter(POLICY, folder)
    adapter = PeftConfig.from_pretrained(str(folder))
    adapter.inference_mode = False
    return Roles(
        shared,
        student,
        adapter,
        shared.adapter_weights(POLICY),
        start.adapter is None,
        _reward_model(shared, inputs),
        shared,
    )


def _whole_model(shared: SharedModel, start: checkpoints.PolicyPath, inputs: Row) -> Roles:
    if start.adapter is not None:
        shared.load_adapter(ROUND_START, start.adapter)
    actor = SharedModel(start.base, shared.device, merged=start.adapter)
    actor.learn_whole()
    fresh = start.adapter is None
    return Roles(shared, actor.model, None, {}, fresh, _reward_model(shared, inputs), actor, role=None)


def _reward_model(shared: SharedModel, inputs: Row) -> RewardModel | None:
    scorer = inputs.get("reward_model")
    return RewardModel.load(shared, Path(scorer)) if scorer else None


def twin(model: PreTrainedModel) -> PreTrainedModel:
    """Modules of its own around the same weights, which are in memory once."""
    return copy.deepcopy(model, {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]})


def settings(run: RunDir, config: Config, roles: Roles) -> dict[str, Any]:
    """What every trainer is told. float32 always, see checkpoints.load_base."""
    return {
        "output_dir": str(run.path / SCRATCH),
        "use_cpu": roles.shared.device.type == "cpu",
        "bf16": False,
        "gradient_checkpointing": False,
        "learning_rate": config.learning_rate or LEARNING_RATES.get(getattr(config, "train", ""), 0.0),
        "lr_scheduler_type": "linear",
        "seed": config.seed,
        "save_strategy": "steps",
        "logging_nan_inf_filter": False,
        "dataloader_pin_memory": False,
        "disable_tqdm": True,
        "report_to": [],
    }


# --- the run's other side: figures before, metrics, states ---------------------------------------------------------


@dataclass
class Course(TrainerCallback):
    """Goes along with a training: writes metrics and progress, and keeps a whole state to resume from.

    TRL saves into a folder of its own, file by file; only when it is done does the folder become the run's state.
    `steps_per_row` optimiser steps make one row of metrics; in rows all is counted that people see.
    """

    run: RunDir
    config: Config
    roles: Roles
    prompts: list[Prompt]
    unit: str
    steps_per_row: int = 1
    why_stop: WhyStop | None = None  # a reason ends the training, see left_the_ground
    measure: Callable[[], list[Row]] | None = None  # what a method asks of its policy besides, before and after
    describe: Describe | None = None
    before: list[Row] = field(default_factory=list)
    measured: list[Row] = field(default_factory=list)  # before
    watch: Stopwatch = field(default_factory=Stopwatch)
    rows: int = 0  # so far
    stopped: str | None = None
    earlier: list[Weights] = field(default_factory=list)  # the adapter as it was one and no row ago

    def __post_init__(self) -> None:
        folder = self.run.load_state()
        if folder is None:
            self.run.rewind(0)
            self.before = self.evaluate()
            self.measured = self.measure_policy()
            check_start(self.before, self.roles)
            self.earlier = [self.roles.start]  # empty where all weights learn: no such method stops by itself
            self.save(None)
            return
        state = json.loads((folder / PROGRESS).read_text("utf-8"))
        self.before, self.measured = state["before"], state.get("measured", [])
        self.rows, self.watch = state["rows"], Stopwatch(state["seconds"])
        self.stopped = state["stopped"]
        self.earlier = unpack(load_file(folder / EARLIER))
        self.run.rewind(self.rows)
        logger.info("Going on after %d %s", self.rows, self.unit)

    def evaluate(self) -> list[Row]:
        return self._evaluate(self.roles.actor, self.roles.role)

    def evaluate_reference(self) -> list[Row]:
        return self._evaluate(self.roles.shared, None)

    def _evaluate(self, model: SharedModel, role: str | None) -> list[Row]:
        config, roles = self.config, self.roles
        with self.watch.measure("evaluate"):
            return evaluate(
                model,
                role,
                roles.reward_model,
                self.prompts,
                completions=config.eval_completions,
                max_new_tokens=config.max_new_tokens,
                temperature=config.temperature,
                seed=config.seed,
                batch_size=EVALUATED_TOGETHER,
                reference=roles.shared,
                round_start=None if roles.fresh else (roles.shared, ROUND_START),
            )

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
        }

        def write(folder: Path) -> None:
            (folder / PROGRESS).write_text(json.dumps(progress), "utf-8")
            save_file(pack(self.earlier), folder / EARLIER)
            if checkpoint is not None:
                checkpoint.rename(folder / TRAINER_STATE)

        self.run.save_state(write)

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.watch.spent["train"] = self.watch.spent.get("train", 0.0) + time.perf_counter() - self.began

    def on_log(self, _args: Any, state: Any, control: Any, *, logs: Row, model: nn.Module, **_: Any) -> None:
        if "loss" not in logs:  # TRL's own summary at the end
            return
        if not isfinite(logs["loss"]):
            raise RecipeError("The loss is not a number any more: the learning rate is too large")
        assert self.describe is not None
        self.rows = state.global_step // self.steps_per_row
        metrics = self.describe(logs)
        self.run.log_metrics(self.rows, **metrics)
        self.run.report_progress(self.rows, state.max_steps // self.steps_per_row, self.unit)
        if self.why_stop is None:
            return
        if reason := self.why_stop(metrics):
            self.stopped = f"{reason} at {self.unit.removesuffix('s')} {self.rows}"
            logger.info("Stopped: %s", self.stopped)
            control.should_training_stop = True
        else:
            self.earlier = [*self.earlier[-1:], student_weights(model)]

    @property
    def kept(self) -> int:
        """The row whose policy is kept. A row's figures are of answers drawn before its steps: what they stop is the
        policy of the row before, and the last good one is that of the row before that."""
        return max(self.rows - 2, 0) if self.stopped else self.rows

    def on_save(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
        self.save(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def learn(trainer: Trainer, course: Course, describe: Describe) -> list[Row]:
    """Train from the last state on. The shared model then has the trained adapter, and its evaluated answers return."""
    roles = course.roles
    if roles.adapter is not None:
        set_peft_model_state_dict(trainer.model, roles.start, adapter_name=STUDENT)
    check_student(trainer, roles, course.prompts[0])
    course.describe = describe
    trainer.add_callback(course)
    trainer.remove_callback(PrinterCallback)
    state = course.run.load_state()
    reached = None if state is None else state / TRAINER_STATE
    if not course.stopped:
        trainer.train(resume_from_checkpoint=str(reached) if reached is not None and reached.exists() else None)

    if roles.adapter is None:
        trainer.model.eval()
        check_whole(trainer, roles, course.prompts[0])
        return course.evaluate()
    weights = course.earlier[0] if course.stopped else student_weights(trainer.model)
    set_peft_model_state_dict(trainer.model, weights, adapter_name=STUDENT)
    if not course.stopped and all(torch.equal(tensor, roles.start[name]) for name, tensor in weights.items()):
        raise AssertionError("the policy has not changed: nothing was trained")
    roles.shared.load_adapter_weights(POLICY, weights)
    check_student(trainer, roles, course.prompts[0])
    return course.evaluate()


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


def conclude(course: Course, after: list[Row], asked: dict[int, Row] | None = None, **more: Any) -> Row:
    """Write checkpoint and samples; returns the result. `asked` tells of prompts that no project has, by their id."""
    run, step = course.run, course.kept
    replace_folder(run.checkpoint_path, lambda folder: save_policy(course.roles, folder))
    run.samples_path.unlink(missing_ok=True)
    reference = [] if course.roles.fresh else course.evaluate_reference()
    for row in side_by_side(course.before, after, reference):
        run.log_sample({"step": step, **row, **(asked[row["prompt_id"]] if asked else {})})
    shutil.rmtree(run.path / SCRATCH, ignore_errors=True)
    return {
        **{f"{name}_before": mean_of(course.before, name) for name in ("score", "judge")},
        **{f"{name}_after": mean_of(after, name) for name in ("score", "judge")},
        **of_reference(reference),
        "kl": mean_of(after, "kl"),
        "kl_round_start": mean_of(after, "kl_round_start"),
        "best_of_n": best_of_n(course.before),
        "frontier": [figures(0, course.before), figures(step, after)],
        "selected": {"step": step, "reason": f"the last one{' before it went too far' if course.stopped else ''}"},
        "stopped": course.stopped,
        **more,
        "seconds": course.watch.total(),
        "seconds_by_stage": course.watch.rounded(),
        "peak_rss_mb": peak_rss_mb(),
    }


def save_policy(roles: Roles, folder: Path) -> None:
    """An adapter over the shared base, or a whole model, which is then its own base."""
    if roles.adapter is not None:
        roles.shared.save_adapter(POLICY, folder)
        return
    roles.actor.model.save_pretrained(folder)
    roles.actor.tokenizer.save_pretrained(folder)


def figures(step: int, rows: list[Row]) -> Row:
    return {"step": step, **{name: mean_of(rows, name) for name in ("kl", "score", "judge")}}


# --- data ------------------------------------------------------------------------------------------------------


def held_out_prompts(prompts: dict[int, Prompt]) -> list[Prompt]:
    """Each eval prompt once; where there are none, those that are trained on."""
    held_out = [prompt for prompt in prompts.values() if prompt.split == "eval"]
    if not held_out:
        logger.info("No eval prompts: the figures before and after are those of prompts that were trained on")
    return held_out or list(prompts.values())


def count_rows(total: int, refused: Counter[str]) -> Row:
    """What became of the rows of data.jsonl, for result.json."""
    return {"in": total, "used": total - refused.total(), "refused": dict(refused)}


# --- what must hold --------------------------------------------------------------------------------------------


def check_start(before: list[Row], roles: Roles) -> None:
    """The policy is where the round began, and in the first round that is the reference."""
    distance = max(abs(row["kl"]) if roles.fresh else abs(row["kl_round_start"]) for row in before)
    if distance > 10 * AGREEMENT:
        raise AssertionError(f"the untrained policy is {distance:.4f} nats away from where it starts")


@torch.no_grad()
def check_student(trainer: Trainer, roles: Roles, prompt: Prompt) -> None:
    """What TRL trains is our policy, with the adapter off it is ρ, and the adapter is all that learns."""
    if roles.adapter is None:
        return
    model = trainer.model
    learning = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not learning or len(learning) != len(roles.start):
        raise AssertionError(f"{len(learning)} tensors would be trained, the adapter has {len(roles.start)}")
    if set(model.peft_config) != {STUDENT}:
        raise AssertionError(f"TRL has added adapters of its own: {sorted(model.peft_config)}")
    ids = torch.tensor([prompt.tokens], device=roles.shared.device)
    mask = torch.ones_like(ids, dtype=torch.bool)
    answers = Answers(ids[:, :1], mask[:, :1], ids[:, None, 1:], mask[:, None, 1:])
    was_training = model.training
    model.eval()
    with model.disable_adapter():
        reference = next_token_logprobs(model, ids)
    policy = next_token_logprobs(model, ids)
    model.train(was_training)
    for role, theirs in ((None, reference), (POLICY, policy)):
        ours = role_logprobs(roles.shared, answers, answers.response_mask, role, 1.0)
        if float((theirs - ours[:, 0]).abs().max()) > AGREEMENT:
            raise AssertionError(f"TRL's {'policy' if role else 'reference'} is not ours")


@torch.no_grad()
def check_whole(trainer: Trainer, roles: Roles, prompt: Prompt) -> None:
    """What TRL trained is the policy that is evaluated and saved, and the reference beside it has stayed."""
    if trainer.model is not roles.actor.model:
        raise AssertionError("TRL trains another model than the policy")
    ids = torch.tensor([prompt.tokens], device=roles.shared.device)
    if torch.equal(next_token_logprobs(trainer.model, ids), next_token_logprobs(roles.shared.model, ids)):
        raise AssertionError("the policy has not changed: nothing was trained")


def next_token_logprobs(model: nn.Module, ids: Tensor) -> Tensor:
    """Log-probability of each token but the first, at temperature 1. Shapes: (1, t) → (1, t − 1)."""
    logprobs = model(input_ids=ids).logits[:, :-1].float().log_softmax(-1)
    return logprobs.gather(-1, ids[:, 1:, None])[..., 0]
