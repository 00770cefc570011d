"""Episodes per second of our PPO: sampling, scoring and learning as in `training/recipes/ppo.py`, nothing left out.

    python benchmarks/ppo_speed.py --model PATH [--batch 16] [--prompt-tokens 32] [--response-tokens 24]
                                   [--ppo-epochs 4] [--episodes 64] [--completions-per-prompt 4] [--against FILE]

Prompts are random tokens, and every answer has its full length: the row of EOS in the output layer is turned against
the model's average state, so that EOS is never drawn, which changes nothing about the work. One optimiser step per
epoch. The first batch warms up and is not counted; `generation_seconds` and `other_seconds` are per episode.

`--against` takes the JSON line that a script like it printed for TRL's PPO with the same figures (`episodes_per_second`
is read), and the ratio is printed, too. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from training.methods import PPOConfig
from training.recipes.models.reward_model import RewardModel
from training.recipes.models.shared_model import SharedModel
from training.recipes.process.distributed import Processes
from training.recipes.process.resources import give_back_large_blocks, peak_rss_mb, pick_device, use_all_cores
from training.recipes.process.seeds import generator
from training.recipes.rl.episodes import sample_episodes, score_rollouts
from training.recipes.rl.policy import Policy, load_roles
from training.recipes.rl.update import learn
from training.recipes.text.prompts import PromptTokens


def write_reward_model(model: str, folder: Path, config: PPOConfig) -> None:
    """Untrained: how fast it is does not depend on what it says."""
    shared = SharedModel(model, pick_device())
    fresh = RewardModel.initialise(
        shared, rank=config.lora_rank, top_blocks=config.top_blocks, generator=generator(config.seed, "head")
    )
    folder.mkdir()
    fresh.save(folder, {})


@torch.no_grad()
def silence_eos(policy: Policy, prompts: list[PromptTokens]) -> None:
    shared = policy.shared
    ids = torch.tensor([prompt.tokens for prompt in prompts[:16]], device=shared.device)
    # Without the first token, whose state is unlike all others.
    average = shared.decoder(input_ids=ids).last_hidden_state[:, 1:].flatten(0, 1).mean(0)
    shared.head.weight[shared.closing] = -200 * average / average.square().sum()


def random_prompts(policy: Policy, count: int, length: int, seed: int) -> list[PromptTokens]:
    shared = policy.shared
    usable = torch.tensor(
        [
            token
            for token in range(10, min(40_000, shared.head.out_features))
            if token not in (shared.closing, shared.pad)
        ]
    )
    chosen = torch.randint(len(usable), (count, length), generator=generator(seed, "prompts"))
    return [PromptTokens(number, usable[row].tolist()) for number, row in enumerate(chosen)]


def measure(model: str, config: PPOConfig, prompt_tokens: int) -> dict[str, float]:
    """Seconds of wall clock by stage and of CPU, over all updates but the first."""
    with tempfile.TemporaryDirectory() as home:
        reward_model = Path(home) / "reward"
        write_reward_model(model, reward_model, config)
        policy = load_roles(config, {"policy": model, "reward_model": str(reward_model)})
    updates, groups = config.episodes // config.batch_size, config.batch_size // config.completions_per_prompt
    prompts = random_prompts(policy, updates * groups, prompt_tokens, config.seed)
    silence_eos(policy, prompts)
    learning = [*policy.parameters, *policy.value_head.parameters()]
    optimiser = torch.optim.AdamW(learning, lr=config.rate, eps=1e-5, weight_decay=0.0)
    processes = Processes()
    spent = {"generation": 0.0, "scoring": 0.0, "learning": 0.0, "cpu": 0.0}
    for update in range(1, updates + 1):
        stamps, cpu = [time.perf_counter()], time.process_time()
        rollout = sample_episodes(policy, prompts, update, config, processes)
        stamps.append(time.perf_counter())
        batch, tokens, _ = score_rollouts(policy, rollout, config.kl_coef, config, processes, check_fresh=update == 1)
        stamps.append(time.perf_counter())
        learn(policy, optimiser, batch, tokens, config.rate, update, config, processes)
        stamps.append(time.perf_counter())
        cpu = time.process_time() - cpu
        if int(rollout.lengths.min()) < config.max_new_tokens:
            raise SystemExit("An answer ended early in spite of all: this would measure too little work")
        if update > 1:
            for stage, began, ended in zip(("generation", "scoring", "learning"), stamps, stamps[1:], strict=False):
                spent[stage] += ended - began
            spent["cpu"] += cpu
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a prepared checkpoint")
    parser.add_argument("--batch", type=int, default=16, help="episodes per update")
    parser.add_argument("--prompt-tokens", type=int, default=32)
    parser.add_argument("--response-tokens", type=int, default=24)
    parser.add_argument("--ppo-epochs", type=int, default=4)
    parser.add_argument("--episodes", type=int, default=64, help="counted ones, after a first batch")
    parser.add_argument("--completions-per-prompt", type=int, default=4)
    parser.add_argument("--against", type=Path, help="file with the other side's JSON line")
    options = parser.parse_args()
    give_back_large_blocks()
    use_all_cores()
    torch.manual_seed(0)
    episodes = -(-options.episodes // options.batch) * options.batch
    config = PPOConfig(
        episodes=episodes + options.batch,
        batch_size=options.batch,
        minibatch_size=options.batch,
        ppo_epochs=options.ppo_epochs,
        completions_per_prompt=options.completions_per_prompt,
        max_new_tokens=options.response_tokens,
        kl_coef=0.05,
    )
    spent = measure(options.model, config, options.prompt_tokens)
    other = spent["scoring"] + spent["learning"]
    rate = episodes / (spent["generation"] + other)
    line = {
        "benchmark": "ppo_speed",
        "episodes": episodes,
        "episodes_per_second": round(rate, 4),
        "cpu_seconds_per_episode": round(spent["cpu"] / episodes, 4),
        "generation_seconds": round(spent["generation"] / episodes, 4),
        "other_seconds": round(other / episodes, 4),
        "scoring_seconds": round(spent["scoring"] / episodes, 4),
        "learning_seconds": round(spent["learning"] / episodes, 4),
        "peak_rss_mb": peak_rss_mb(),
        "batch": options.batch,
        "completions_per_prompt": options.completions_per_prompt,
        "prompt_tokens": options.prompt_tokens,
        "response_tokens": options.response_tokens,
        "ppo_epochs": options.ppo_epochs,
        "top_blocks": config.top_blocks,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    if options.against:
        theirs = json.loads(options.against.read_text("utf-8").strip().splitlines()[-1])
        line |= {"against": theirs["episodes_per_second"], "ratio": round(rate / theirs["episodes_per_second"], 2)}
        if "peak_rss_mb" in theirs:
            line["memory_ratio"] = round(line["peak_rss_mb"] / theirs["peak_rss_mb"], 3)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
