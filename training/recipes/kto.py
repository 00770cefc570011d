"""Kahneman–Tversky optimisation (Ethayarajh et al. 2402.01306): `python -m training.recipes.kto RUN_DIR`.

TRL's trainer on our tokens and our reference. The reference point, the KL of the policy from the reference, is
estimated as in the paper from answers to other prompts: each answer's place is taken by one to another prompt (TRL
takes the neighbour's, which in our files is often another answer to the same prompt), over the whole step, whatever
its parts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from annotation.stats.unpaired import source_of, unpaired_labels
from training.methods import KTOConfig
from training.phrases import phrase
from training.recipes.models.shared_model import SharedModel
from training.recipes.process.errors import RecipeError, nothing_usable
from training.recipes.process.memory import MicroBatches
from training.recipes.process.run import run_recipe
from training.recipes.selection import Yardstick, means_by_prompt
from training.recipes.text.prompts import PromptTokens, Refused, prompt_tokens, response_tokens
from training.recipes.trainer.callback import RunCallback
from training.recipes.trainer.given import given_logprobs
from training.recipes.trainer.parts import InParts
from training.recipes.trainer.roles import POLICY, load_roles
from training.recipes.trainer.training import count_rows, held_out_prompts, learn, report_results, settings
from training.rundir import Row, RunDir

UNSEEN_LABELS = "the gain of unseen good responses over bad ones"
NO_MAJORITY = "as many votes for good as for bad, or none for either"


@dataclass(frozen=True)
class LabelledAnswer:
    """An answer with its prompt, as tokens, whether people found it good, and where they said so (`source_of`)."""

    prompt: list[int]
    answer: list[int]
    good: bool
    source: str = ""


def train_policy(run: RunDir, config: KTOConfig, inputs: Row) -> Row:
    # 1. Roles and labelled answers, with the reference's log-probabilities.
    roles = load_roles(run, config, inputs)
    rows = list(run.rows())
    prompts, train, unseen, refused = read_answers(rows, roles.shared, config)
    if not train:
        raise nothing_usable(
            phrase("There is no response to train on that people found good or bad"), len(rows), refused
        )
    others = answers_of_other_prompts(train)
    callback = RunCallback(
        run,
        config,
        roles,
        held_out_prompts(prompts),
        unit="steps",
        yardstick=Yardstick(UNSEEN_LABELS, lambda: gains_by_prompt(roles.shared, unseen, config)) if unseen else None,
    )
    with callback.watch.measure("reference"):
        both = [[row.answer, other] for row, other in zip(train, others, strict=True)]
        at_once = config.micro_batch or config.batch_size
        reference = given_logprobs(roles.shared, [row.prompt for row in train], both, None, at_once)

    # 2. Training.
    good, bad = weights(train, config)
    trainer = make_trainer(
        model=roles.student,
        peft_config=roles.adapter,
        processing_class=roles.shared.tokenizer,
        examples=[
            {
                "prompt_ids": row.prompt,
                "completion_ids": row.answer,
                "KL_completion_ids": other,
                "label": row.good,
                "ref_logps": own,
                "ref_KL_logps": mismatched,
            }
            for row, other, (own, mismatched) in zip(train, others, reference.tolist(), strict=True)
        ],
        arguments=settings(run, config, roles)
        | {
            "num_train_epochs": config.epochs,
            "per_device_train_batch_size": config.batch_size,
            "beta": config.beta,
            "desirable_weight": good,
            "undesirable_weight": bad,
            "logging_steps": 1,
            "max_length": None,
        },
    )
    trainer.learn_in_parts(MicroBatches(config.micro_batch, "responses"))
    after = learn(trainer, callback, describe)

    # 3. How often a good answer gained more than a bad one, then save.
    share = share_in_order(unseen, gains(roles.shared, unseen, config)) if unseen else None
    count = sum(row.good for row in train)
    return report_results(
        callback,
        after,
        good=count,
        bad=len(train) - count,
        sources=dict(sorted(Counter(row.source for row in train).items())),
        labels_eval=len(unseen),
        weights={"good": round(good, 4), "bad": round(bad, 4)},
        auc=share,
        rows=count_rows(len(train) + len(unseen) + refused.total(), refused),
    )


def make_trainer(*, examples: list[Row], arguments: Row, **more: Any) -> Any:
    from datasets import Dataset
    from trl import KTOConfig as Arguments
    from trl import KTOTrainer

    class AnswerTrainer(InParts, KTOTrainer):  # type: ignore[misc]
        """Takes our tokens and our reference as they are, and one estimate of the KL for all parts of a step."""

        def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
            return dataset

        def _precompute_ref_logps(self, dataset: Dataset, *_: Any) -> Dataset:
            return dataset

        def training_step(self, model: nn.Module, inputs: Row, *rest: Any) -> Tensor:
            self.kl = self.estimate_kl(model, inputs["rows"])
            return super().training_step(model, inputs, *rest)

        def estimate_kl(self, model: nn.Module, rows: list[Row]) -> Tensor:
            """Return the mean over the step's rows of log π(y'|x) − log ρ(y'|x), in nats; y' answers another prompt."""
            mine = rows[self.processes.rank :: self.processes.count]
            found = self.memory.collect(mine, lambda some: self.mismatched_gains(model, some))
            total = torch.cat([*found, torch.zeros(1, device=self.accelerator.device)]).sum()
            self.processes.add_up([total])
            return total / len(rows)

        def mismatched_gains(self, model: nn.Module, rows: Sequence[Row]) -> Tensor:
            without = [{name: value for name, value in row.items() if name != "completion_ids"} for row in rows]
            batch = {name: tensor.to(self.accelerator.device) for name, tensor in self.collate(without).items()}
            return KTOTrainer._compute_kl_logps(self, model, batch) - batch["ref_KL_logps"]

        def _compute_kl_logps(self, _model: nn.Module, batch: Row) -> Tensor:
            return batch["ref_KL_logps"] + self.kl

    return AnswerTrainer(
        train_dataset=Dataset.from_list(examples), args=Arguments(**arguments, precompute_ref_log_probs=True), **more
    )


def read_answers(
    rows: list[Row], shared: SharedModel, config: KTOConfig
) -> tuple[dict[int, PromptTokens], list[LabelledAnswer], list[LabelledAnswer], Counter[str]]:
    """Return usable prompts by id, the labelled answers of train and eval split, and the reasons of refusals."""
    prompts: dict[int, PromptTokens] = {}
    answers: dict[str, list[LabelledAnswer]] = {"train": [], "eval": []}
    refused: Counter[str] = Counter()
    most = min(config.max_length, shared.longest - config.max_new_tokens)  # room for answers to the eval prompts
    for row in rows:
        try:
            prompt = prompt_tokens(shared.chat, row["prompt"], most)
        except Refused as problem:
            refused[str(problem)] += len(row["candidates"])
            continue
        for candidate, good in zip(row["candidates"], unpaired_labels(row), strict=True):
            if good is None:
                refused[NO_MAJORITY] += 1
                continue
            try:
                answer = response_tokens(shared.chat, candidate["text"], most - len(prompt))
            except Refused as problem:
                refused[str(problem)] += 1
                continue
            prompts[row["prompt_id"]] = PromptTokens(row["prompt_id"], prompt, row["split"])
            answers[row["split"]].append(LabelledAnswer(prompt, answer, good, source_of(row)))
    return prompts, answers["train"], answers["eval"], refused


def answers_of_other_prompts(rows: list[LabelledAnswer]) -> list[list[int]]:
    """Return for each answer one that was given to another prompt: that half the file further on, or the next such."""
    found = []
    for number, row in enumerate(rows):
        for step in range(len(rows)):
            other = rows[(number + len(rows) // 2 + step) % len(rows)]
            if other.prompt != row.prompt:
                found.append(other.answer)
                break
        else:
            raise RecipeError("All responses answer one prompt; KTO measures the policy's KL on those of another one")
    return found


def weights(rows: list[LabelledAnswer], config: KTOConfig) -> tuple[float, float]:
    """Return the weights of good and of bad answers: with `balanced` both sides weigh the same (the paper's Eq. 8)."""
    good = sum(row.good for row in rows)
    bad = len(rows) - good
    if not config.balanced or not good or not bad:
        return 1.0, 1.0
    return (1.0, good / bad) if good > bad else (bad / good, 1.0)


def gains(shared: SharedModel, rows: list[LabelledAnswer], config: KTOConfig) -> list[float]:
    """Return by how many nats each answer is likelier under the policy than under the reference."""
    prompts, answers = [row.prompt for row in rows], [[row.answer] for row in rows]
    policy, reference = (
        given_logprobs(shared, prompts, answers, role, config.batch_size).double() for role in (POLICY, None)
    )
    found: list[float] = (policy - reference)[:, 0].tolist()
    return found


def gains_by_prompt(shared: SharedModel, rows: list[LabelledAnswer], config: KTOConfig) -> list[float]:
    """Return the mean gain of each prompt's answers, those of bad ones turned round."""
    found = gains(shared, rows, config)
    towards = [gain if row.good else -gain for row, gain in zip(rows, found, strict=True)]
    return means_by_prompt([row.prompt for row in rows], towards)


def share_in_order(rows: list[LabelledAnswer], found: list[float]) -> float | None:
    """Return how often a good answer gained more than a bad one, of all such pairs (AUC); None without both kinds."""
    good = torch.tensor([gain for row, gain in zip(rows, found, strict=True) if row.good], dtype=torch.float64)
    bad = torch.tensor([gain for row, gain in zip(rows, found, strict=True) if not row.good], dtype=torch.float64)
    if not len(good) or not len(bad):
        return None
    ordered = bad.sort().values
    below = torch.searchsorted(ordered, good, right=False) + torch.searchsorted(ordered, good, right=True)
    return round(float(below.double().mean()) / (2 * len(bad)), 4)


def describe(log: Row) -> dict[str, float]:
    """Return TRL's figures under our names; a step without good or without bad answers has none of these."""
    names = {
        "kto/loss": "loss",
        "kto/kl": "kl",
        "kto/gain_good": "rewards/chosen",
        "kto/gain_bad": "rewards/rejected",
        "kto/logprob_good": "logps/chosen",
        "kto/logprob_bad": "logps/rejected",
        "kto/grad_norm": "grad_norm",
        "kto/lr": "learning_rate",
    }
    return {ours: log[theirs] for ours, theirs in names.items() if theirs in log}


if __name__ == "__main__":
    run_recipe(train_policy, KTOConfig)
