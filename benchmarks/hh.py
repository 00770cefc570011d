"""Reward accuracy on hh-rlhf, held-out prompts only: our recipe and TRL's RewardTrainer, by length beside them.

    python benchmarks/hh.py --model PATH --data FILE [--pairs N] [--seconds BUDGET] [--epochs 1] [--max-tokens 384]

FILE is JSONL with "chosen" and "rejected" dialogues ("\\n\\nHuman: … \\n\\nAssistant: …"). What both have in common is
the prompt; the pair is their last answers. Dialogues that open with the same words are on one side of the split.
Both sides read the same pairs equally often, so the same tokens, four pairs per step. With --seconds as many pairs are
trained on as TRL reads in that time (a few steps are tried first). Prints one JSON line.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.reward_speed import accuracy_with_interval, our_side, training_seconds, trl_side
from training.rundir import Row

PER_STEP = 4
TRIED_STEPS = 4
HELD_OUT_SHARE = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a prepared checkpoint")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=0, help="pairs to train on at the most; 0: all")
    parser.add_argument("--held-out", type=int, default=0, help="pairs to test on at the most; 0: all")
    parser.add_argument("--seconds", type=float, default=0, help="what TRL may train for; 0: as long as it takes")
    parser.add_argument("--epochs", type=int, default=1, help="passes over the pairs, on both sides")
    parser.add_argument("--max-tokens", type=int, default=384, help="longer dialogues are left out, on both sides")
    parser.add_argument("--trl-learning-rate", type=float, default=1e-4, help="TRL's own default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        print(json.dumps(compare(options, Path(home))))


def compare(options: argparse.Namespace, home: Path) -> Row:
    from training.recipes.process.checkpoints import load_tokenizer

    tokenizer = load_tokenizer(options.model)
    rows, left_out = read(options.data, tokenizer, options.max_tokens)
    train = [row for row in rows if row["split"] == "train"][: options.pairs or None]
    held_out = [row for row in rows if row["split"] == "eval"][: options.held_out or None]
    trl = {"learning_rate": options.trl_learning_rate, "batch_size": PER_STEP}
    if options.seconds:
        tried = trl_side(options.model, train[: PER_STEP * (TRIED_STEPS + 1)], {**trl, "epochs": 1}, home / "tried")
        per_pair = tried["seconds"] / (tried["steps"] * PER_STEP)
        train = train[: max(PER_STEP, int(options.seconds / per_pair / options.epochs))]
    rows = train + held_out
    settings = {
        "epochs": options.epochs,
        "rankings_per_step": PER_STEP,
        "max_length": options.max_tokens,
        "gate": "report",
        "reference_samples": 16,  # gain and bias change no order
    }
    ours = our_side(options.model, [row["preference"] for row in rows], settings, home / "ours")
    theirs = trl_side(options.model, rows, {**trl, "epochs": options.epochs}, home / "trl")
    return {
        "benchmark": "hh",
        "data": options.data.name,
        "accuracy": ours["accuracy"],
        "ci95": ours["ci95"],
        "trl_accuracy": theirs["accuracy"],
        "trl_ci95": theirs["ci95"],
        "length_baseline": length_baseline(train, held_out),
        "train_pairs": len(train),
        "held_out_pairs": len(held_out),
        "held_out_openings": len({row["prompt_id"] for row in held_out}),
        "our_rows": ours["rows"],
        "left_out": left_out,
        "epochs": options.epochs,
        # Of the data, every pair as it stands: TRL reads prompts twice, our recipe once.
        "tokens": options.epochs * sum(len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in train),
        "seconds": round(training_seconds(ours), 1),
        "trl_seconds": round(theirs["total_seconds"], 1),
        "peak_rss_mb": ours["peak_rss_mb"],
        "trl_peak_rss_mb": theirs["peak_rss_mb"],
    }


def read(path: Path, tokenizer: Any, most: int) -> tuple[list[Row], Row]:
    """Pairs with their tokens, in an order of no meaning that is always the same; and why others are left out."""
    from training.recipes.text.formats import chat_format
    from training.recipes.text.prompts import Refused, prompt_tokens, response_tokens

    chat = chat_format(tokenizer)
    rows: list[Row] = []
    left_out: Counter[str] = Counter()
    openings: dict[str, int] = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines()):
        try:
            messages, chosen, rejected = split_pair(json.loads(line))
            prompt = prompt_tokens(chat, messages, most)
            ids = [response_tokens(chat, text, most - len(prompt)) for text in (chosen, rejected)]
        except Refused as reason:
            left_out[str(reason)] += 1
            continue
        opening = openings.setdefault(messages[0]["content"], len(openings))
        place = hashlib.sha256(messages[0]["content"].encode()).digest()[0] / 256
        split = "eval" if place < HELD_OUT_SHARE else "train"
        preference = {
            "prompt": messages,
            "chosen": [{"role": "assistant", "content": chosen}],
            "rejected": [{"role": "assistant", "content": rejected}],
            "prompt_id": opening,
            "group_id": number,
            "split": split,
            "margin": 1.0,
            "votes_for": 1,
            "votes_against": 0,
        }
        rows.append(
            {
                "chosen_ids": prompt + ids[0],
                "rejected_ids": prompt + ids[1],
                "prompt_id": opening,
                "split": split,
                "preference": preference,
            }
        )
    rows.sort(key=lambda row: hashlib.sha256(str(row["preference"]["group_id"]).encode()).digest())
    return rows, dict(left_out)


def split_pair(row: Row) -> tuple[list[dict[str, str]], str, str]:
    """The dialogue up to the answers that were compared, and those answers."""
    from training.recipes.text.prompts import Refused

    start, _, chosen = row["chosen"].rpartition("\n\nAssistant:")
    if not row["rejected"].startswith(f"{start}\n\nAssistant:"):
        raise Refused("the dialogues part before their last answer")
    rejected = row["rejected"][len(start) + len("\n\nAssistant:") :]
    if "\n\nHuman:" in rejected:
        raise Refused("the dialogues part before their last answer")
    if chosen.strip() == rejected.strip():
        raise Refused("both answers are the same")
    messages = []
    for turn in f"\n\n{start.strip()}".split("\n\nHuman:")[1:]:
        said, *answered = turn.split("\n\nAssistant:")
        messages.append({"role": "user", "content": said.strip()})
        messages += [{"role": "assistant", "content": text.strip()} for text in answered]
    if not messages or messages[-1]["role"] != "user":
        raise Refused("it is not a dialogue in turns")
    return messages, chosen.strip(), rejected.strip()


def length_baseline(train: list[Row], held_out: list[Row]) -> Row:
    """The longer answer wins, or the shorter one, whichever won more often in training."""

    def gap(row: Row) -> int:
        return len(row["chosen_ids"]) - len(row["rejected_ids"])

    def longer_wins(row: Row) -> float:
        return 0.5 if gap(row) == 0 else float(gap(row) > 0)

    longer = fmean(map(longer_wins, train)) >= 0.5
    right: dict[int, list[float]] = {}
    for row in held_out:
        right.setdefault(row["prompt_id"], []).append(longer_wins(row) if longer else 1 - longer_wins(row))
    return {
        **accuracy_with_interval(right),
        "rule": "the longer response wins" if longer else "the shorter response wins",
    }


if __name__ == "__main__":
    main()
