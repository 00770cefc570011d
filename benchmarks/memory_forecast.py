"""Forecast and measured peak of memory, of real runs on the CPU with random-weight models of different shape.

    python benchmarks/memory_forecast.py [--only NAME]
    python benchmarks/memory_forecast.py --table

Each run is a recipe in a process of its own; its peak is the kernel's own figure for that process, the forecast comes
from config.json, settings and lengths in tokens (training/memory.py). Prints one JSON line: `runs` with both in MiB and
their ratio, and `worst`, the largest distance of a ratio from 1. `--table` measures nothing: it prints what fits on
which GPU by the forecast, as docs/reference/memory.md has it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", PREFLOOP_PRECISION="float32")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.shapes import SHAPES
from tests.tiny_model import tiny_tokenizer
from training.memory import GIB, ModelShape, forecast, lightest, read_shape
from training.methods import METHODS
from training.rundir import Row, RunDir

ROOT = Path(__file__).resolve().parent.parent
LETTER = "q"  # always a token of its own for the tokenizer of the tests
SMALL = {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 8, "num_attention_heads": 8}
DEEP = {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 6}
WIDE = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 4}
STEPS: Row = {"eval_completions": 1, "top_blocks": 99, "lora_rank": 8}
RUNS: dict[str, tuple[Row, str, Row, int, int]] = {  # model, method, settings, tokens of prompts and of answers
    "ppo": (
        SMALL | {"vocab_size": 32_000},
        "ppo",
        {"episodes": 32, "batch_size": 32, "minibatch_size": 32, "ppo_epochs": 1, "max_new_tokens": 48},
        200,
        48,
    ),
    "ppo in parts": (
        DEEP | {"vocab_size": 50_000},
        "ppo",
        {
            "episodes": 32,
            "batch_size": 32,
            "minibatch_size": 32,
            "ppo_epochs": 1,
            "micro_batch": 4,
            "max_new_tokens": 24,
        },
        400,
        24,
    ),
    "sft": (SMALL | {"vocab_size": 32_000}, "sft", {"epochs": 1, "batch_size": 4, "max_new_tokens": 8}, 100, 150),
    "dpo": (WIDE | {"vocab_size": 100_000}, "dpo", {"epochs": 1, "batch_size": 4, "max_new_tokens": 8}, 50, 100),
    "all weights": (
        SMALL | {"vocab_size": 32_000},
        "ppo",
        {"episodes": 8, "batch_size": 8, "minibatch_size": 8, "ppo_epochs": 1, "train": "full", "learning_rate": 1e-5},
        100,
        24,
    ),
}


def write_model(folder: Path, shape: Row) -> None:
    """Write a Llama of random weights with the tests' tokenizer; ids above its tokens stand for nothing."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizer()
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    torch.manual_seed(0)
    config = LlamaConfig(**shape, **ids, num_key_value_heads=2, max_position_embeddings=2048, tie_word_embeddings=True)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_reward_model(model: Path, folder: Path) -> None:
    import torch

    from training.recipes.models.reward_model import RewardModel
    from training.recipes.models.shared_model import SharedModel
    from training.recipes.process.seeds import generator

    shared = SharedModel(str(model), torch.device("cpu"))
    folder.mkdir()
    RewardModel.initialise(shared, rank=8, top_blocks=2, generator=generator(0, "head")).save(folder, {})


def rows_of(method: str, prompt: int, answer: int) -> list[Row]:
    """Return rows whose texts have about these numbers of tokens."""
    messages = [{"role": "user", "content": LETTER * (prompt - 12)}]
    said = [{"role": "assistant", "content": LETTER * (answer - 2)}]
    other = [{"role": "assistant", "content": "z" * (answer - 2)}]
    rows: list[Row] = []
    for number in range(8 if method == "ppo" else 4):
        row: Row = {"prompt_id": number, "split": "train"}
        texts = {"ppo": {"messages": messages}, "sft": {"prompt": messages, "completion": said}}
        rows.append(row | texts.get(method, {"prompt": messages, "chosen": said, "rejected": other}))
    return rows


