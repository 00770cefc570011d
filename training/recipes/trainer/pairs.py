"""Learning from pairs of answers with TRL's DPO: on our tokens, and against our reference's log-probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from training.methods import DistilConfig, DPOConfig
from training.recipes.models.shared_model import SharedModel
from training.recipes.process.memory import MicroBatches
from training.recipes.trainer.callback import RunCallback
from training.recipes.trainer.given import given_logprobs
from training.recipes.trainer.parts import InParts
from training.recipes.trainer.training import learn, settings
from training.rundir import Row


@dataclass(frozen=True)
class TokenPair:
    prompt: list[int]
    chosen: list[int]
    rejected: list[int]


def learn_from_pairs(callback: RunCallback, train: list[TokenPair], config: DPOConfig | DistilConfig) -> list[Row]:
    """Train the policy on pairs and give it the best candidate's weights; return that one's evaluated answers.

    The reference's log-probabilities are computed once, with the adapters off.
    """
    roles = callback.roles
    with callback.watch.measure("reference"):
        reference = pair_logprobs(roles.shared, train, None, config.micro_batch or config.batch_size)
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
        arguments=settings(callback.run, config, roles)
        | {
            "num_train_epochs": config.epochs,
            "per_device_train_batch_size": config.batch_size,
            "beta": config.beta,
            "logging_steps": 1,
            "max_length": None,
        },
    )
    trainer.learn_in_parts(MicroBatches(config.micro_batch, "pairs"))
    return learn(trainer, callback, describe)


def make_trainer(*, examples: list[Row], arguments: Row, **more: Any) -> Any:
    """Return TRL's trainer for pairs that are tokens already."""
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


def pair_logprobs(shared: SharedModel, pairs: list[TokenPair], role: str | None, batch_size: int) -> Tensor:
    """Return log-probabilities of the chosen and the rejected answers, summed over tokens with EOS: (pairs, 2)."""
    answers = [[pair.chosen, pair.rejected] for pair in pairs]
    return given_logprobs(shared, [pair.prompt for pair in pairs], answers, role, batch_size)


def describe(log: Row) -> dict[str, float]:
    """Return TRL's log of a step under our names."""
    return {
        "dpo/loss": log["loss"],
        "dpo/accuracy": log["rewards/accuracies"],
        "dpo/margin": log["rewards/margins"],
        "dpo/logprob_chosen": log["logps/chosen"],
        "dpo/logprob_rejected": log["logps/rejected"],
        "dpo/grad_norm": log["grad_norm"],
        "dpo/lr": log["learning_rate"],
    }
