"""Supervised fine-tuning on tasks worded as instructions: `python -m training.recipes.instruction_tuning RUN_DIR`.

data.jsonl has the rows of training/instructions/recast.py. What the policy makes of wordings and tasks that it has not
seen is measured before and after: among a row's options the most probable one counts, or else an exact match.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from training.instructions.recast import TRAIN, UNSEEN_TASKS, UNSEEN_TEMPLATES, prompt_text
from training.instructions.report import compare, in_words, mentions, same_answer
from training.methods import InstructionTuningConfig
from training.phrases import phrase
from training.recipes.models.answers import Answers
from training.recipes.models.generation import Drawing, sample
from training.recipes.models.shared_model import SharedModel, role_logprobs
from training.recipes.process.errors import RecipeError, nothing_usable
from training.recipes.process.log import logger, remark
from training.recipes.process.run import run_recipe
from training.recipes.process.seeds import generator
from training.recipes.selection import Yardstick
from training.recipes.sft import IGNORED, describe, example, sft_trainer
from training.recipes.text.prompts import PromptTokens, Refused, pad_left, pad_right, prompt_tokens, response_tokens
from training.recipes.trainer.callback import RunCallback
from training.recipes.trainer.checks import atol
from training.recipes.trainer.roles import Roles, load_roles
from training.recipes.trainer.training import count_rows, learn, report_results
from training.rundir import Row, RunDir

UNSEEN_RIGHT = "the share of unseen instructions answered right"
GREEDY = 0.01  # so cold that the most probable token is drawn
TOGETHER = 16  # rows that are measured at once
TIE = 1e-3  # weight of a right answer's probability beside whether it was given: it decides between equals only


@dataclass(frozen=True)
class Question:
    """A held-out row as token ids. `options` are the answers among which the most probable one is the policy's.

    `wanted` is the right answer.
    """

    row: Row
    prompt: list[int]
    options: list[list[int]]
    wanted: list[int]


def train_policy(run: RunDir, config: InstructionTuningConfig, inputs: Row) -> Row:
    # 1. Roles and rows.
    roles = load_roles(run, config, inputs)
    rows = list(run.rows())
    examples, questions, refused = read_rows(rows, roles.shared, config)
    if not examples:
        raise nothing_usable(phrase("There is no instruction to learn from"), len(rows), refused)
    if not questions:
        raise RecipeError("There is no unseen instruction to measure with: hold out a cluster or use rule-made tasks")
    trainer = sft_trainer(run, config, roles, examples)
    if config.packing:
        pad_unless_kept_apart(trainer, examples)
    shown = spread(questions, config.shown)
    prompts = [PromptTokens(place, question.prompt, "eval") for place, question in enumerate(shown)]
    callback = RunCallback(
        run,
        config,
        roles,
        prompts,
        unit="steps",
        yardstick=Yardstick(UNSEEN_RIGHT, lambda: how_right(roles, questions, config), before_judge=True),
        measure=lambda: answer_all(roles, questions, config),
    )

    # 2. Training.
    after = learn(trainer, callback, describe)
    measured = callback.measure_policy()

    # 3. Figures, save.
    outcome = compare(
        {
            **question.row,
            "before": old["right"],
            "mentioned_before": old["mentioned"],
            "after": new["right"],
            "mentioned_after": new["mentioned"],
        }
        for question, old, new in zip(questions, callback.measured, measured, strict=True)
    )
    words = [said for split, figures in outcome.items() if (said := in_words(split, figures))]
    for said in words:
        logger.info("%s", said)
    shown_rows = [question.row for question in shown]
    return report_results(
        callback,
        after,
        {place: {"prompt": prompt_text(row), "wanted": row["output"]} for place, row in enumerate(shown_rows)},
        **outcome,
        in_words=words,
        instructions=len(examples),
        tasks=len({row["task"] for row in rows if row["split"] == TRAIN}),
        rows=count_rows(len(rows), refused),
    )


def read_rows(
    rows: list[Row], shared: SharedModel, config: InstructionTuningConfig
) -> tuple[list[Row], list[Question], Counter[str]]:
    """Return the train split as token ids with labels, the held-out rows, and the reasons of refusals."""
    examples: list[Row] = []
    questions: list[Question] = []
    refused: Counter[str] = Counter()
    most = min(config.max_length, shared.longest - config.max_new_tokens)
    for row in rows:
        messages = [{"role": "user", "content": prompt_text(row)}]
        try:
            prompt = prompt_tokens(shared.chat, messages, most)
            texts = [row["output"], *([] if row["split"] == TRAIN else row["options"])]
            wanted, *options = (response_tokens(shared.chat, text, most - len(prompt)) for text in texts)
        except Refused as problem:
            refused[str(problem)] += 1
            continue
        if row["split"] == TRAIN:
            examples.append(example(prompt, wanted))
        else:
            questions.append(Question(row, prompt, options, wanted))
    return examples, questions, refused


def spread(questions: list[Question], count: int) -> list[Question]:
    """Return some rows of both splits, evenly spread, unseen tasks first."""
    chosen = []
    for split in (UNSEEN_TASKS, UNSEEN_TEMPLATES):
        own = [question for question in questions if question.row["split"] == split]
        share = min(len(own), -(-count // 2))
        chosen += [own[place * len(own) // share] for place in range(share)]
    return chosen[:count]


def pad_unless_kept_apart(trainer: Any, examples: list[Row]) -> None:
    """Pad the examples instead of packing them where the model's attention does not keep a pack's examples apart.

    Then each would read those before it, and its labels would be of another text.
    """
    try:
        apart = loss_difference(trainer, examples[:3]) <= atol()
    except (TypeError, ValueError, RuntimeError, IndexError):
        apart = False
    if not apart:
        remark("This model's attention does not keep packed instructions apart: they are padded, which is slower")
        trainer.padding_free = trainer.collate.padding_free = False


@torch.no_grad()
def loss_difference(trainer: Any, few: list[Row]) -> float:
    """Return by how much the loss of a pack differs from that of its examples one by one, in nats per token."""
    model = trainer.model.eval()
    packed = trainer.collate(few)
    alone = [trainer.collate([each]) for each in few]
    counts = [int((each["labels"][:, 1:] != IGNORED).sum()) for each in alone]
    losses = [float(model(**_moved(each, model.device)).loss) for each in alone]
    together = float(model(**_moved(packed, model.device)).loss)
    return abs(together - sum(loss * count for loss, count in zip(losses, counts, strict=True)) / sum(counts))


def _moved(batch: Row, device: torch.device) -> Row:
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in batch.items()}


# --- measuring -------------------------------------------------------------------------------------------------


@torch.no_grad()
def answer_all(roles: Roles, questions: Sequence[Question], config: InstructionTuningConfig) -> list[Row]:
    """Return the policy's answer to each question, and whether it is right, in their order."""
    given: dict[int, str] = {}
    for batch in batches(questions):
        asked = [questions[place] for place in batch]
        if asked[0].options:
            texts = [
                question.row["options"][best]
                for question, best in zip(asked, most_probable(roles.actor, roles.role, asked), strict=True)
            ]
        else:
            rollout = sample(
                roles.actor,
                roles.role,
                [question.prompt for question in asked],
                Drawing(1, config.max_new_tokens, GREEDY),
                generator(config.seed, "measure", batch[0]),
            )
            texts = [answer for (answer,) in rollout.texts(roles.actor)]
        given |= dict(zip(batch, texts, strict=True))
    return [
        {
            "given": given[place],
            "right": same_answer(given[place], question.row["output"]),
            "mentioned": mentions(given[place], question.row["output"]),
        }
        for place, question in enumerate(questions)
    ]


