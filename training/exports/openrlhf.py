"""A round for OpenRLHF 0.11: one script, each stage a command of openrlhf.cli.

Adapters are not merged before its PPO samples with vLLM, so every stage trains all weights. A rate that was meant for
an adapter would ruin them: unless the round itself trained all weights, the rates are those of OpenRLHF's own examples.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from math import ceil

from training.exports.stages import NO_COUNTERPART, ExportedStage, Tool
from training.rundir import Row

VERSION = "0.11.0"  # whose options these are
EXAMPLE_RATES = {"reward": 9e-6, "dpo": 5e-7, "sft": 5e-6, "instruction_tuning": 5e-6, "ppo": 5e-7, "rloo": 5e-7}
CRITIC_RATE = 9e-6

HEAD = """\
#!/usr/bin/env bash
# {title}
# For OpenRLHF {version} on GPUS cards of one machine; README.md says what is different from Prefloop.
set -euo pipefail
cd "$(dirname "$0")"
MODEL=${{MODEL:-{base}}}   # the base model: a name on the Hugging Face hub, or a folder
OUT=${{OUT:-out}}
GPUS=${{GPUS:-1}}
MICRO=${{MICRO:-1}}         # rows that one card takes at a time
: "${{MODEL:?names no model: the base was a folder on another machine}}"
POLICY=$MODEL
"""
MERGE = """
# The round began with {start}, an adapter.
python3 -m openrlhf.cli.lora_combiner --model_path "$MODEL" --lora_path start --output_path "$OUT/start"
POLICY=$OUT/start
"""


def files(stages: list[ExportedStage], base: str, start: str) -> dict[str, str]:
    title = f"{stages[-1].run.round} of {stages[-1].run.round.project}".replace("\n", " ")
    script = HEAD.format(title=title, version=VERSION, base=shlex.quote(base) if base else "")
    if start:
        script += MERGE.format(start=start)
    for stage in stages:
        script += f"\n# {stage.name}\n" + COMMANDS[stage.method](stage)
    return {"run.sh": script}


REWARD_DIFFERENCES = (
    "OpenRLHF's reward model is a head on the last token, trained on pairs. Ties are in no pair, soft labels "
    "(`share`) are not used, and there is no gate.",
)
ONLINE_DIFFERENCES = (
    "The KL is measured to where the round began; what Prefloop stops at (KL limit, floors of entropy and "
    "length) is not watched. Prompts longer than `--data.max_len` leave no room for answers.",
    "To be rewarded by Prefloop's own reward model instead: `python manage.py serve_reward --project SLUG`, "
    "and `REWARD_URL=http://localhost:5000/get_reward ./run.sh`.",
)
DIFFERENCES = {"reward": REWARD_DIFFERENCES, "ppo": ONLINE_DIFFERENCES, "rloo": ONLINE_DIFFERENCES}


def differences(stages: list[ExportedStage], _: str) -> list[str]:
    """Return where the script does something else than Prefloop did, for the README; each once."""
    said = [
        "All weights are trained: OpenRLHF's PPO samples with vLLM, which does not see adapters. Learning rates are "
        "those of OpenRLHF's examples, unless the round trained all weights."
    ]
    methods = {stage.method for stage in stages}
    for method, differences in DIFFERENCES.items():
        said += [each for each in differences if method in methods and each not in said]
    return said


def _reward(stage: ExportedStage) -> str:
    options = {
        "data.prompt_key": "prompt",
        "train.max_epochs": stage.config["epochs"],
        "data.max_len": stage.config["max_length"],
        "train.batch_size": stage.config["rankings_per_step"] * stage.pairs_per_ranking,
    }
    if stage.config["margin"]:
        options["model.margin_loss_enable"] = True
    return _trained("train_rm", stage, "$MODEL", options) + f"REWARD=$OUT/{stage.name}\n"


def _dpo(stage: ExportedStage) -> str:
    config = stage.config
    options = {
        "data.prompt_key": "prompt",
        "model.beta": config["beta"],
        "train.max_epochs": config["epochs"],
        "train.batch_size": config["batch_size"],
        "data.max_len": config["max_length"],
    }
    return _trained("train_dpo", stage, "$POLICY", options) + f"POLICY=$OUT/{stage.name}\n"


def _sft(stage: ExportedStage) -> str:
    config = stage.config
    options = {
        "data.input_key": "prompt",
        "data.output_key": "completion",
        "train.max_epochs": config["epochs"],
        "train.batch_size": config["batch_size"],
        "data.max_len": config["max_length"],
    }
    return _trained("train_sft", stage, "$POLICY", options) + f"POLICY=$OUT/{stage.name}\n"


def _trained(program: str, stage: ExportedStage, model: str, options: Row) -> str:
    given: Row = {
        "model.model_name_or_path": model,
        "ckpt.output_dir": f"$OUT/{stage.name}",
        "ckpt.path": f"$OUT/{stage.name}/state",
        "data.dataset": stage.files["train"],
        "data.apply_chat_template": True,
        **options,
        "train.micro_batch_size": "$MICRO",
        "train.seed": stage.config["seed"],
        "adam.lr": _rate(stage),
        "ds.zero_stage": 2,
        "ds.attn_implementation": "sdpa",
    }
    if "eval" in stage.files:
        given["eval.dataset"] = stage.files["eval"]
    return f'deepspeed --num_gpus "$GPUS" --module openrlhf.cli.{program}{_as_options(given)}\n'


def _ppo(stage: ExportedStage) -> str:
    config = stage.config
    own: Row = {
        "train.max_epochs": config["ppo_epochs"],
        "algo.advantage.estimator": "gae",
        "algo.advantage.lambd": config["gae_lambda"],
        "algo.advantage.gamma": config["gamma"],
        "critic.value_clip": config["value_clip_range"],
        "critic.adam.lr": CRITIC_RATE,
    }
    if config["kl_target"]:
        own |= {"algo.kl.target": config["kl_target"], "algo.kl.horizon": _horizon(config)}
    return _online(stage, own, ("actor", "ref", "reward", "critic"))


def _rloo(stage: ExportedStage) -> str:
    own: Row = {"train.max_epochs": stage.config["passes"], "algo.advantage.estimator": "rloo"}
    return _online(stage, own, ("actor", "ref", "reward"))


def _online(stage: ExportedStage, own: Row, roles: Sequence[str]) -> str:
    """Return the commands for a policy that learns from its own answers; `own` are the options of its method."""
    config = stage.config
    answers = config["completions_per_prompt"]
    # OpenRLHF asks every one of these prompts in each of its "episodes": together as many answers as the round drew.
    prompts = min(max(1, stage.count("train")), ceil(config["episodes"] / answers))
    given: Row = {
        "actor.model_name_or_path": "$POLICY",
        "ckpt.output_dir": f"$OUT/{stage.name}",
        "ckpt.path": f"$OUT/{stage.name}/state",
        "data.prompt_dataset": stage.files["train"],
        "data.input_key": "prompt",
        "data.apply_chat_template": True,
        "data.max_samples": prompts,
        "data.max_len": config["max_prompt_tokens"] + config["max_new_tokens"],
        "rollout.max_new_tokens": config["max_new_tokens"],
        "rollout.temperature": config["temperature"],
        "rollout.n_samples_per_prompt": answers,
        "rollout.batch_size": min(prompts, max(1, config["batch_size"] // answers)),
        "rollout.micro_batch_size": "$MICRO",
        "train.batch_size": config["minibatch_size"],
        "train.micro_batch_size": "$MICRO",
        "train.num_episodes": max(1, ceil(config["episodes"] / (prompts * answers))),
        "train.seed": config["seed"],
        "actor.adam.lr": _rate(stage),
        "actor.eps_clip": config["clip_range"],
        "actor.max_norm": config["max_grad_norm"],
        "algo.kl.init_coef": config["kl_coef"],
        **own,
    }
    for role in roles:
        given |= {f"{role}.num_nodes": 1, f"{role}.num_gpus_per_node": "$GPUS"}
    given |= {
        "train.colocate_all": True,
        "vllm.num_engines": "$GPUS",
        "vllm.tensor_parallel_size": 1,
        "vllm.gpu_memory_utilization": 0.5,
        "vllm.enable_sleep": True,
        "vllm.enforce_eager": True,
        "ds.enable_sleep": True,
        "ds.zero_stage": 2,
        "ds.attn_implementation": "sdpa",
    }
    rewarded = (
        'if [ -n "${REWARD_URL:-}" ]; then SCORED=(--reward.remote_url "$REWARD_URL")\n'
        'else SCORED=(--reward.model_name_or_path "$REWARD"); fi\n'
    )
    command = f'python3 -m openrlhf.cli.train_ppo_ray "${{SCORED[@]}}"{_as_options(given)}\n'
    return f"{rewarded}{command}POLICY=$OUT/{stage.name}\n"


def _horizon(config: Row) -> int:
    """Return the KL horizon in episodes: Prefloop's is in updates, both bound a change by 20 % of (batch / horizon)."""
    return max(1, round(float(config["kl_horizon"]) * int(config["batch_size"])))


