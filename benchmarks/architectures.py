"""Which recipes are right on which architectures: tiny models with random weights, every recipe, in one process.

    python benchmarks/architectures.py [--architectures llama,gemma2] [--recipes sample,ppo] [--also gemma2:kto]
                                       [--variants plain,bos] [--table FILE] [--rows FILE]

Each model goes through `prepare` and then through the recipes as a worker would start them. A recipe is *right* if it
finishes (the recipes assert that what they train is what they measure), *refused* if it says in words why it does not
start, and *wrong* if it ends in any other way. `logprobs` compares answers to prompts longer than the attention
windows with the log-probabilities of transformers itself; more than 1e-4 nats apart is wrong. What is read of an
answer is compared with its text alone, what is drawn with a batch that is padded in the same way, and in linear
attention token by token through the model's own cache, as generate() reads: there the rounding depends on where a text
begins, and on whether it is read at once. Variants change the tokenizer (no padding token, no chat template, a
token that begins every text) or make attention windows shorter than any prompt. `--table` writes the outcome as
Markdown. `--rows` keeps each outcome as a line of JSON; models whose outcomes are there already are not tried again,
so that a run can be stopped and started at will. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import logging
import os
import shutil
import sys
import tempfile
import time
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from annotation.stats.unpaired import ACCEPTABLE
from tests.architectures import CAUSAL, MASKED, VARIANTS, build, has_window
from training.methods import METHODS, InvalidConfig
from training.recipes.models.generation import Drawing, sample
from training.recipes.models.shared_model import SharedModel
from training.recipes.prepare import prepare
from training.recipes.process.errors import RecipeError
from training.recipes.process.log import log_to_stdout
from training.recipes.process.run import execute
from training.recipes.process.seeds import generator
from training.rundir import Row, RunDir

ATOL = 1e-4  # nats
ADAPTER = {"lora_rank": 4, "top_blocks": 2}
SHORT = {"max_new_tokens": 6, "eval_completions": 2, **ADAPTER}
BATCHES = {"episodes": 16, "batch_size": 16, "minibatch_size": 8, "kl_limit": 100.0, "learning_rate": 1e-3}
CLASSIFIER = {"shots": 4, "epochs": 1, "lora_rank": 4, "virtual_tokens": 4, "max_length": 64}
REWARD = {"epochs": 1, "reference_samples": 8, "max_new_tokens": 6, "learning_curve": 0, **ADAPTER}
# recipe as it stands in the table: (method, settings); `logprobs` is no recipe
RECIPES: dict[str, tuple[str, Row]] = {
    "logprobs": ("", {}),
    "sample": ("sample", {"completions_per_prompt": 2, "max_new_tokens": 6}),
    "evaluate": ("evaluate", {"max_new_tokens": 6}),
    "reward": ("reward", REWARD),
    "reward on labels": ("reward", {**REWARD, "pooling": "mean"}),
    "ppo": ("ppo", {**SHORT, **BATCHES}),
    "rloo": ("rloo", {**SHORT, **BATCHES}),
    "grpo": ("grpo", {**SHORT, **BATCHES}),
    "distil": ("distil", {"epochs": 1, "batch_size": 4, "completions_per_prompt": 2, "pairs_per_prompt": 1, **SHORT}),
    "dpo": ("dpo", {"epochs": 1, "batch_size": 4, **SHORT}),
    "kto": ("kto", {"epochs": 1, "batch_size": 4, **SHORT}),
    "sft": ("sft", {"epochs": 1, "batch_size": 4, **SHORT}),
    "instruction_tuning": (
        "instruction_tuning",
        {"epochs": 1, "batch_size": 4, "max_new_tokens": 4, "shown": 2, **ADAPTER},
    ),
    **{
        name: ("prompt_tuning", {"tuning": name, **CLASSIFIER})
        for name in ("zero_shot", "in_context", "cloze", "soft_prompt", "p_tuning", "prefix", "head")
    },
}
LABELLED = ("reward on labels", "kto")  # recipes whose rows are single responses that are good or bad
SCORED = ("ppo", "rloo", "grpo", "distil")  # methods that need a reward model
CLASSIFIERS = [name for name, (method, _) in RECIPES.items() if method == "prompt_tuning"]
TOPICS = ["the sea in the morning", "rainy Sundays and long walks", "a good cup of tea", "the weather in spring"]


# --- data ------------------------------------------------------------------------------------------------------


def prompt(number: int) -> Row:
    text = f"Write one sentence about {TOPICS[number % 4]}, please, and mind that it has {number + 3} words."
    return {
        "prompt_id": number,
        "messages": [{"role": "user", "content": text}],
        "split": "eval" if number % 4 == 3 else "train",
    }


def rows_of(recipe: str) -> list[Row]:
    """Return a dozen rows as this recipe takes them."""
    method = RECIPES[recipe][0]
    prompts = [prompt(number) for number in range(12)]
    said = [{"role": "assistant", "content": "The sea is calm."}], [{"role": "assistant", "content": "A bad day."}]
    own = [{"prompt": row["messages"], "prompt_id": row["prompt_id"], "split": row["split"]} for row in prompts]
    if recipe in LABELLED:
        return [labelled(row, good=row["prompt_id"] % 2 == 0) for row in own]
    if method in ("reward", "dpo"):
        votes = {"margin": 0.5, "votes_for": 1, "votes_against": 0}
        return [{**row, "group_id": row["prompt_id"], "chosen": said[0], "rejected": said[1], **votes} for row in own]
    if method == "sft":
        return [{**row, "completion": said[0]} for row in own]
    if method == "instruction_tuning":
        splits = ["train"] * 8 + ["unseen_tasks", "unseen_templates"] * 2
        return [instruction(number, split) for number, split in enumerate(splits)]
    if method == "prompt_tuning":
        return [
            {
                "text": f"{TOPICS[number % 4]} is {'good' if number % 2 else 'bad'}",
                "label": "fine" if number % 2 else "poor",
                "split": "train" if number < 20 else "eval",
            }
            for number in range(28)
        ]
    return prompts


def labelled(row: Row, *, good: bool) -> Row:
    """Return the row of a snapshot in which a person called the only response to a prompt good or bad."""
    said = {"tiers": [[0]], "unacceptable": [] if good else [0], "weight": 1.0, "annotator": "annotator-1"}
    said["ratings"] = [{"place": 0, "criterion": ACCEPTABLE, "rating": float(good)}]
    text = f"The sea is {'calm' if good else 'bad'}, number {row['prompt_id']}."
    candidates = [{"text": text, "finished": True}]
    return {**row, "candidates": candidates, "rankings": [said], "group_id": row["prompt_id"], "policy": -1}


def instruction(number: int, split: str) -> Row:
    return {
        "instruction": "Is it good?",
        "input": TOPICS[number % 4],
        "output": "good",
        "options": [] if split == "train" else ["good", "bad"],
        "split": split,
        "task": f"task {number % 3}",
        "cluster": "other" if split == "unseen_tasks" else "one",
        "template": "Is it good?",
        "wording": "question",
        "source": "rule",
    }


def inputs_of(method: str, model: Path, reward: Path) -> Row:
    if method == "evaluate":
        return {"version": str(model), "opponent": str(model)}
    if method == "reward":
        return {"base_model": str(model)}
    if method == "prompt_tuning":
        verbalizer = {"fine": ["good"], "poor": ["bad"]}
        return {"policy": str(model), "templates": ["{text} It is a {mask}"], "verbalizer": verbalizer}
    return {"policy": str(model), **({"reward_model": str(reward)} if method in SCORED else {})}


# --- one model -------------------------------------------------------------------------------------------------


def try_model(name: str, variant: str, recipes: list[str], home: Path) -> list[Row]:
    """Return a row per recipe with its outcome and, where there is one, the reason or the distance in nats."""
    try:
        model = build(home / "source", name, variant=variant)
        if name in CAUSAL:
            prepare(str(model), home / "model")
            model = home / "model"
    except RecipeError as problem:
        return [outcome(name, variant, recipe, "refused", str(problem)) for recipe in recipes]
    found = []
    for recipe in recipes:
        if name in MASKED and recipe not in CLASSIFIERS:
            continue
        began = time.perf_counter()
        try:
            nats = compare_logprobs(model) if recipe == "logprobs" else run_recipe(recipe, model, home)
            result = "right" if nats is None or nats <= ATOL else "wrong"
            row = outcome(name, variant, recipe, result, None if nats is None else f"{nats:.1e} nats")
            found.append({**row, "nats": nats})
        except (RecipeError, InvalidConfig) as problem:
            found.append(outcome(name, variant, recipe, "refused", str(problem)))
        except Exception as problem:  # any other end is a fault, and the next recipe is to be tried all the same
            words = f"{type(problem).__name__}: {str(problem).strip().partition(chr(10))[0]}"
            found.append(outcome(name, variant, recipe, "wrong", words))
        say(
            f"{name:16} {variant:12} {recipe:20} {found[-1]['outcome']:8} {time.perf_counter() - began:5.1f} s "
            f"{found[-1]['reason'] or ''}"
        )
    return found


def applies(name: str, variant: str) -> bool:
    """Return whether a variant makes another model of this one: masked models have no chat, some no windows."""
    if variant == "window":
        return has_window(name)
    return variant == "plain" or name in CAUSAL


def outcome(name: str, variant: str, recipe: str, result: str, reason: str | None) -> Row:
    return {"architecture": name, "variant": variant, "recipe": recipe, "outcome": result, "reason": reason}


def run_recipe(recipe: str, model: Path, home: Path) -> None:
    method, settings = RECIPES[recipe]
    reward = home / "reward" / "checkpoint"
    if method in SCORED and not reward.exists():
        run_recipe("reward", model, home)
    run = RunDir(home / recipe)
    shutil.rmtree(run.path, ignore_errors=True)
    config = {"method": method, "settings": settings, "inputs": inputs_of(method, model, reward)}
    run.prepare(config=config, rows=rows_of(recipe))
    module = importlib.import_module(f"training.recipes.{METHODS[method].recipe}")
    execute(entry_point(module), METHODS[method].config, run)


def entry_point(module: Any) -> Any:
    """Return the recipe that a module would run as a program."""
    names = ("train_policy", "sample_policy", "train_reward_model", "train_classifier", "answer_prompts")
    return next(getattr(module, name) for name in names if hasattr(module, name))


@torch.no_grad()
def compare_logprobs(model: Path) -> float:
    """Return the largest distance, in nats, of a sampled token's log-probability from transformers' own."""
    from transformers import AutoModelForCausalLM

    shared = SharedModel(str(model), torch.device("cpu"))
    vocabulary = shared.model.config.get_text_config().vocab_size
    prompts = [[(37 * place + 11) % (vocabulary - 10) + 5 for place in range(length)] for length in (60, 41, 5)]
    rollout = sample(shared, None, prompts, Drawing(2, 12, 1.0), generator(1, "logprobs"), keep_trunk=True)
    answers, drawn = rollout.answers, rollout.drawn
    read = shared.logprobs(shared.read(answers, None), answers, drawn, 1.0)
    plain, worst, longest = AutoModelForCausalLM.from_pretrained(model), 0.0, max(map(len, prompts))
    types = getattr(plain.config, "layer_types", None) or ()
    linear = "linear_attention" in types and takes_positions(plain)  # Mamba does not, and rounds alike both ways
    for row, tokens in enumerate(prompts):
        for column in range(drawn.shape[1]):
            mask = drawn[row, column]
            own = answers.response[row, column][mask].tolist()
            padding = longest - len(tokens)
            alone = own_logprobs(plain, tokens, own, 0)
            together = (
                stepped_logprobs(plain, tokens, own, padding) if linear else own_logprobs(plain, tokens, own, padding)
            )
            for found, expected in ((read, alone), (rollout.logprobs, together)):
                worst = max(worst, float((found[row, column][mask] - expected).abs().max()))
    return worst


def own_logprobs(model: Any, prompt: list[int], answer: list[int], padding: int) -> torch.Tensor:
    """Return what transformers gives for an answer's tokens, with this much padding before the prompt: (r,)."""
    mask = torch.tensor([[0] * padding + [1] * (len(prompt) + len(answer))])
    ids = torch.tensor([[model.config.pad_token_id] * padding + prompt + answer])
    more = {"position_ids": (mask.cumsum(1) - 1).clamp(min=0)} if takes_positions(model) else {}
    given = {"attention_mask": mask, **more} if padding else {}
    logits = model(input_ids=ids, use_cache=False, **given).logits[0, padding + len(prompt) - 1 : -1].log_softmax(-1)
    return logits[range(len(answer)), answer]


