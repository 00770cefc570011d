"""Our reward recipe against TRL's RewardTrainer: rankings per second, and accuracy on prompts they have not seen.

    python benchmarks/reward_speed.py --model PATH [--rankings 16] [--learn-rankings 64] [--epochs 3]

Speed: rankings of four 40-token answers (EOS included) to 100-token prompts, one pass. Ours is the recipe as it stands
(its stages "trunk" and "train", from the first step on); TRL's is LoRA on every linear layer, a ranking as six pairs in
one step, without the first step, which warms up.
Accuracy: short answers that hold more or fewer kind words of VADER's lexicon, in rankings of four; the held-out ones
are written with words that training does not have. Both sides read the same rankings for the same number of epochs.
The sides run in turn, each in a process of its own. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from annotation.stats.bootstrap import ratio_interval, rounded
from training.rundir import Row, RunDir

ROOT = Path(__file__).resolve().parent.parent
ANSWERS = 4
TOPICS = (
    "the village",
    "the old bridge",
    "a long train ride",
    "the market",
    "my neighbour",
    "the harbour",
    "our school",
)
OPENINGS = ("Describe {} in a sentence.", "What is {} like?", "Tell me about {}.", "Say something about {}.")
SENTENCES = ("It was {}, {} and {}.", "I found it {} and {}, and also {}.", "People call it {}, {}, sometimes {}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a prepared checkpoint")
    parser.add_argument("--rankings", type=int, default=16, help="rankings by which speed is measured")
    parser.add_argument("--prompt-tokens", type=int, default=100)
    parser.add_argument("--answer-tokens", type=int, default=40)
    parser.add_argument("--learn-rankings", type=int, default=64, help="rankings to learn from, and as many held out")
    parser.add_argument("--epochs", type=int, default=3, help="passes over them, on both sides")
    parser.add_argument("--trl-learning-rate", type=float, default=1e-4, help="TRL's own default")
    parser.add_argument("--trl-job", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trl_job:
        run_trl_job(options.trl_job)
        return
    if not options.model:
        parser.error("the following arguments are required: --model")
    with tempfile.TemporaryDirectory() as home:
        print(json.dumps(compare(options, Path(home))))


def compare(options: argparse.Namespace, home: Path) -> Row:
    from training.recipes.process.checkpoints import load_tokenizer

    tokenizer = load_tokenizer(options.model)
    rows = random_rankings(tokenizer, options.rankings + 1, options.prompt_tokens, options.answer_tokens)
    trl = {"learning_rate": options.trl_learning_rate, "batch_size": ANSWERS * (ANSWERS - 1) // 2}
    speed = our_side(options.model, rows, {"epochs": 1, "reference_samples": 2, "gate": "report"}, home / "speed")
    trl_speed = trl_side(options.model, pairs_of(rows, tokenizer), {**trl, "epochs": 1}, home / "trl_speed")
    figures = {
        "benchmark": "reward_speed",
        "rankings_per_second": round((options.rankings + 1) / training_seconds(speed), 4),
        "trl_rankings_per_second": round(options.rankings / trl_speed["seconds"], 4),
        "ratio": round((options.rankings + 1) / training_seconds(speed) * trl_speed["seconds"] / options.rankings, 2),
        "peak_rss_mb": speed["peak_rss_mb"],
        "trl_peak_rss_mb": trl_speed["peak_rss_mb"],
    }
    rows = kind_rankings(options.learn_rankings, "train") + kind_rankings(options.learn_rankings, "eval")
    ours = our_side(options.model, rows, {"epochs": options.epochs, "gate": "report"}, home / "learn")
    theirs = trl_side(options.model, pairs_of(rows, tokenizer), {**trl, "epochs": options.epochs}, home / "trl_learn")
    return figures | {
        "accuracy": ours["accuracy"],
        "ci95": ours["ci95"],
        "trl_accuracy": theirs["accuracy"],
        "trl_ci95": theirs["ci95"],
        "length_baseline": ours["baselines"]["length"]["accuracy"],
        "learn_seconds": round(training_seconds(ours), 1),
        "trl_learn_seconds": round(theirs["total_seconds"], 1),
        "rankings": options.rankings,
        "learn_rankings": options.learn_rankings,
        "epochs": options.epochs,
        "prompt_tokens": options.prompt_tokens,
        "answer_tokens": options.answer_tokens,
        "threads": int(os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0)))),
    }


# --- rankings --------------------------------------------------------------------------------------------------


def ranking_row(number: int, prompt: str, texts: list[str], tiers: list[list[int]], split: str) -> Row:
    return {
        "prompt": [{"role": "user", "content": prompt}],
        "candidates": [{"text": text, "finished": True} for text in texts],
        "rankings": [{"tiers": tiers, "unacceptable": [], "weight": 1.0, "annotator": "judge"}],
        "prompt_id": number,
        "group_id": number,
        "split": split,
        "policy": None,
    }


def random_rankings(tokenizer: Any, count: int, prompt_tokens: int, answer_tokens: int) -> list[Row]:
    """Random words that are one token each, in answers and prompts of exactly these lengths."""
    from training.recipes.text import prompts
    from training.recipes.text.formats import chat_format

    chat = chat_format(tokenizer)
    dice = random.Random(0)
    words = [
        text.strip()
        for token in range(tokenizer.vocab_size)
        if (text := tokenizer.decode([token])).startswith(" ") and text[1:].isascii() and text[1:].isalpha()
    ]
    around = len(prompts.prompt_tokens(chat, [{"role": "user", "content": "The"}], 1 << 30)) - 1
    rows = []
    for number in range(count):
        texts = [
            " ".join(["The", *dice.choices(words, k=length - 1)])
            for length in [prompt_tokens - around, *[answer_tokens - 1] * ANSWERS]
        ]
        tiers = [[index] for index in dice.sample(range(ANSWERS), ANSWERS)]
        row = ranking_row(number, texts[0], texts[1:], tiers, "train")
        lengths = {len(prompts.response_tokens(chat, text, 1 << 30)) for text in texts[1:]}
        if len(prompts.prompt_tokens(chat, row["prompt"], 1 << 30)) != prompt_tokens or lengths != {answer_tokens}:
            raise SystemExit("This tokenizer does not read its own words as one token each")
        rows.append(row)
    return rows


def kind_rankings(count: int, split: str) -> list[Row]:
    """Four answers with none, one, two and three kind words among unkind ones; the more the better."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    strong = sorted(
        (word, weight)
        for word, weight in SentimentIntensityAnalyzer().lexicon.items()
        if abs(weight) >= 1.8 and word.isascii() and word.isalpha()
    )
    own = strong[0::2] if split == "train" else strong[1::2]
    kind, unkind = [word for word, weight in own if weight > 0], [word for word, weight in own if weight < 0]
    dice = random.Random(split)
    rows = []
    for number in range(count):
        texts = []
        for wanted in (places := dice.sample(range(ANSWERS), ANSWERS)):
            chosen = dice.sample(kind, wanted) + dice.sample(unkind, ANSWERS - 1 - wanted)
            texts.append(dice.choice(SENTENCES).format(*dice.sample(chosen, len(chosen))))
        tiers = [[places.index(wanted)] for wanted in reversed(range(ANSWERS))]
        prompt = dice.choice(OPENINGS).format(dice.choice(TOPICS))
        rows.append(ranking_row(number + (1_000_000 if split == "eval" else 0), prompt, texts, tiers, split))
    return rows


