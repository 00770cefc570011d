"""What a device does with models of real sizes: speed, share of peak, memory against the forecast, precision, recovery.

    python benchmarks/gpu.py [--models 0.5B,1.5B,7B] [--bundled PATH] [--toy]

Models of random weights have the shapes of 0.5, 1.5 and 7 billion weights; `--bundled` adds a prepared checkpoint.
Each is measured in a process of its own, on a GPU where there is one, in the number format that a run would take:

    sampling      tokens drawn per second, and share of what the device does in matrix products, measured first
    update        tokens learned from per second by PPO with the default adapter, and the same share
    memory        peak against the forecast, MiB; on a GPU what the allocator held, without the program
    agreement     largest and mean distance in nats of log-probabilities to those in float32
    recovery      a step that does not fit is halved: on a GPU the allocator is limited, on a CPU it is simulated

Prints one JSON line. `--toy` takes small sizes of the same kind, with which the tests run it on a CPU.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor

from benchmarks.ppo_speed import random_prompts, write_reward_model
from benchmarks.shapes import SHAPES
from tests.tiny_model import tiny_tokenizer
from training.memory import ModelShape, forecast, read_shape
from training.methods import PPOConfig
from training.recipes.models.generation import Drawing, sample
from training.recipes.models.shared_model import SharedModel, role_logprobs
from training.recipes.process import precision
from training.recipes.process.distributed import Processes
from training.recipes.process.log import remarks
from training.recipes.process.resources import available_memory, peak_rss_mb, pick_device, use_all_cores
from training.recipes.process.seeds import generator
from training.recipes.rl.episodes import Batch, sample_episodes, score_rollouts
from training.recipes.rl.policy import Policy, load_roles
from training.recipes.rl.update import groups_at_once, learn

Row = dict[str, Any]
TOYS: dict[str, ModelShape] = {
    "0.5B": ModelShape(32, 3, 2, 1, 16, 96, 600),
    "1.5B": ModelShape(48, 4, 3, 1, 16, 160, 600),
    "7B": ModelShape(64, 5, 4, 2, 16, 192, 800, tied=False),
}
LOAD = {"prompts": 16, "prompt": 512, "answer": 128}
TOY_LOAD = {"prompts": 4, "prompt": 24, "answer": 8}


def write_model(folder: Path, shape: ModelShape, dtype: torch.dtype, device: torch.device) -> None:
    """Write a model of this shape with random weights, made on the device itself, and the tests' tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizer()
    config = LlamaConfig(
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.blocks,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_heads,
        head_dim=shape.head_size,
        vocab_size=shape.vocabulary,
        tie_word_embeddings=shape.tied,
        max_position_embeddings=8192,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def wait(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(device: torch.device, work: Callable[[], object]) -> float:
    """Return the seconds that a piece of work takes."""
    wait(device)
    began = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - began


def matmul_rate(device: torch.device, dtype: torch.dtype, width: int) -> float:
    """Return the operations per second of square matrix products, the best of five times ten."""
    factors = [torch.randn(width, width, device=device, dtype=dtype) for _ in range(2)]

    def ten() -> None:
        for _ in range(10):
            torch.matmul(*factors)

    ten()
    return 10 * 2 * width**3 / min(seconds_of(device, ten) for _ in range(5))


def start_peak(device: torch.device) -> None:
    """Begin to measure the peak anew, where that can be done."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_mb(device: torch.device) -> float:
    """Return the peak in MiB: of the allocator on a GPU, of the process on a CPU."""
    return torch.cuda.max_memory_allocated(device) / 1024**2 if device.type == "cuda" else peak_rss_mb()


def config_of(load: Row) -> PPOConfig:
    """Return PPO with its defaults, one update of four answers to each prompt."""
    episodes = 4 * load["prompts"]
    return PPOConfig(
        episodes=episodes,
        batch_size=episodes,
        minibatch_size=episodes // 2,
        ppo_epochs=1,
        max_new_tokens=load["answer"],
        max_prompt_tokens=load["prompt"],
    )


class Bench:
    """One model on the device, with PPO's roles around it."""

    def __init__(self, model: Path, home: Path, load: Row) -> None:
        self.device, self.load, self.config = pick_device(), load, config_of(load)
        self.model, self.reward = str(model), home / "reward"
        self.dtype = precision.choose(self.device).dtype
        with precision.using(self.dtype):
            write_reward_model(self.model, self.reward, self.config)
            start_peak(self.device)
            self.policy: Policy = load_roles(self.config, {"policy": self.model, "reward_model": str(self.reward)})
        self.prompts = random_prompts(self.policy, load["prompts"], load["prompt"], 0)
        found = read_shape(model)
        assert found is not None
        self.shape = found

    def measure(self, *, toy: bool) -> Row:
        """Return all figures."""
        rate = matmul_rate(self.device, self.dtype, 256 if toy else 8192)
        sampling = self.sampling(rate)
        update = self.update(rate)
        memory = self.memory()
        recovery = self.recovery()
        return {
            "weights": sum(weight.numel() for weight in self.policy.shared.model.parameters()),
            "dtype": str(precision.Precision(self.dtype)),
            "matmul_tflops": round(rate / 1e12, 3),
            "sampling": sampling,
            "update": update,
            "memory": memory,
            "recovery": recovery,
            "agreement": self.agreement(),
        }

    def sampling(self, rate: float) -> Row:
        """Return tokens drawn per second; the share counts two operations per weight and token."""
        drawing = Drawing(4, self.load["answer"], 1.0)
        tokens = [prompt.tokens for prompt in self.prompts]
        shared = self.policy.shared
        sample(shared, None, tokens[:1], Drawing(1, 4, 1.0), generator(0))  # warm
        drawn: list[int] = []

        def draw() -> None:
            drawn.append(int(sample(shared, None, tokens, drawing, generator(1)).drawn.sum()))

        seconds = seconds_of(self.device, draw)
        read = drawn[0] + sum(map(len, tokens))
        flops = 2 * read * self.shape.parameters
        return {"tokens_per_second": round(drawn[0] / seconds, 1), "share_of_peak": round(flops / seconds / rate, 4)}

    def episodes(self) -> tuple[Batch, Tensor]:
        """Return the episodes of an update, ready to be learned from."""
        with precision.using(self.dtype):
            rollout = sample_episodes(self.policy, self.prompts, 1, self.config, Processes())
            batch, tokens, _ = score_rollouts(self.policy, rollout, 0.03, self.config, Processes())
        return batch, tokens

    def learn(self, batch: Batch, tokens: Tensor, memory: Any = None) -> dict[str, float]:
        """Take the optimiser steps of an update at a rate of 0, so that it can be taken again; return its metrics."""
        learning = [*self.policy.parameters, *self.policy.value_head.parameters()]
        optimiser = torch.optim.AdamW(learning)
        with precision.using(self.dtype):
            return learn(self.policy, optimiser, batch, tokens, 0.0, 1, self.config, Processes(), memory)

    def update(self, rate: float) -> Row:
        """Return tokens learned from per second: prompts once and answers, in the blocks above the trunk.

        The share counts two operations per weight for the pass forward and two for that back: only adapters learn.
        """
        batch, tokens = self.episodes()
        self.learn(batch, tokens)  # warm
        seconds = seconds_of(self.device, lambda: self.learn(batch, tokens))
        read = int(batch.answers.prompt_mask.sum()) + int(batch.answers.response_mask.sum())
        blocks = self.shape.blocks - self.policy.shared.cut
        per_block = (self.shape.parameters - self.shape.vocabulary * self.shape.hidden) / self.shape.blocks
        flops = 4 * read * blocks * per_block + 4 * int(tokens.sum()) * self.shape.vocabulary * self.shape.hidden
        return {"tokens_per_second": round(read / seconds, 1), "share_of_peak": round(flops / seconds / rate, 4)}

    def memory(self) -> Row:
        """Return the peak so far against the forecast, in MiB."""
        found = forecast(
            "ppo",
            self.config.as_json(),
            self.shape,
            prompt=self.load["prompt"],
            answer=self.load["answer"],
            state_bytes=torch.finfo(self.dtype).bits // 8,
            device=self.device.type,
        )
        expected = (found.total - (found.program if self.device.type == "cuda" else 0)) / 1024**2
        peak = peak_mb(self.device)
        return {"peak": round(peak), "forecast": round(expected), "ratio": round(expected / peak, 3)}

    def recovery(self) -> Row:
        """Return how a step that does not fit goes on: on a GPU by real lack of memory."""
        batch, tokens = self.episodes()
        memory = groups_at_once(self.config)
        remarks.clear()
        if self.device.type == "cuda":
            start_peak(self.device)
            before = torch.cuda.memory_allocated(self.device)
            self.learn(batch, tokens)
            needed = torch.cuda.max_memory_allocated(self.device) - before
            torch.cuda.empty_cache()
            whole = torch.cuda.get_device_properties(self.device).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, (before + 0.7 * needed) / whole))
            try:
                metrics = self.learn(batch, tokens, memory)
            finally:
                torch.cuda.set_per_process_memory_fraction(1.0)
        else:
            read = SharedModel.read

            def scarce(model: SharedModel, answers: Any, role: str | None) -> Any:
                if torch.is_grad_enabled() and len(answers.prompt) > 1:
                    raise torch.OutOfMemoryError
                return read(model, answers, role)

            SharedModel.read = scarce  # type: ignore[method-assign]
            try:
                metrics = self.learn(batch, tokens, memory)
            finally:
                SharedModel.read = read  # type: ignore[method-assign]
        recovered = bool(remarks) and all(map(math.isfinite, metrics.values()))
        return {"recovered": recovered, "simulated": self.device.type != "cuda", "groups_at_once": memory.size}

    @torch.no_grad()
    def agreement(self) -> Row | None:
        """Return how far log-probabilities are from float32's, in nats; None where that does not fit beside it."""
        few = [prompt.tokens for prompt in self.prompts[:2]]
        shared = self.policy.shared
        answers = sample(shared, None, few, Drawing(2, self.load["answer"], 1.0), generator(2)).answers
        own = role_logprobs(shared, answers, answers.response_mask, None, 1.0)
        if available_memory(self.device) < 5 * self.shape.parameters:
            return None
        wide = SharedModel(self.model, self.device)  # float32 outside of runs
        exact = role_logprobs(wide, answers.without_trunk(), answers.response_mask, None, 1.0)
        gap = (own - exact)[answers.response_mask].abs()
        return {"worst_nats": float(f"{gap.max():.3g}"), "mean_nats": float(f"{gap.mean():.3g}")}