def stepped_logprobs(model: Any, prompt: list[int], answer: list[int], padding: int) -> torch.Tensor:
    """Return the same with the answer read token by token through the model's own cache: (r,)."""
    ids = torch.tensor([[model.config.pad_token_id] * padding + prompt])
    mask = torch.tensor([[0] * padding + [1] * len(prompt)])
    read = model(input_ids=ids, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(min=0), use_cache=True)
    found = [read.logits[0, -1].log_softmax(-1)[answer[0]]]
    for place, (token, following) in enumerate(pairwise(answer)):
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], 1)
        read = model(
            input_ids=torch.tensor([[token]]),
            attention_mask=mask,
            position_ids=torch.tensor([[len(prompt) + place]]),
            past_key_values=read.past_key_values,
            use_cache=True,
        )
        found.append(read.logits[0, -1].log_softmax(-1)[following])
    return torch.stack(found)


def takes_positions(model: Any) -> bool:
    return "position_ids" in inspect.signature(model.forward).parameters


# --- figures ---------------------------------------------------------------------------------------------------


def summary(rows: list[Row]) -> Row:
    counts = {name: sum(row["outcome"] == name for row in rows) for name in ("right", "refused", "wrong")}
    nats = [row["nats"] for row in rows if row.get("nats") is not None]
    return {
        "architectures": len({row["architecture"] for row in rows}),
        "recipes": len({row["recipe"] for row in rows} - {"logprobs"}),
        "variants": sorted({row["variant"] for row in rows}),
        **counts,
        "worst_nats": max(nats, default=None),
        "refusals": sorted({f"{row['architecture']}: {row['reason']}" for row in rows if row["outcome"] == "refused"}),
        "faults": [row for row in rows if row["outcome"] == "wrong"],
    }


