"""Repeat a round that was exported from Prefloop, with TRL: `python train.py` in the folder that has round.json.

    python train.py [--model NAME_OR_FOLDER] [--out out] [--only 1-reward 2-ppo] [--try]

Each stage goes on from what the one before it made, and leaves a whole model in out/<stage>/model. --try takes two
steps of each on a few rows, to see that everything is there. Needs what requirements.txt names; no part of Prefloop.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, load_dataset
from peft import LoraConfig, PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    RewardConfig,
    RewardTrainer,
    RLOOConfig,
    RLOOTrainer,
    SFTConfig,
    SFTTrainer,
)

HERE = Path(__file__).resolve().parent
TRAINERS = {
    "dpo": (DPOTrainer, DPOConfig),
    "sft": (SFTTrainer, SFTConfig),
    "rloo": (RLOOTrainer, RLOOConfig),
    "grpo": (GRPOTrainer, GRPOConfig),
}
TRIED_ROWS, TRIED_STEPS = 8, 2
SCORED_TOGETHER = 16


@dataclass
class Course:
    """Where the round has got to: the newest policy, the newest reward model."""

    policy: str
    reward_model: str | None
    out: Path
    trial: bool
    markup: frozenset[str]  # the tokenizer's special tokens

    def rows(self, stage: dict[str, Any], split: str) -> Dataset | None:
        if split not in stage["data"]:
            return None
        file = str(HERE / stage["data"][split])
        rows = load_dataset("json", data_files=file, split="train", cache_dir=str(self.out / "cache"))
        # TRL tokenises rendered text: a special token that a person or a model spelled would become one.
        plain = rows.filter(lambda row: not any(token in json.dumps(row, ensure_ascii=False) for token in self.markup))
        if len(plain) < len(rows):
            print(f"{stage['name']}: {len(rows) - len(plain)} {split} rows left out: a text spells a special token")
        rows = plain
        return rows.select(range(min(TRIED_ROWS, len(rows)))) if self.trial else rows

    def arguments(self, stage: dict[str, Any]) -> dict[str, Any]:
        on_gpu = torch.cuda.is_available()
        given = {
            "output_dir": str(self.out / stage["name"]),
            "save_strategy": "no",
            "report_to": "none",
            "logging_steps": 1,
            "lr_scheduler_type": "linear",
            "gradient_checkpointing": False,
            "use_cpu": not on_gpu,
            "bf16": on_gpu and torch.cuda.is_bf16_supported(),
            **stage["arguments"],
        }
        return given | {"max_steps": TRIED_STEPS} if self.trial else given


def main() -> None:
    options = command_line()
    described = json.loads((HERE / "round.json").read_text("utf-8"))
    base = options.model or described["base_model"]
    if not base:
        raise SystemExit("The base model was a folder on another machine: name it with --model.")
    options.out.mkdir(parents=True, exist_ok=True)
    markup = frozenset(tokenizer_of(base).all_special_tokens)
    course = Course(start_from(base, options.out), None, options.out, options.trial, markup)
    for stage in described["stages"]:
        made = options.out / stage["name"] / "model"
        if options.only and stage["name"] not in options.only:
            skip(course, stage, made)
            continue
        print(f"--- {stage['name']}", flush=True)
        STAGES[stage["trainer"]](course, stage, base, made)


def command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="the base model, where it is not the one that round.json names")
    parser.add_argument("--out", type=Path, default=HERE / "out")
    parser.add_argument("--only", nargs="+", metavar="STAGE", help="the others were run before, into the same folder")
    parser.add_argument("--try", dest="trial", action="store_true", help="two steps of each stage on a few rows")
    return parser.parse_args()


def start_from(base: str, out: Path) -> str:
    """The base model, with the adapter in start/ merged into it where the round began with one."""
    adapter, merged = HERE / "start", out / "start"
    if not adapter.exists():
        return base
    if not (merged / "config.json").exists():
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        PeftModel.from_pretrained(model, str(adapter)).merge_and_unload().save_pretrained(merged)
        tokenizer_of(base).save_pretrained(merged)
    return str(merged)


def skip(course: Course, stage: dict[str, Any], made: Path) -> None:
    if made.exists() and stage["trainer"] == "reward":
        course.reward_model = str(made)
    elif made.exists():
        course.policy = str(made)


def tokenizer_of(model: str) -> PreTrainedTokenizerBase:
    tokenizer = AutoTokenizer.from_pretrained(model)
    # With the same token for padding and for the end, no trainer can tell the one from the other.
    if tokenizer.pad_token in (None, tokenizer.eos_token):
        others = {tokenizer.eos_token, tokenizer.bos_token}
        tokenizer.pad_token = tokenizer.eos_token if tokenizer.unk_token in {None, *others} else tokenizer.unk_token
    return tokenizer


def adapter_for(stage: dict[str, Any], model: PreTrainedModel, **more: Any) -> LoraConfig | None:
    """On every linear layer of the top blocks, as Prefloop has it; None where the stage trains all weights."""
    if "lora" not in stage:
        return None
    layers = model.config.num_hidden_layers
    linear = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if type(module).__name__ in ("Linear", "Conv1D") and any(part.isdigit() for part in name.split("."))
    }
    return LoraConfig(
        r=stage["lora"]["rank"],
        lora_alpha=2 * stage["lora"]["rank"],
        lora_dropout=0.0,
        target_modules=sorted(linear),
        layers_to_transform=list(range(layers))[-stage["lora"]["top_blocks"] :],
        **more,
    )


def keep(trainer: Any, tokenizer: PreTrainedTokenizerBase, made: Path) -> str:
    """As a whole model, which the next stage begins with."""
    model = trainer.model
    model = model.merge_and_unload() if isinstance(model, PeftModel) else model
    model.save_pretrained(made)
    tokenizer.save_pretrained(made)
    (made.parent / "log.json").write_text(json.dumps(trainer.state.log_history, indent=1), "utf-8")
    return str(made)


# --- stages ----------------------------------------------------------------------------------------------------


def train_reward(course: Course, stage: dict[str, Any], base: str, made: Path) -> None:
    tokenizer = tokenizer_of(base)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32)
    model.config.pad_token_id = tokenizer.pad_token_id
    trainer = RewardTrainer(
        model=model,
        processing_class=tokenizer,
        args=RewardConfig(**course.arguments(stage)),
        train_dataset=course.rows(stage, "train"),
        eval_dataset=course.rows(stage, "eval"),
        peft_config=adapter_for(stage, model, task_type="SEQ_CLS", modules_to_save=["score"]),
    )
    finish(trainer, stage)
    course.reward_model = keep(trainer, tokenizer, made)


def train_on_rows(course: Course, stage: dict[str, Any], _: str, made: Path) -> None:
    kind, config = TRAINERS[stage["trainer"]]
    tokenizer = tokenizer_of(course.policy)
    model = AutoModelForCausalLM.from_pretrained(course.policy, dtype=torch.float32)
    trainer = kind(
        model=model,
        processing_class=tokenizer,
        args=config(**course.arguments(stage)),
        train_dataset=course.rows(stage, "train"),
        eval_dataset=course.rows(stage, "eval"),
        peft_config=adapter_for(stage, model, task_type="CAUSAL_LM"),
    )
    finish(trainer, stage)
    course.policy = keep(trainer, tokenizer, made)


def train_on_answers(course: Course, stage: dict[str, Any], _: str, made: Path) -> None:
    kind, config = TRAINERS[stage["trainer"]]
    if course.reward_model is None:
        raise SystemExit(f"{stage['name']} needs the reward model of an earlier stage: run that first.")
    tokenizer = tokenizer_of(course.policy)
    model = AutoModelForCausalLM.from_pretrained(course.policy, dtype=torch.float32)
    trainer = kind(
        model=model,
        processing_class=tokenizer,
        args=config(**course.arguments(stage)),
        train_dataset=course.rows(stage, "train"),
        reward_funcs=rewards_by(course.reward_model),
        peft_config=adapter_for(stage, model, task_type="CAUSAL_LM"),
    )
    trainer.train()
    course.policy = keep(trainer, tokenizer, made)


def finish(trainer: Any, stage: dict[str, Any]) -> None:
    trainer.train()
    if trainer.eval_dataset is not None:
        measured = {name: value for name, value in trainer.evaluate().items() if isinstance(value, float)}
        print(f"{stage['name']}: {measured}", flush=True)


def rewards_by(folder: str) -> Any:
    """A reward function of TRL: conversations are scored in the very form that the reward model was trained on."""
    tokenizer = tokenizer_of(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32).eval()
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")

    @torch.no_grad()
    def reward(prompts: list[Any], completions: list[Any], **_: Any) -> list[float]:
        texts = [
            tokenizer.apply_chat_template(prompt + completion, tokenize=False)
            for prompt, completion in zip(prompts, completions, strict=True)
        ]
        scores: list[float] = []
        for start in range(0, len(texts), SCORED_TOGETHER):
            batch = tokenizer(
                texts[start : start + SCORED_TOGETHER], add_special_tokens=False, padding=True, return_tensors="pt"
            ).to(model.device)
            scores += model(batch.input_ids, attention_mask=batch.attention_mask).logits[:, 0].float().tolist()
        return scores

    return reward


def sample(course: Course, stage: dict[str, Any], _: str, made: Path) -> None:
    """Answers of the newest policy to every prompt, into out/<stage>/samples.jsonl."""
    settings = dict(stage["arguments"])
    set_seed(settings.pop("seed"))
    together = settings.pop("batch_size")
    tokenizer = tokenizer_of(course.policy)
    tokenizer.padding_side = "left"
    model = AutoModelForCausalLM.from_pretrained(course.policy, dtype=torch.float32).eval()
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    stops = stops_of(model, tokenizer)
    parts = [course.rows(stage, split) for split in stage["data"]]
    prompts = [row for part in parts for row in part]
    made.parent.mkdir(parents=True, exist_ok=True)
    with (made.parent / "samples.jsonl").open("w", encoding="utf-8") as file:
        for start in range(0, len(prompts), together):
            batch = prompts[start : start + together]
            texts = [
                tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, tokenize=False)
                for row in batch
            ]
            given = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt").to(model.device)
            drawn = model.generate(
                **given, do_sample=True, top_k=0, top_p=1.0, pad_token_id=tokenizer.pad_token_id, **settings
            )
            for number, ids in enumerate(drawn[:, given.input_ids.shape[1] :].tolist()):
                row = batch[number // settings["num_return_sequences"]]
                end = next((place for place, token in enumerate(ids) if token in stops), len(ids))
                answer = tokenizer.decode(ids[:end], skip_special_tokens=False)
                file.write(json.dumps({"prompt_id": row["prompt_id"], "text": answer}, ensure_ascii=False) + "\n")


def stops_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Return the tokens that end an answer: a generation config names one or several."""
    named = model.generation_config.eos_token_id
    return {tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])} - {None}


STAGES = {
    "reward": train_reward,
    "dpo": train_on_rows,
    "sft": train_on_rows,
    "rloo": train_on_answers,
    "grpo": train_on_answers,
    "sample": sample,
}


if __name__ == "__main__":
    main()