def measure_one(name: str, options: argparse.Namespace) -> Row:
    """Return the figures of one model, in this process."""
    use_all_cores()
    device = pick_device()
    load = TOY_LOAD if options.toy else LOAD
    with tempfile.TemporaryDirectory() as home:
        folder = Path(name) if name not in TOYS else Path(home) / "model"
        if name in TOYS:
            write_model(folder, (TOYS if options.toy else SHAPES)[name], precision.choose(device).dtype, device)
            gc.collect()
        return Bench(folder, Path(home), load).measure(toy=options.toy)


def device_name() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(TOYS), help="of these shapes, separated by commas")
    parser.add_argument("--bundled", help="folder of a prepared checkpoint, measured too")
    parser.add_argument("--toy", action="store_true", help="small sizes, for a CPU")
    parser.add_argument("--only", help=argparse.SUPPRESS)  # one model, in a process of its own
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure_one(options.only, options)))
        return
    names = [name for name in options.models.split(",") if name]
    if unknown := set(names) - set(TOYS):
        parser.error(f"no such model: {', '.join(sorted(unknown))}; there are {', '.join(TOYS)}")
    found: dict[str, Row] = {}
    for name in [*names, *([options.bundled] if options.bundled else [])]:
        command = [sys.executable, __file__, "--only", name, *(["--toy"] if options.toy else [])]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = ended.stdout.strip().splitlines()
        if ended.returncode:
            found[name] = {"error": (ended.stderr or ended.stdout)[-2000:]}
        else:
            found[name] = json.loads(lines[-1])
    print(json.dumps({"benchmark": "gpu", "device": device_name(), "torch": torch.__version__, "models": found}))


if __name__ == "__main__":
    main()
