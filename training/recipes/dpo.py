"""Direct preference optimisation (Rafailov et al. 2305.18290): `python -m training.recipes.dpo RUN_DIR`.

TRL's trainer on our tokens and our reference: its log-probabilities are computed once, with the adapters off.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from training.methods import DPOConfig
from training.recipes.models.shared_model import SharedModel
from training.recipes.process.errors import RecipeError
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

UNSEEN_PAIRS = "the margin on unseen pairs"


@dataclass(frozen=True)
class TokenPair:
    prompt: list[int]
    chosen: list[int]
    rejected: list[int]


def train_policy(run: RunDir, config: DPOConfig, inputs: Row) -> Row:
    # 1. Roles and pairs, with the reference's log-probabilities.
    roles = load_roles(run, config, inputs)
    rows = list(run.rows())
    prompts, train, unseen, refused = read_pairs(rows, roles.shared, config)
    if not train:
        raise RecipeError(f"There is no pair to train on ({len(rows)} rows; refused: {dict(refused)})")
    callback = RunCallback(
        run,
        config,
        roles,
        held_out_prompts(prompts),
        unit="steps",
        yardstick=Yardstick(UNSEEN_PAIRS, lambda: preference_gains(roles.shared, unseen, config)) if unseen else None,
    )
    with callback.watch.measure("reference"):
        reference = pair_logprobs(roles.shared, train, None, config.micro_batch or config.batch_size)

    # 2. Training.
    trainer = make_trainer(
        model=roles.student,
        peft_config=roles.adapter,
        processing_class=roles.shared.tokenizer,
        examples=[
            {
                "prompt_ids": pair.prompt,
                "chosen_ids": pair.chosen,
                "rejected_ids": pair.rejected,
                "ref_chosen_logps": chosen,
                "ref_rejected_logps": rejected,
            }
            for pair, (chosen, rejected) in zip(train, reference.tolist(), strict=True)
        ],
        arguments=settings(run, config, roles)
        | {
            "num_train_epochs": config.epochs,
            "per_device_train_batch_size": config.batch_size,
            "beta": config.beta,
            "logging_steps": 1,
            "max_length": None,
        },
    )
    trainer.learn_in_parts(MicroBatches(config.micro_batch, "pairs"))
    after = learn(trainer, callback, describe)

    # 3. How often the policy prefers what people preferred, then save.
    accuracy = None
    if unseen:
        margins = [pair_logprobs(roles.shared, unseen, role, config.batch_size) for role in (POLICY, None)]
        gains = margins[0] - margins[1]
        accuracy = round(float((gains[:, 0] > gains[:, 1]).double().mean()), 4)
    return report_results(
        callback,
        after,
        pairs=len(train),
        pairs_eval=len(unseen),
        accuracy=accuracy,
        rows=count_rows(len(rows), refused),
    )


def make_trainer(*, examples: list[Row], arguments: Row, **more: Any) -> Any:
    from datasets import Dataset
    from trl import DPOConfig as Arguments
    from trl import DPOTrainer

    class PairTrainer(InParts, DPOTrainer):  # type: ignore[misc]
        """Takes our tokens and our reference as they are."""

        def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
            return dataset

        def _precompute_ref_logps(self, dataset: Dataset, *_: Any) -> Dataset:
            return dataset

    return PairTrainer(
        train_dataset=Dataset.from_list(examples), args=Arguments(**arguments, precompute_ref_log_probs=True), **more
    )


def read_pairs(
    rows: list[Row], shared: SharedModel, config: DPOConfig
) -> tuple[dict[int, PromptTokens], list[TokenPair], list[TokenPair], Counter[str]]:
    """Return usable prompts by id, the pairs of the train and the eval split, and the reasons of refusals."""
    prompts: dict[int, PromptTokens] = {}
    pairs: dict[str, list[TokenPair]] = {"train": [], "eval": []}
    refused: Counter[str] = Counter()
    most = min(config.max_length, shared.longest - config.max_new_tokens)  # room for answers to the eval prompts
    for row in rows:
        try:
            prompt = prompt_tokens(shared.chat, row["prompt"], most)
            chosen, rejected = (
                response_tokens(shared.chat, row[name][0]["content"], most - len(prompt))
                for name in ("chosen", "rejected")
            )
            if chosen == rejected:
                raise Refused("both answers are the same")
        except Refused as problem:
            refused[str(problem)] += 1
            continue
        prompts[row["prompt_id"]] = PromptTokens(row["prompt_id"], prompt, row["split"])
        pairs[row["split"]].append(TokenPair(prompt, chosen, rejected))
    return prompts, pairs["train"], pairs["eval"], refused


def preference_gains(shared: SharedModel, pairs: list[TokenPair], config: DPOConfig) -> list[float]:
    """Return by how many nats the policy prefers what people preferred more than the reference does, by prompt."""
    policy, reference = (pair_logprobs(shared, pairs, role, config.batch_size) for role in (POLICY, None))
    gains = (policy - reference).double()
    return means_by_prompt([pair.prompt for pair in pairs], (gains[:, 0] - gains[:, 1]).tolist())


def pair_logprobs(shared: SharedModel, pairs: list[TokenPair], role: str | None, batch_size: int) -> Tensor:
    """Return log-probabilities of the chosen and the rejected answers, summed over tokens with EOS: (pairs, 2)."""
    answers = [[pair.chosen, pair.rejected] for pair in pairs]
    return given_logprobs(shared, [pair.prompt for pair in pairs], answers, role, batch_size)


def describe(log: Row) -> dict[str, float]:
    return {
        "dpo/loss": log["loss"],
        "dpo/accuracy": log["rewards/accuracies"],
        "dpo/margin": log["rewards/margins"],
        "dpo/logprob_chosen": log["logps/chosen"],
        "dpo/logprob_rejected": log["logps/rejected"],
        "dpo/grad_norm": log["grad_norm"],
        "dpo/lr": log["learning_rate"],
    }


if __name__ == "__main__":
    run_recipe(train_policy, DPOConfig)