@torch.no_grad()
def how_right(roles: Roles, questions: Sequence[Question], config: InstructionTuningConfig) -> list[float]:
    """Return 1 for each question that is answered right, else 0, and a little for how likely the right answer is.

    Of two checkpoints with as many right answers the surer one is the better. Likely: the geometric mean of its
    tokens' probabilities, times TIE.
    """
    found = [float(row["right"]) for row in answer_all(roles, questions, config)]
    for batch in batches(questions):
        asked = [questions[place] for place in batch]
        logprobs, mask = option_logprobs(roles.actor, roles.role, asked, [[question.wanted] for question in asked])
        likely = (logprobs.sum(-1) / mask.sum(-1)).exp()[:, 0].tolist()
        for place, value in zip(batch, likely, strict=True):
            found[place] += TIE * value
    return found


def batches(questions: Sequence[Question]) -> list[list[int]]:
    """Return indices of questions with the same number of options, by similar length."""
    order = sorted(
        range(len(questions)), key=lambda place: (len(questions[place].options), -len(questions[place].prompt))
    )
    found: list[list[int]] = []
    for place in order:
        count = len(questions[place].options)
        if not found or len(found[-1]) == TOGETHER or len(questions[found[-1][0]].options) != count:
            found.append([])
        found[-1].append(place)
    return found


def most_probable(model: SharedModel, role: str | None, asked: Sequence[Question]) -> list[int]:
    """Return for each question the option with the greatest log-probability, its EOS included."""
    logprobs, _ = option_logprobs(model, role, asked, [question.options for question in asked])
    best: list[int] = logprobs.sum(-1).argmax(-1).tolist()
    return best


def option_logprobs(
    model: SharedModel, role: str | None, asked: Sequence[Question], options: list[list[list[int]]]
) -> tuple[Tensor, Tensor]:
    """Return the log-probability of each token of each question's options, and which tokens are real: (g, k, r)."""
    ids, mask = (tensor.to(model.device) for tensor in pad_left([question.prompt for question in asked], model.pad))
    tokens, drawn = (tensor.to(model.device) for tensor in pad_right(options, model.pad))
    return role_logprobs(model, Answers(ids, mask, tokens, drawn), drawn, role, 1.0), drawn


if __name__ == "__main__":
    run_recipe(train_policy, InstructionTuningConfig)