def table(rows: list[Row]) -> str:
    """Return architectures by recipes as Markdown, over all variants that were tried."""
    recipes = [name for name in RECIPES if any(row["recipe"] == name for row in rows)]
    lines = ["| architecture | " + " | ".join(recipes) + " |", "|---" * (len(recipes) + 1) + "|"]
    marks = {"right": "✓", "refused": "refused", "wrong": "**wrong**", "": ""}
    for name in [*CAUSAL, *MASKED]:
        own = [row for row in rows if row["architecture"] == name]
        if own:
            cells = [worst([row["outcome"] for row in own if row["recipe"] == recipe]) for recipe in recipes]
            lines.append(f"| {name} | " + " | ".join(marks[cell] for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def worst(outcomes: list[str]) -> str:
    return next((each for each in ("wrong", "refused", "right") if each in outcomes), "")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--architectures", default=",".join([*CAUSAL, *MASKED]))
    parser.add_argument("--recipes", default=",".join(RECIPES))
    parser.add_argument("--also", default="", help="further recipes of single architectures: llama:kto,gemma2:grpo")
    parser.add_argument("--variants", default="plain", help=f"of {', '.join(VARIANTS)}; all: every one of them")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--rows", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    log_to_stdout()
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    variants = VARIANTS if options.variants == "all" else options.variants.split(",")
    if unknown := set(variants) - set(VARIANTS):
        raise SystemExit(f"there is no variant {', '.join(sorted(unknown))}; there are {', '.join(VARIANTS)}")
    also = [each.split(":") for each in options.also.split(",") if each]
    rows = earlier_rows(options.rows)
    done = {(row["architecture"], row["variant"]) for row in rows}
    wanted = [(name, variant) for name in options.architectures.split(",") for variant in variants]
    for name, variant in wanted:
        if (name, variant) in done or not applies(name, variant):
            continue
        with tempfile.TemporaryDirectory() as home:
            recipes = [*options.recipes.split(","), *(recipe for model, recipe in also if model == name)]
            found = try_model(name, variant, recipes, Path(home))
        rows += found
        if options.rows:
            with options.rows.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in found)
    if options.table:
        options.table.write_text(table(rows), "utf-8")
    print(json.dumps(summary(rows)))


def earlier_rows(path: Path | None) -> list[Row]:
    """Return the outcomes that an earlier run has kept."""
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


if __name__ == "__main__":
    main()
