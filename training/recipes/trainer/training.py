"""What DPO, RLOO, SFT and instruction tuning share: TRL's trainers on our roles, with our run directory around them.

The tokens are ours (text/prompts.py), not those of TRL's data preparation: it drops long rows without a word, and what
a chat template puts behind an answer is not what a policy is sampled and scored with.
"""

from __future__ import annotations

import shutil
import warnings
from collections import Counter
from typing import Any

import torch
from peft import set_peft_model_state_dict
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback

from training.recipes.evaluation import figures, report, side_by_side
from training.recipes.losses.rl_math import POSITIONS_AT_ONCE
from training.recipes.process.files import replace_folder
from training.recipes.process.log import logger
from training.recipes.selection import gate
from training.recipes.text.prompts import PromptTokens
from training.recipes.trainer.callback import CANDIDATES, TRAINER_STATE, Describe, RunCallback, student_weights
from training.recipes.trainer.checks import check_student, check_whole, nothing_trained
from training.recipes.trainer.roles import POLICY, SCRATCH, STUDENT, Roles, TrainerConfig, save_policy
from training.rundir import EVALUATING, TRAINING, Row, RunDir

LEARNING_RATES = {"lora": 5e-4, "full": 2e-5}  # of instruction tuning, where none is set

# TRL sets gradient checkpointing unless told not to, by the name that transformers is giving up.
warnings.filterwarnings("ignore", message=".*gradient_checkpointing` is deprecated.*")


def settings(run: RunDir, config: TrainerConfig, roles: Roles) -> dict[str, Any]:
    """Return what every trainer is told. The frozen weights' number format is the model's own, see precision.py."""
    return {
        "output_dir": str(run.path / SCRATCH),
        "use_cpu": roles.shared.device.type == "cpu",
        "bf16": False,
        "gradient_checkpointing": config.checkpointing,
        "learning_rate": config.learning_rate or LEARNING_RATES.get(getattr(config, "train", ""), 0.0),
        "lr_scheduler_type": "linear",
        "seed": config.seed,
        "save_strategy": "no",  # the callback says when
        "logging_nan_inf_filter": False,
        "dataloader_pin_memory": False,
        "disable_tqdm": True,
        "report_to": [],
    }


def take_small_tiles(device: torch.device) -> None:
    """Let TRL compute logits of as many positions at once as we do, where it does so without a kernel of its own.

    It takes 4,096 positions by 32,768 tokens, in eight tensors of that size: 4 GiB.
    """
    from trl.kernels import chunked_logprob

    if device.type == "cpu":
        chunked_logprob.TOKEN_CHUNK_SIZE = POSITIONS_AT_ONCE


def learn(trainer: Trainer, callback: RunCallback, describe: Describe) -> list[Row]:
    """Train from the last state on, give the policy the best candidate's weights, and return its evaluated answers."""
    roles = callback.roles
    take_small_tiles(roles.shared.device)
    if roles.adapter is not None:
        set_peft_model_state_dict(trainer.model, roles.start, adapter_name=STUDENT)
    check_student(trainer, roles, callback.prompts[0])
    callback.describe = describe
    trainer.add_callback(callback)
    trainer.remove_callback(PrinterCallback)
    state = callback.run.load_state()
    reached = None if state is None else state / TRAINER_STATE
    callback.run.report_phase(TRAINING)
    if not callback.stopped:
        trainer.train(resume_from_checkpoint=str(reached) if reached is not None and reached.exists() else None)

    callback.run.report_phase(EVALUATING)
    if roles.adapter is None:
        trainer.model.eval()
        check_whole(trainer, roles, callback.prompts[0], callback.config)
    else:
        weights = callback.earlier[0] if callback.stopped else student_weights(trainer.model)
        set_peft_model_state_dict(trainer.model, weights, adapter_name=STUDENT)
        if not callback.stopped and all(torch.equal(tensor, roles.start[name]) for name, tensor in weights.items()):
            raise nothing_trained(callback.config)
        roles.shared.adapters.load_weights(POLICY, weights)
        check_student(trainer, roles, callback.prompts[0])
    if callback.kept > 0:
        callback.add_candidate(callback.kept, callback.evaluate())
    return callback.choose()


def report_results(callback: RunCallback, after: list[Row], asked: dict[int, Row] | None = None, **more: Any) -> Row:
    """Write checkpoint and samples, and return the result.

    `asked` has more fields for the samples of prompts that no project has, by prompt id.
    """
    run, step, evaluations = callback.run, callback.chosen, callback.evaluations
    reference = [] if callback.roles.fresh else callback.evaluate_reference()
    if callback.processes.is_first:
        if step > 0:  # else nothing new is kept
            replace_folder(run.checkpoint_path, lambda folder: save_policy(callback.roles, folder))
        run.samples_path.unlink(missing_ok=True)
        for row in side_by_side(callback.before, after, reference):
            run.log_sample({"step": step, **row, **(asked[row["prompt_id"]] if asked else {})})
        for leftover in (SCRATCH, CANDIDATES):
            shutil.rmtree(run.path / leftover, ignore_errors=True)
    unseen = callback.yardstick is not None or callback.prompts[0].split == "eval"
    return {
        **report(callback.before, after, reference),
        "frontier": [figures(row["step"], row["rows"]) for row in evaluations],
        "selected": {"step": step, "reason": callback.reason},
        "gate": gate(evaluations, step, callback.config.seed, yardstick=callback.yardstick_name, unseen=unseen),
        "stopped": callback.stopped,
        **more,
        **callback.watch.report(),
    }


def held_out_prompts(prompts: dict[int, PromptTokens]) -> list[PromptTokens]:
    """Return each eval prompt once; where there are none, those that are trained on."""
    held_out = [prompt for prompt in prompts.values() if prompt.split == "eval"]
    if not held_out:
        logger.info("No eval prompts: the figures before and after are those of prompts that were trained on")
    return held_out or list(prompts.values())


def count_rows(total: int, refused: Counter[str]) -> Row:
    """Return the counts of used and refused rows of data.jsonl, for result.json."""
    return {"in": total, "used": total - refused.total(), "refused": dict(refused)}
