"""Adapters that grow from round to round compute what they did, and learn with what they got."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.recipes.conftest import Prepare, finish, preference_rows
from training.recipes.models.shared_model import SharedModel
from training.rundir import Row

pytestmark = pytest.mark.recipes

DPO: Row = {"epochs": 1, "batch_size": 8, "max_new_tokens": 4, "eval_completions": 1, "learning_rate": 1e-2}


def config_of(folder: Path) -> Row:
    return json.loads((folder / "adapter_config.json").read_text())


@pytest.fixture
def small(checkpoint: Path, tmp_path: Path) -> Path:
    """An adapter of rank 2 in the last block, that changes what the model says."""
    shared = SharedModel(str(checkpoint), torch.device("cpu"))
    shared.adapters.add("policy", rank=2, top_blocks=1)
    with torch.no_grad():
        for parameter in shared.adapters.parameters("policy"):
            parameter.normal_(0, 0.2, generator=torch.Generator().manual_seed(1))
    shared.adapters.save("policy", tmp_path / "small")
    return tmp_path / "small"


@pytest.mark.parametrize(("rank", "top_blocks"), [(5, 1), (2, 3), (6, 4), (1, 1), (0, 0)])
def test_a_grown_adapter_computes_what_it_did(
    checkpoint: Path, small: Path, tmp_path: Path, rank: int, top_blocks: int
):
    said = []
    for grow in ({}, {"rank": rank, "top_blocks": top_blocks}):
        shared = SharedModel(str(checkpoint), torch.device("cpu"))
        shared.adapters.load("policy", small, **grow)
        shared.adapters.act_as("policy")
        said.append(shared.model(input_ids=torch.tensor([[5, 9, 30, 7, 8]])).logits)
    assert (said[0] - said[1]).abs().max() < 1e-5
    shared.adapters.save("policy", tmp_path / "grown")
    grown = config_of(tmp_path / "grown")
    assert grown["r"] == max(2, rank)
    assert grown["lora_alpha"] / grown["r"] == 2
    assert grown["layers_to_transform"] == list(range(4 - max(1, top_blocks), 4))


def test_a_round_goes_on_from_a_smaller_adapter(prepare: Prepare, checkpoint: Path, small: Path):
    run = prepare("grown", "dpo", DPO | {"lora_rank": 4, "top_blocks": 2}, {"policy": str(small)}, preference_rows(8))
    result = finish(run)
    assert result["remarks"][0] == (
        "The adapter grew from rank 2 in 1 blocks to rank 4 in 2 blocks, and began as what it was"
    )
    made = config_of(run.checkpoint_path)
    assert (made["r"], made["layers_to_transform"]) == (4, [2, 3])
    assert result["kl_round_start"] != 0


def test_an_adapter_made_otherwise_is_taken_as_it_is(checkpoint: Path, small: Path):
    config = config_of(small) | {"use_rslora": True}
    (small / "adapter_config.json").write_text(json.dumps(config))
    shared = SharedModel(str(checkpoint), torch.device("cpu"))
    shared.adapters.load("policy", small, rank=8, top_blocks=4)
    assert {
        tuple(each.shape) for name, each in shared.adapters.weights("policy").items() if "q_proj.lora_A" in name
    } == {(2, 32)}