def pairs_of(rows: list[Row], tokenizer: Any) -> list[Row]:
    """The rankings as TRL reads them: the same tokens, every pair with its prompt on both sides."""
    from training.recipes.text.formats import chat_format
    from training.recipes.text.prompts import prompt_tokens, response_tokens

    chat = chat_format(tokenizer)
    pairs = []
    for row in rows:
        prompt = prompt_tokens(chat, row["prompt"], 1 << 30)
        answers = [response_tokens(chat, candidate["text"], 1 << 30) for candidate in row["candidates"]]
        order = [index for tier in row["rankings"][0]["tiers"] for index in tier]
        pairs += [
            {
                "chosen_ids": prompt + answers[better],
                "rejected_ids": prompt + answers[worse],
                "prompt_id": row["prompt_id"],
                "split": row["split"],
            }
            for better, worse in itertools.combinations(order, 2)
        ]
    return pairs


# --- the two sides ---------------------------------------------------------------------------------------------


def our_side(model: str, rows: list[Row], settings: Row, folder: Path) -> Row:
    """The recipe's result."""
    run = RunDir(folder)
    inputs = {"base_model": model, "policy": model}
    run.prepare(config={"method": "reward", "settings": settings, "inputs": inputs}, rows=rows)
    with run.log_path.open("ab") as log:
        command = [sys.executable, "-m", "training.recipes.reward", str(folder)]
        ended = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=False)
    result = run.result()
    if result is None:
        raise SystemExit(f"The reward recipe ended with {ended.returncode}:\n{run.log_tail()}")
    return result


