"""Model paths: a full checkpoint, or an adapter that names the full checkpoint below it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from training.recipes.process import precision
from training.recipes.process.errors import RecipeError
from training.rundir import where_now

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True)
class PolicyPath:
    """`base` is the reference policy ρ of every round that starts from it; `adapter` is None for ρ itself."""

    base: str
    adapter: Path | None


def resolve(path: str | Path) -> PolicyPath:
    folder = Path(path)
    if (folder / ADAPTER_CONFIG).exists():
        base = json.loads((folder / ADAPTER_CONFIG).read_text("utf-8")).get("base_model_name_or_path")
        if not base:
            raise RecipeError(f"{folder / ADAPTER_CONFIG} does not say which model it adapts")
        if not (folder / ADAPTER_WEIGHTS).exists():
            raise RecipeError(f"{folder} has an adapter configuration but no {ADAPTER_WEIGHTS}")
        return PolicyPath(where_now(str(base), folder), folder)
    if not (folder / "config.json").exists():
        raise RecipeError(f"There is no model in {folder}: config.json is missing")
    return PolicyPath(str(folder), None)


def load_base(
    path: str, device: torch.device, merged: Path | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return the frozen model in evaluation mode: dropout would put the ratio off 1 before the first step.

    `merged` is the folder of an adapter that is folded into the weights. Their number format is the run's, see
    precision.py.
    """
    if not (Path(path) / "config.json").exists():
        raise RecipeError(f"There is no model in {path}: config.json is missing")
    model = AutoModelForCausalLM.from_pretrained(path, **precision.loading(device))
    precision.hide_four_bits(model)
    if not hasattr(model, model.base_model_prefix):
        # Llama 4 has the name of its part in a larger model there, by which TRL, too, looks for the decoder.
        model.base_model_prefix = "model"
    if hasattr(model.config, "num_local_experts") and not hasattr(model.config, "num_experts"):
        # TRL's loss reads the number of experts under that name, which Llama 4 and Granite do not have.
        model.config.num_experts = model.config.num_local_experts
    if merged is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(merged)).merge_and_unload()
    model = model.to(device)
    model.eval().requires_grad_(False)
    return model, load_tokenizer(path)


def load_tokenizer(path: str) -> PreTrainedTokenizerBase:
    tokenizer = AutoTokenizer.from_pretrained(path)
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        # With pad = eos nothing downstream can tell a finished answer from a cut one.
        raise RecipeError(f"The padding token in {path} must exist and differ from EOS: prepare the model first")
    return tokenizer
