"""Labels and units of the methods' settings, as forms, dry runs and pages of rounds show them.

A setting has the same label in every method. A method from another package may bring its own by `setting(label=…)`.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, fields
from typing import Any

from training.methods.settings import MethodConfig


@dataclass(frozen=True)
class Label:
    """What a setting is called. `common`: it is shown at once, not below *More settings*."""

    text: str
    unit: str = ""
    common: bool = False


def _(text: str) -> str:
    """Mark a text as one to translate; those who show it translate it."""
    return text


LABELS: dict[str, Label] = {
    # Drawing responses.
    "completions_per_prompt": Label(_("Responses per prompt"), common=True),
    "max_new_tokens": Label(_("Response length"), _("tokens")),
    "temperature": Label(_("Sampling temperature")),
    "max_prompt_tokens": Label(_("Longest prompt"), _("tokens")),
    "prompts": Label(_("Prompts"), _("0: all"), common=True),
    "choose_by": Label(_("Choose prompts by"), common=True),
    "control_share": Label(_("Share chosen at random"), _("0 to 1")),
    "pool": Label(_("Prompts to choose from"), _("0: four times as many")),
    "base_share": Label(_("Responses of the base model"), _("share, 0 to 1"), common=True),
    "older_share": Label(_("Responses of earlier versions"), _("share, 0 to 1")),
    "people_share": Label(_("Prompts with a reference response"), _("share, 0 to 1")),
    "server": Label(_("Model server"), _("URL")),
    "server_model": Label(_("Model name on the server")),
    "sampling_batch": Label(_("Responses generated at once"), _("0: all of an update")),
    # Learning.
    "epochs": Label(_("Epochs"), common=True),
    "learning_rate": Label(_("Learning rate"), common=True),
    "batch_size": Label(_("Batch size"), common=True),
    "minibatch_size": Label(_("Minibatch size"), _("episodes")),
    "micro_batch": Label(_("Micro-batch size"), _("0: the whole step")),
    "max_length": Label(_("Longest prompt with response"), _("tokens")),
    "max_grad_norm": Label(_("Gradient clipping"), _("norm")),
    "weight_decay": Label(_("Weight decay")),
    "train": Label(_("Weights to train")),
    "lora_rank": Label(_("LoRA rank")),
    "top_blocks": Label(_("Transformer blocks with an adapter"), _("from the top")),
    "checkpointing": Label(_("Gradient checkpointing")),
    "processes": Label(_("Processes")),
    "save_every": Label(_("Save a checkpoint every"), _("steps; 0: automatic")),
    "seed": Label(_("Random seed")),
    # Measuring.
    "eval_completions": Label(_("Responses per held-out prompt")),
    "eval_every": Label(_("Evaluate every"), _("steps; 0: at the end")),
    "gate": Label(_("If the quality gate fails"), common=True),
    # Reward model.
    "loss": Label(_("Loss")),
    "margin": Label(_("Margin of the loss")),
    "pooling": Label(_("States read by the heads"), common=True),
    "ridge": Label(_("Ridge penalty")),
    "heads": Label(_("Heads"), common=True),
    "head_learning_rate_factor": Label(_("Learning rate of the heads"), _("times the adapter's")),
    "rankings_per_step": Label(_("Rankings per optimiser step")),
    "start": Label(_("Initial adapter")),
    "learning_curve": Label(_("Points of the learning curve")),
    "reference_samples": Label(_("Responses to normalise scores")),
    # Policy gradients.
    "episodes": Label(_("Episodes"), _("responses in all"), common=True),
    "ppo_epochs": Label(_("PPO epochs"), _("per update")),
    "passes": Label(_("Epochs per update")),
    "kl_coef": Label(_("KL coefficient"), common=True),
    "kl_target": Label(_("KL target"), _("nats per response; 0: fixed coefficient")),
    "kl_horizon": Label(_("KL horizon"), _("updates")),
    "kl_limit": Label(_("Stop above KL"), _("nats per response"), common=True),
    "kl_limit_per_token": Label(_("Stop above KL per token"), _("nats; 0: off")),
    "clip_range": Label(_("Clip range of the policy")),
    "value_clip_range": Label(_("Clip range of values")),
    "value_coef": Label(_("Value loss coefficient")),
    "value_model": Label(_("Value model")),
    "gamma": Label(_("Discount (γ)")),
    "gae_lambda": Label(_("GAE λ")),
    "whiten_rewards": Label(_("Whiten rewards")),
    "missing_eos": Label(_("Truncated responses")),
    "missing_eos_score": Label(_("Score of truncated responses")),
    "disagreement_coef": Label(_("Disagreement penalty")),
    "entropy_floor": Label(_("Stop below entropy"), _("nats per token")),
    "length_floor": Label(_("Stop below mean length"), _("tokens")),
    "distinct_floor": Label(_("Stop below distinct bigrams"), _("share, 0 to 1")),
    "clipfrac_limit": Label(_("Stop above clipped tokens"), _("share, 0 to 1")),
    "ratio_limit": Label(_("Stop above mean ratio")),
    "beta": Label(_("DPO β"), common=True),
    # Prompt tuning.
    "tuning": Label(_("Approach"), common=True),
    "shots": Label(_("Labelled rows per label"), _("0: all"), common=True),
    "virtual_tokens": Label(_("Virtual tokens")),
    "calibration": Label(_("Calibration")),
    # Instructions.
    "proposals": Label(_("Tasks to propose"), common=True),
    "seed_examples": Label(_("Seed tasks per request")),
    "pool_examples": Label(_("Accepted tasks per request")),
    "similarity": Label(_("Near-duplicate from ROUGE-L"), _("0 to 1")),
    "near_duplicates": Label(_("Near-duplicates")),
    "per_task": Label(_("Training examples per task"), common=True),
    "test_per_task": Label(_("Test examples per task")),
    "held_out": Label(_("Held-out clusters"), _("separated by commas"), common=True),
    "seed_tasks": Label(_("Learn from the seed tasks")),
    "labelled": Label(_("Learn from labelled texts")),
    "packing": Label(_("Packing")),
    "shown": Label(_("Responses shown")),
    # Evaluation by people.
    "against": Label(_("Compare with"), common=True),
    "seats": Label(_("Annotators per comparison"), common=True),
}


def label_of(setting: Field[Any]) -> Label:
    """Return the label of a field of a method's dataclass: its own, the shared one, or its name in words."""
    own = setting.metadata.get("label", "")
    if own:
        return Label(own, setting.metadata.get("unit", ""), common=True)
    return LABELS.get(setting.name) or Label(setting.name.replace("_", " ").capitalize(), common=True)


def setting_label(config: type[MethodConfig], name: str) -> str:
    """Return the label of a setting by its name; of one that the method no longer has, its name."""
    return next((label_of(setting).text for setting in fields(config) if setting.name == name), name)
