"""Labels and units of the methods' settings, as forms, dry runs and pages of rounds show them.

A setting has the same label in every method. A method from another package may bring its own by `setting(label=…)`.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, fields
from typing import Any

from training.methods.settings import MethodConfig


@dataclass(frozen=True)
class SettingLabel:
    """What a setting is called. `common`: it is shown at once, not below *More settings*."""

    text: str
    unit: str = ""
    common: bool = False


def _(text: str) -> str:
    """Mark a text as one to translate; those who show it translate it."""
    return text


LABELS: dict[str, SettingLabel] = {
    # Drawing responses.
    "completions_per_prompt": SettingLabel(_("Responses per prompt"), common=True),
    "max_new_tokens": SettingLabel(_("Response length"), _("tokens")),
    "temperature": SettingLabel(_("Sampling temperature")),
    "max_prompt_tokens": SettingLabel(_("Longest prompt"), _("tokens")),
    "prompts": SettingLabel(_("Prompts"), _("0: all"), common=True),
    "choose_by": SettingLabel(_("Choose prompts by"), common=True),
    "control_share": SettingLabel(_("Share chosen at random"), _("0 to 1")),
    "pool": SettingLabel(_("Prompts to choose from"), _("0: four times as many")),
    "base_share": SettingLabel(_("Responses of the base model"), _("share, 0 to 1"), common=True),
    "older_share": SettingLabel(_("Responses of earlier versions"), _("share, 0 to 1")),
    "people_share": SettingLabel(_("Prompts with a reference response"), _("share, 0 to 1")),
    "server": SettingLabel(_("Model server"), _("URL")),
    "server_model": SettingLabel(_("Model name on the server")),
    "sampling_batch": SettingLabel(_("Responses generated at once"), _("0: all of an update")),
    # Learning.
    "epochs": SettingLabel(_("Epochs"), common=True),
    "learning_rate": SettingLabel(_("Learning rate"), common=True),
    "batch_size": SettingLabel(_("Batch size"), common=True),
    "minibatch_size": SettingLabel(_("Minibatch size"), _("episodes")),
    "micro_batch": SettingLabel(_("Micro-batch size"), _("0: the whole step")),
    "max_length": SettingLabel(_("Longest prompt with response"), _("tokens")),
    "max_grad_norm": SettingLabel(_("Gradient clipping"), _("norm")),
    "weight_decay": SettingLabel(_("Weight decay")),
    "train": SettingLabel(_("Weights to train")),
    "lora_rank": SettingLabel(_("LoRA rank")),
    "top_blocks": SettingLabel(_("Transformer blocks with an adapter"), _("from the top")),
    "checkpointing": SettingLabel(_("Gradient checkpointing")),
    "processes": SettingLabel(_("Processes")),
    "save_every": SettingLabel(_("Save a checkpoint every"), _("steps; 0: automatic")),
    "seed": SettingLabel(_("Random seed")),
    # Measuring.
    "eval_completions": SettingLabel(_("Responses per held-out prompt")),
    "eval_every": SettingLabel(_("Evaluate every"), _("steps; 0: at the end")),
    "gate": SettingLabel(_("If the quality gate fails"), common=True),
    # Reward model.
    "loss": SettingLabel(_("Loss")),
    "margin": SettingLabel(_("Margin of the loss")),
    "pooling": SettingLabel(_("States read by the heads"), common=True),
    "ridge": SettingLabel(_("Ridge penalty"), _("0: chosen by cross-validation")),
    "line": SettingLabel(_("Learn from the unacceptable line")),
    "heads": SettingLabel(_("Heads"), common=True),
    "head_learning_rate_factor": SettingLabel(_("Learning rate of the heads"), _("times the adapter's")),
    "rankings_per_step": SettingLabel(_("Rankings per optimiser step")),
    "start": SettingLabel(_("Initial adapter")),
    "learning_curve": SettingLabel(_("Points of the learning curve")),
    "reference_samples": SettingLabel(_("Responses to normalise scores")),
    # Policy gradients.
    "episodes": SettingLabel(_("Episodes"), _("responses in all"), common=True),
    "ppo_epochs": SettingLabel(_("PPO epochs"), _("per update")),
    "passes": SettingLabel(_("Epochs per update")),
    "kl_coef": SettingLabel(_("KL coefficient"), common=True),
    "kl_target": SettingLabel(_("KL target"), _("nats per response; 0: fixed coefficient")),
    "kl_horizon": SettingLabel(_("KL horizon"), _("updates")),
    "kl_limit": SettingLabel(_("Stop above KL"), _("nats per response"), common=True),
    "kl_limit_per_token": SettingLabel(_("Stop above KL per token"), _("nats; 0: off")),
    "clip_range": SettingLabel(_("Clip range of the policy")),
    "value_clip_range": SettingLabel(_("Clip range of values")),
    "value_coef": SettingLabel(_("Value loss coefficient")),
    "value_model": SettingLabel(_("Value model")),
    "gamma": SettingLabel(_("Discount (γ)")),
    "gae_lambda": SettingLabel(_("GAE λ")),
    "whiten_rewards": SettingLabel(_("Whiten rewards")),
    "missing_eos": SettingLabel(_("Truncated responses")),
    "missing_eos_score": SettingLabel(_("Score of truncated responses")),
    "disagreement_coef": SettingLabel(_("Disagreement penalty")),
    "entropy_floor": SettingLabel(_("Stop below entropy"), _("nats per token")),
    "length_floor": SettingLabel(_("Stop below mean length"), _("tokens")),
    "distinct_floor": SettingLabel(_("Stop below distinct bigrams"), _("share, 0 to 1")),
    "clipfrac_limit": SettingLabel(_("Stop above clipped tokens"), _("share, 0 to 1")),
    "ratio_limit": SettingLabel(_("Stop above mean ratio")),
    "beta": SettingLabel(_("β of the KL constraint"), common=True),
    "pairs_per_prompt": SettingLabel(_("Pairs per prompt"), common=True),
    # Prompt tuning.
    "tuning": SettingLabel(_("Approach"), common=True),
    "shots": SettingLabel(_("Labelled rows per label"), _("0: all"), common=True),
    "virtual_tokens": SettingLabel(_("Virtual tokens")),
    "calibration": SettingLabel(_("Calibration")),
    # Instructions.
    "proposals": SettingLabel(_("Tasks to propose"), common=True),
    "seed_examples": SettingLabel(_("Seed tasks per request")),
    "pool_examples": SettingLabel(_("Accepted tasks per request")),
    "similarity": SettingLabel(_("Near-duplicate from ROUGE-L"), _("0 to 1")),
    "near_duplicates": SettingLabel(_("Near-duplicates")),
    "per_task": SettingLabel(_("Training examples per task"), common=True),
    "test_per_task": SettingLabel(_("Test examples per task")),
    "held_out": SettingLabel(_("Held-out clusters"), _("separated by commas"), common=True),
    "balanced": SettingLabel(_("Good and bad responses count the same")),
    "seed_tasks": SettingLabel(_("Learn from the seed tasks")),
    "labelled": SettingLabel(_("Learn from labelled texts")),
    "packing": SettingLabel(_("Packing")),
    "shown": SettingLabel(_("Responses shown")),
    # Evaluation by people.
    "against": SettingLabel(_("Compare with"), common=True),
    "seats": SettingLabel(_("Annotators per comparison"), common=True),
}


def label_of(setting: Field[Any]) -> SettingLabel:
    """Return the label of a field of a method's dataclass: its own, the shared one, or its name in words."""
    own = setting.metadata.get("label", "")
    if own:
        return SettingLabel(own, setting.metadata.get("unit", ""), common=True)
    return LABELS.get(setting.name) or SettingLabel(setting.name.replace("_", " ").capitalize(), common=True)


def setting_label(config: type[MethodConfig], name: str) -> str:
    """Return the label of a setting by its name; of one that the method no longer has, its name."""
    return next((label_of(setting).text for setting in fields(config) if setting.name == name), name)