def _rate(stage: ExportedStage) -> float:
    own = float(stage.config["learning_rate"]) if stage.trains_all_weights else 0.0  # 0: the method chooses
    return own or EXAMPLE_RATES[stage.method]


def _as_options(given: Row) -> str:
    """Return options one to a line; shell variables are left to expand, all else is quoted."""
    lines = []
    for name, value in given.items():
        if value is True:
            lines.append(f" \\\n   --{name}")
        else:
            text = f'"{value}"' if str(value).startswith("$") else shlex.quote(str(value))
            lines.append(f" \\\n   --{name} {text}")
    return "".join(lines)


COMMANDS: dict[str, Callable[[ExportedStage], str]] = {
    "reward": _reward,
    "dpo": _dpo,
    "sft": _sft,
    "instruction_tuning": _sft,
    "ppo": _ppo,
    "rloo": _rloo,
}

HOW_TO_RUN = f"""\
On a machine with GPUs and OpenRLHF {VERSION}:

```
GPUS=1 ./run.sh
```

Each stage goes on from what the one before it made, and leaves its model in `out/<stage>`. `MODEL` names another base
model, `OUT` another folder, `MICRO` how many rows one card takes at a time. The options were checked against the
programs of that version; nothing of it was run on GPUs by whoever wrote this export."""

TOOL = Tool(
    "openrlhf",
    "OpenRLHF",
    HOW_TO_RUN,
    methods=COMMANDS,
    files=files,
    differences=differences,
    order=20,
    left_out={**NO_COUNTERPART, "sample": "Sampling: OpenRLHF has no program that only samples"},
)