def measure(name: str, home: Path) -> Row:
    """Return forecast and peak of one run, in MiB."""
    shape, method, given, prompt, answer = RUNS[name]
    model = home / "model"
    write_model(model, shape)
    inputs = {"policy": str(model)}
    if method == "ppo":
        write_reward_model(model, home / "reward")
        inputs["reward_model"] = str(home / "reward")
    limits: Row = {"kl_limit": 1e4, "distinct_floor": 0.0} if method == "ppo" else {"max_length": 1000}
    settings: Row = STEPS | given | limits
    run = RunDir(home / "run")
    run.prepare(config={"method": method, "settings": settings, "inputs": inputs}, rows=rows_of(method, prompt, answer))
    command = [sys.executable, "-m", f"training.recipes.{method}", str(run.path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    result = run.result()
    if ended.returncode or result is None:
        raise SystemExit(f"{name}: {ended.stdout[-2000:]}{ended.stderr[-2000:]}")
    known = read_shape(model)
    assert known is not None
    config: dict[str, Any] = METHODS[method].config(**settings).as_json()
    found = forecast(method, config, known, prompt=prompt, answer=answer).as_json()
    peak = result["peak_rss_mb"]
    return {"forecast": found["total"], "measured": peak, "ratio": round(found["total"] / peak, 3), "parts": found}


CARDS = (16, 24, 40, 80)  # GiB
USABLE = 0.97  # of a card: the rest is the driver's
PROMPT, ANSWER = 512, 256
KINDS: dict[str, tuple[str, Row, bool]] = {  # method, settings, whether frozen layers are in four bits
    "SFT": ("sft", {}, False),
    "SFT, 4-bit": ("sft", {}, True),
    "DPO": ("dpo", {}, False),
    "DPO, 4-bit": ("dpo", {}, True),
    "Reward model, adapter": ("reward", {"pooling": "mean"}, False),
    "RLOO": ("rloo", {}, False),
    "PPO": ("ppo", {}, False),
    "PPO, 4-bit": ("ppo", {}, True),
    "PPO, all weights": ("ppo", {"train": "full"}, False),
}


def needed(kind: str, shape: ModelShape, *, light: bool) -> float:
    """Return the GiB that a method needs on a GPU, with its defaults or with the settings that need least."""
    method, more, four_bit = KINDS[kind]
    config = METHODS[method].config(**more).as_json() | {"max_new_tokens": ANSWER}
    if light:
        config = lightest(method, config)
    how: dict[str, Any] = {"state_bytes": 2, "four_bit": four_bit, "device": "cuda"}
    found = forecast(method, config, shape, prompt=PROMPT, answer=ANSWER, **how)
    return found.total / GIB


def tables() -> str:
    """Return two tables in Markdown: GiB by method and size, and the largest size by method and card."""
    lines = ["| | " + " | ".join(SHAPES) + " |", "|---" * (len(SHAPES) + 1) + "|"]
    for kind in KINDS:
        cells = [
            f"{needed(kind, each, light=False):.1f} / {needed(kind, each, light=True):.1f}" for each in SHAPES.values()
        ]
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    lines += ["", "The largest of these models on a card of that size:", ""]
    lines += ["| | " + " | ".join(f"{card} GB" for card in CARDS) + " |", "|---" * (len(CARDS) + 1) + "|"]
    for kind in KINDS:
        cells = []
        for card in CARDS:
            both = [
                [name for name, shape in SHAPES.items() if needed(kind, shape, light=light) <= card * USABLE]
                for light in (False, True)
            ]
            cells.append(" / ".join(fitting[-1] if fitting else "none" for fitting in both))
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=RUNS)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.table:
        print(tables())
        return
    wanted = options.only
    runs = {}
    for name in [wanted] if wanted else RUNS:
        with tempfile.TemporaryDirectory() as home:
            runs[name] = measure(name, Path(home))
    worst = max(abs(run["ratio"] - 1) for run in runs.values())
    print(json.dumps({"runs": runs, "worst": round(worst, 3)}))


if __name__ == "__main__":
    main()
