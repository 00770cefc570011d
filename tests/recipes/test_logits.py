"""Logits of a large vocabulary are never whole: by the largest tensor of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.recipes.conftest import Prepare, finish, preference_rows
from tests.tiny_model import tiny_tokenizer

pytestmark = pytest.mark.recipes

VOCABULARY = 60_000
PORTION = 256 * VOCABULARY * 4  # bytes of the logits of the positions that are taken at once


class Largest(TorchDispatchMode):
    """Remembers the size of the largest tensor that an operation made, by its storage."""

    size = 0

    def __torch_dispatch__(self, operation, types, inputs=(), options=None):
        made = operation(*inputs, **(options or {}))
        for each in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(each, torch.Tensor) and not isinstance(each, torch.nn.Parameter):
                self.size = max(self.size, each.untyped_storage().nbytes())
        return made


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """A tiny model with a large vocabulary; ids above the tokenizer's stand for nothing."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        vocab_size=VOCABULARY,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_a_step_never_holds_the_logits_of_all_its_tokens(prepare: Prepare, wide: Path, method: str):
    rows = preference_rows(16)[::3]
    if method == "sft":
        rows = [{**row, "completion": row["chosen"]} for row in rows]
    settings = {"epochs": 1, "batch_size": 16, "max_new_tokens": 2, "eval_completions": 1, "learning_rate": 0.01}
    run = prepare("wide", method, settings, {"policy": str(wide)}, rows)
    with Largest() as largest:
        finish(run)
    whole = sum(1 for _ in run.rows()) * 40 * VOCABULARY * 4  # a prompt alone has more than 40 tokens
    assert largest.size <= PORTION < whole / 2
