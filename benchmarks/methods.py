"""What each way of making a classifier costs and comes to: the table method × quality × cost, filled with measurements.

    python benchmarks/methods.py --model PATH --train FILE --test FILE [--k 16] [--seeds 5] [--methods zero_shot,…]
                                 [--test-rows 0] [--encoder PATH] [--out DIR]

FILEs have one row per line: label, space, text (sentiment: 0 negative, 1 positive). Every method reads the same K rows
per label and seed, and chooses template and epoch by K others; the test rows choose nothing. Runs are finished one by
one under --out, so the script can be stopped and started at will. `embeddings` is logistic regression on the sentence
embeddings of --encoder (a folder of a sentence encoder). Prints one JSON line, and a table on stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from training.prompt_tuning.approach_rows import interval
from training.prompt_tuning.approaches import APPROACHES
from training.rundir import Row, RunDir

ROOT = Path(__file__).resolve().parent.parent
LABELS = {"0": "negative", "1": "positive"}
VERBALIZER = {"negative": ["negative"], "positive": ["positive"]}
TEMPLATES = [
    "Review: {text}\nSentiment: {mask}",
    "{text} All in all, the verdict is {mask}",
    "Question: Is this review positive or negative?\nReview: {text}\nAnswer: {mask}",
]
METHODS: dict[str, Row] = {name: dict(each.settings) for name, each in APPROACHES.items()} | {"embeddings": {}}
# The others cost most and are no part of the comparison; --methods takes them.
DEFAULT = [name for name in METHODS if name not in ("in_context", "p_tuning", "prefix")]
NO_SEEDS = ("zero_shot", "zero_shot_calibrated")  # nothing is drawn: one run stands for all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a prepared checkpoint")
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--k", type=int, default=16, help="labelled rows per label to learn from, and to choose by")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", default=",".join(DEFAULT))
    parser.add_argument("--test-rows", type=int, default=0, help="drawn at random, the same for all methods; 0: all")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--encoder", type=Path, help="folder of a sentence encoder for 'embeddings'")
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "methods")
    options = parser.parse_args()
    names = options.methods.split(",")
    if unknown := set(names) - set(METHODS):
        parser.error(f"unknown methods: {', '.join(sorted(unknown))}")
    if "embeddings" in names and options.encoder is None:
        say("embeddings: left out, no --encoder was given")
        names.remove("embeddings")
    rows = read(options.train, "train") + drawn(read(options.test, "eval"), options.test_rows)
    lines = [row_of(name, rows, options) for name in names]
    print_table(lines)
    found = {"benchmark": "methods", "k": options.k, "rows": lines, "templates": TEMPLATES, "claim": claim(lines)}
    print(json.dumps(found))


def claim(lines: list[Row]) -> Row | None:
    """Cloze fine-tuning against a new head: the best of each, and whether their intervals are apart."""
    by_kind = {kind: [line for line in lines if line["method"].startswith(kind)] for kind in ("cloze", "head")}
    if not all(by_kind.values()):
        return None
    cloze, head = (max(found, key=lambda line: line["mean"]) for found in by_kind.values())
    return {
        "cloze": cloze["method"],
        "head": head["method"],
        "margin": round(cloze["mean"] - head["mean"], 4),
        "outside_the_intervals": cloze["interval"][0] > head["interval"][1],
    }


def read(path: Path, split: str) -> list[Row]:
    lines = path.read_text("utf-8", errors="replace").splitlines()
    pairs = [line.partition(" ") for line in lines if line.strip()]
    return [{"text": text.strip(), "label": LABELS[label], "split": split} for label, _, text in pairs]


def drawn(rows: list[Row], count: int) -> list[Row]:
    return random.Random("test").sample(rows, count) if 0 < count < len(rows) else rows


def row_of(name: str, rows: list[Row], options: argparse.Namespace) -> Row:
    seeds = range(1 if name in NO_SEEDS else options.seeds)
    results = [one_run(name, rows, seed, options) for seed in seeds]
    accuracies = [result["accuracy"] for result in results]
    low, high = interval(accuracies, results[0]["n"])
    return {
        "method": name,
        "mean": round(fmean(accuracies), 4),
        "sd": round(stdev(accuracies), 4) if len(accuracies) > 1 else None,
        "interval": [round(low, 4), round(high, 4)],
        "least": min(accuracies),
        "most": max(accuracies),
        "n_test": results[0]["n"],
        "seeds": len(results),
        "labels": results[0]["shots"],
        "train_seconds": round(fmean(result["train_seconds"] for result in results), 1),
        "cpu_seconds": round(fmean(result["cpu_seconds"] for result in results), 1),
        "peak_rss_mb": max(result["peak_rss_mb"] for result in results),
        "trainable_parameters": results[0]["trainable_parameters"],
        "artefact_bytes": results[0]["artefact_bytes"],
        **({"spread": results[0]["spread"], "tested": results[0]["tested"]} if name in NO_SEEDS else {}),
    }


def one_run(name: str, rows: list[Row], seed: int, options: argparse.Namespace) -> Row:
    run = RunDir(options.out / f"{name}-{seed}")
    if (result := run.result()) is None:
        say(f"{name}, seed {seed} …")
        if name == "embeddings":
            return embeddings(rows, seed, options)
        settings = {**METHODS[name], "shots": options.k, "epochs": options.epochs, "seed": seed}
        inputs = {"policy": options.model, "templates": TEMPLATES, "verbalizer": VERBALIZER}
        if METHODS[name]["tuning"] == "head":
            inputs["templates"] = []
        run.prepare(config={"method": "prompt_tuning", "settings": settings, "inputs": inputs}, rows=rows)
        with run.log_path.open("ab") as log:
            command = [sys.executable, "-m", "training.recipes.prompt_tuning", str(run.path.resolve())]
            ended = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=False)
        if (result := run.result()) is None:
            raise SystemExit(f"{name} ended with {ended.returncode}; see {run.log_path}\n{run.log_tail(1500)}")
        for weights in (run.checkpoint_path / "model").glob("*.safetensors"):
            weights.unlink()  # half a gigabyte each; their size is in the result
    seconds = result["seconds_by_stage"]
    return result | {"train_seconds": seconds.get("train", 0.0) + seconds.get("templates", 0.0)}


def embeddings(rows: list[Row], seed: int, options: argparse.Namespace) -> Row:
    """Mean of the encoder's last states, normalised; logistic regression with a unit ridge."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    from training.recipes.process.resources import peak_rss_mb
    from training.recipes.text.shots import sample_shots

    tokenizer = AutoTokenizer.from_pretrained(options.encoder)
    encoder = AutoModel.from_pretrained(options.encoder).eval()

    @torch.no_grad()
    def encode(texts: list[str]) -> Any:
        found = []
        for at in range(0, len(texts), 64):
            batch = tokenizer(texts[at : at + 64], padding=True, truncation=True, max_length=256, return_tensors="pt")
            states, mask = encoder(**batch).last_hidden_state, batch["attention_mask"][..., None]
            found.append(torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1))
        return torch.cat(found)

    labels = list(VERBALIZER)
    shots = sample_shots(rows, labels, options.k, seed)
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    learned = shots.train + shots.dev  # nothing is chosen: all labelled rows can be learned from
    features, wanted = (
        encode([row["text"] for row in learned]),
        torch.tensor([labels.index(r["label"]) for r in learned]),
    )
    layer = torch.nn.Linear(features.shape[1], len(labels))
    torch.nn.init.zeros_(layer.weight)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(layer(features), wanted, reduction="sum")
        loss = loss + layer.weight.square().sum() / 2
        loss.backward()
        return loss

    optimizer.step(closure)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    with torch.no_grad():
        said = layer(encode([row["text"] for row in shots.test])).argmax(-1).tolist()
    return {
        "accuracy": round(fmean(labels[place] == row["label"] for place, row in zip(said, shots.test, strict=True)), 4),
        "n": len(shots.test),
        "shots": len(learned),
        "train_seconds": seconds,
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_rss_mb": peak_rss_mb(),
        "trainable_parameters": sum(parameter.numel() for parameter in layer.parameters()),
        "artefact_bytes": 4 * sum(parameter.numel() for parameter in layer.parameters()),
    }


def print_table(lines: list[Row]) -> None:
    say(
        f"{'method':<22}{'mean':>7}{'sd':>7}{'labels':>8}{'train s':>9}{'cpu s':>8}{'MiB':>7}"
        f"{'parameters':>13}{'bytes':>13}"
    )
    for line in lines:
        sd = "" if line["sd"] is None else f"{line['sd']:.3f}"
        say(
            f"{line['method']:<22}{line['mean']:>7.3f}{sd:>7}{line['labels']:>8}{line['train_seconds']:>9.1f}"
            f"{line['cpu_seconds']:>8.1f}{line['peak_rss_mb']:>7.0f}{line['trainable_parameters']:>13,}"
            f"{line['artefact_bytes']:>13,}"
        )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
