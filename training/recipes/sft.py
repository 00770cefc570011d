"""Supervised fine-tuning on the answers that people wrote, or ranked best: `python -m training.recipes.sft RUN_DIR`."""

from __future__ import annotations

from collections import Counter

import torch
from transformers import Trainer

from training.methods import InstructionTuningConfig, SFTConfig
from training.phrases import phrase
from training.recipes.models.answers import Answers
from training.recipes.models.shared_model import SharedModel, role_logprobs
from training.recipes.process.errors import nothing_usable
from training.recipes.process.memory import MicroBatches
from training.recipes.process.run import run_recipe
from training.recipes.selection import Yardstick, means_by_prompt
from training.recipes.text.prompts import PromptTokens, Refused, pad_left, pad_right, prompt_tokens, response_tokens
from training.recipes.trainer.callback import RunCallback
from training.recipes.trainer.parts import InParts
from training.recipes.trainer.roles import Roles, load_roles
from training.recipes.trainer.training import count_rows, held_out_prompts, learn, report_results, settings
from training.rundir import Row, RunDir

UNSEEN_ANSWERS = "the log-probability per token of unseen answers"
PromptWithAnswer = tuple[list[int], list[int]]  # a prompt and its answer
IGNORED = -100  # label of a token that is read but not learned


def train_policy(run: RunDir, config: SFTConfig, inputs: Row) -> Row:
    # 1. Roles and answers.
    roles = load_roles(run, config, inputs)
    rows = list(run.rows())
    prompts, examples, unseen, refused = read_answers(rows, roles.shared, config)
    if not examples:
        raise nothing_usable(phrase("There is no response to learn from"), len(rows), refused)
    callback = RunCallback(
        run,
        config,
        roles,
        held_out_prompts(prompts),
        unit="steps",
        yardstick=Yardstick(UNSEEN_ANSWERS, lambda: answer_logprobs(roles, unseen, config)) if unseen else None,
    )

    # 2. Training.
    trainer = sft_trainer(run, config, roles, examples)
    after = learn(trainer, callback, describe)

    # 3. Save.
    return report_results(callback, after, answers=len(examples), rows=count_rows(len(rows), refused))


def sft_trainer(run: RunDir, config: SFTConfig | InstructionTuningConfig, roles: Roles, examples: list[Row]) -> Trainer:
    """TRL's trainer for examples of token ids with labels."""
    from datasets import Dataset
    from trl import SFTConfig as Arguments
    from trl import SFTTrainer

    class PartTrainer(InParts, SFTTrainer):  # type: ignore[misc]
        def count_items(self, rows: list[Row]) -> int:
            return sum(label != IGNORED for row in rows for label in row["labels"][1:])

    trainer = PartTrainer(
        model=roles.student,
        peft_config=roles.adapter,
        processing_class=roles.shared.tokenizer,
        train_dataset=Dataset.from_list(examples),
        args=Arguments(
            **settings(run, config, roles),
            num_train_epochs=config.epochs,
            per_device_train_batch_size=config.batch_size,
            logging_steps=1,
            max_length=None,
            padding_free=getattr(config, "packing", False),
        ),
    )
    trainer.learn_in_parts(MicroBatches(config.micro_batch, "answers"))
    return trainer


def example(prompt: list[int], answer: list[int]) -> Row:
    """Only the answer and its EOS are learned: the loss leaves out the prompt."""
    return {"input_ids": prompt + answer, "labels": [IGNORED] * len(prompt) + answer}


def read_answers(
    rows: list[Row], shared: SharedModel, config: SFTConfig
) -> tuple[dict[int, PromptTokens], list[Row], list[PromptWithAnswer], Counter[str]]:
    """Return usable prompts by id, the train split's answers as token ids with labels, the others, and refusals."""
    prompts: dict[int, PromptTokens] = {}
    examples: list[Row] = []
    unseen: list[PromptWithAnswer] = []
    refused: Counter[str] = Counter()
    most = min(config.max_length, shared.longest - config.max_new_tokens)  # room for answers to the eval prompts
    for row in rows:
        try:
            prompt = prompt_tokens(shared.chat, row["prompt"], most)
            answer = response_tokens(shared.chat, row["completion"][0]["content"], most - len(prompt))
        except Refused as problem:
            refused[str(problem)] += 1
            continue
        prompts[row["prompt_id"]] = PromptTokens(row["prompt_id"], prompt, row["split"])
        if row["split"] == "train":
            examples.append(example(prompt, answer))
        else:
            unseen.append((prompt, answer))
    return prompts, examples, unseen, refused


@torch.no_grad()
def answer_logprobs(roles: Roles, answered: list[PromptWithAnswer], config: SFTConfig) -> list[float]:
    """Return the policy's log-probability of people's answers in nats per token, by prompt."""
    model, means = roles.actor, []
    for at in range(0, len(answered), config.batch_size):
        part = answered[at : at + config.batch_size]
        prompt, prompt_mask = pad_left([prompt for prompt, _ in part], model.pad)
        ids, mask = pad_right([[answer] for _, answer in part], model.pad)
        batch = Answers(*(tensor.to(model.device) for tensor in (prompt, prompt_mask, ids, mask)))
        sums = role_logprobs(model, batch, batch.response_mask, roles.role, 1.0).sum(-1)
        means += (sums / batch.response_mask.sum(-1)).flatten().tolist()
    return means_by_prompt([prompt for prompt, _ in answered], means)


def describe(log: Row) -> dict[str, float]:
    return {
        "sft/loss": log["loss"],
        "sft/token_accuracy": log["mean_token_accuracy"],
        "sft/grad_norm": log["grad_norm"],
        "sft/lr": log["learning_rate"],
    }


if __name__ == "__main__":
    run_recipe(train_policy, SFTConfig)
