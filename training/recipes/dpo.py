"""Direct preference optimisation (Rafailov et al. 2305.18290): `python -m training.recipes.dpo RUN_DIR`."""

from __future__ import annotations

from collections import Counter

from training.methods import DPOConfig
from training.phrases import phrase
from training.recipes.models.shared_model import SharedModel
from training.recipes.process.errors import nothing_usable
from training.recipes.process.run import run_recipe
from training.recipes.selection import Yardstick, means_by_prompt
from training.recipes.text.prompts import PromptTokens, Refused, prompt_tokens, response_tokens
from training.recipes.trainer.callback import RunCallback
from training.recipes.trainer.pairs import TokenPair, learn_from_pairs, pair_logprobs
from training.recipes.trainer.roles import POLICY, load_roles
from training.recipes.trainer.training import count_rows, held_out_prompts, report_results
from training.rundir import Row, RunDir

UNSEEN_PAIRS = "the margin on unseen pairs"


def train_policy(run: RunDir, config: DPOConfig, inputs: Row) -> Row:
    # 1. Roles and pairs.
    roles = load_roles(run, config, inputs)
    rows = list(run.rows())
    prompts, train, unseen, refused = read_pairs(rows, roles.shared, config)
    if not train:
        raise nothing_usable(phrase("There is no pair to train on"), len(rows), refused)
    callback = RunCallback(
        run,
        config,
        roles,
        held_out_prompts(prompts),
        unit="steps",
        yardstick=Yardstick(UNSEEN_PAIRS, lambda: preference_gains(roles.shared, unseen, config)) if unseen else None,
    )

    # 2. Training.
    after = learn_from_pairs(callback, train, config)

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


if __name__ == "__main__":
    run_recipe(train_policy, DPOConfig)