def training_seconds(result: Row) -> float:
    """What our side spent on learning: the trunk states, computed once (for held-out rankings, too), and the steps."""
    return float(result["seconds_by_stage"]["trunk"] + result["seconds_by_stage"]["train"])


def trl_side(model: str, pairs: list[Row], settings: Row, folder: Path) -> Row:
    folder.mkdir(parents=True)
    job = {"model": model, "pairs": pairs, "settings": settings, "folder": str(folder)}
    (folder / "job.json").write_text(json.dumps(job), "utf-8")
    command = [sys.executable, str(Path(__file__).resolve()), "--trl-job", str(folder / "job.json")]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"TRL's side ended with {ended.returncode}:\n{ended.stderr[-3000:]}")
    result: Row = json.loads((folder / "result.json").read_text("utf-8"))
    return result


def run_trl_job(path: Path) -> None:
    """TRL's RewardTrainer as its documentation has it: LoRA on all linear layers, a head on the last token."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
    from trl import RewardConfig, RewardTrainer

    from training.recipes.process.resources import peak_rss_mb, use_all_cores

    job = json.loads(path.read_text("utf-8"))
    settings, pairs = job["settings"], job["pairs"]
    use_all_cores()
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    model = AutoModelForSequenceClassification.from_pretrained(job["model"], num_labels=1, dtype=torch.float32)
    model.config.pad_token_id = tokenizer.pad_token_id
    stamps: list[float] = []

    class Stamp(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            stamps.append(time.perf_counter())

    def ids_of(split: str) -> list[Row]:
        return [
            {name: pair[name] for name in ("chosen_ids", "rejected_ids")} for pair in pairs if pair["split"] == split
        ]

    trainer = RewardTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(ids_of("train")),
        callbacks=[Stamp()],
        args=RewardConfig(
            output_dir=str(path.parent / "trl"),
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to=[],
            per_device_train_batch_size=settings["batch_size"],
            num_train_epochs=settings["epochs"],
            max_length=None,
            learning_rate=settings["learning_rate"],
            save_strategy="no",
            logging_steps=1000,
            disable_tqdm=True,
        ),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="SEQ_CLS"),
    )
    began = time.perf_counter()
    trainer.train()
    peak = peak_rss_mb()
    differences = score_differences(trainer.model.eval(), ids_of("eval"), tokenizer.pad_token_id)
    right: dict[Any, list[float]] = {}
    for pair, difference in zip((pair for pair in pairs if pair["split"] == "eval"), differences, strict=True):
        right.setdefault(pair["prompt_id"], []).append(0.5 if difference == 0 else float(difference > 0))
    result = {
        "seconds": stamps[-1] - stamps[0],
        "steps": len(stamps) - 1,  # in those seconds
        "total_seconds": stamps[-1] - began,
        "peak_rss_mb": peak,
        **accuracy_with_interval(right),
    }
    (path.parent / "result.json").write_text(json.dumps(result), "utf-8")


def score_differences(model: Any, pairs: list[Row], pad: int) -> list[float]:
    import torch

    differences = []
    for pair in pairs:
        sides = [pair["chosen_ids"], pair["rejected_ids"]]
        longest = max(map(len, sides))
        ids = torch.tensor([side + [pad] * (longest - len(side)) for side in sides])
        mask = torch.tensor([[1] * len(side) + [0] * (longest - len(side)) for side in sides])
        with torch.no_grad():
            chosen, rejected = model(input_ids=ids, attention_mask=mask).logits[:, 0].tolist()
        differences.append(chosen - rejected)
    return differences


def accuracy_with_interval(right: dict[Any, list[float]]) -> Row:
    """Share of pairs in the right order; the 95 % interval draws prompts, since pairs of one prompt are alike."""
    groups = list(right.values())
    if not groups:
        return {"accuracy": None, "ci95": None, "n": 0}

    correct, pairs = list(map(sum, groups)), list(map(len, groups))
    return {
        "accuracy": round(sum(correct) / sum(pairs), 4),
        "ci95": rounded(ratio_interval(correct, pairs)),
        "n": sum(pairs),
    }


if __name__ == "__main__":
    main()
