"""A home under another name: what every product left there loads and says what it said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.recipes.conftest import Prepare, finish, prompt_rows
from tests.tiny_model import tiny_checkpoint
from training.methods import PromptTuningConfig
from training.prompt_tuning.cloze import Template, Verbalizer
from training.recipes.models.answers import Answers
from training.recipes.models.classifiers import Classifier, load_classifier
from training.recipes.models.reward_model import RewardModel
from training.recipes.models.shared_model import SharedModel
from training.recipes.process import checkpoints
from training.recipes.process.seeds import generator
from training.rundir import RunDir

pytestmark = pytest.mark.recipes

CPU = torch.device("cpu")
IDS = torch.tensor([[5, 9, 30, 7, 8]])
MASK = torch.ones_like(IDS, dtype=torch.bool)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    tiny_checkpoint(tmp_path / "old" / "models" / "base")
    return tmp_path / "old"


def moved(home: Path) -> Path:
    """Give the home another name; nothing is left at the old one."""
    return home.rename(home.with_name("new"))


def logits_of(folder: Path) -> torch.Tensor:
    path = checkpoints.resolve(folder)
    shared = SharedModel(path.base, CPU)
    if path.adapter is not None:
        shared.adapters.load("policy", path.adapter)
        shared.adapters.act_as("policy")
    with torch.no_grad():
        return shared.model(input_ids=IDS).logits


def shake(parameters) -> None:
    with torch.no_grad():
        for parameter in parameters:
            parameter.normal_(0, 0.2, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_a_policy(home: Path, kind: str, prepare: Prepare):
    run = RunDir(home / "runs" / "7")
    run.checkpoint_path.mkdir(parents=True)
    shared = SharedModel(str(home / "models" / "base"), CPU)
    if kind == "lora":
        shared.adapters.add("policy", rank=2, top_blocks=2)
        shake(shared.adapters.parameters("policy"))
        shared.adapters.save("policy", run.checkpoint_path)
    else:
        shake([shared.head.weight])
        shared.model.save_pretrained(run.checkpoint_path)
        shared.tokenizer.save_pretrained(run.checkpoint_path)
    before = logits_of(run.checkpoint_path)
    next_run = RunDir(home / "runs" / "8")
    settings = {"completions_per_prompt": 2, "max_new_tokens": 4}
    inputs = {"policy": str(run.checkpoint_path)}
    next_run.prepare(config={"method": "sample", "settings": settings, "inputs": inputs}, rows=prompt_rows(2))
    new = moved(home)
    assert torch.equal(logits_of(new / "runs" / "7" / "checkpoint"), before)
    assert finish(RunDir(new / "runs" / "8"))["completions"] == 4  # prepared before, run after


@pytest.mark.parametrize("pooling", ["depths", "mean"])
def test_a_reward_model(home: Path, pooling: str):
    folder = home / "runs" / "7" / "checkpoint"
    folder.mkdir(parents=True)
    answers = Answers(IDS[:, :2], MASK[:, :2], IDS[:, None, 2:], MASK[:, None, 2:])
    shared = SharedModel(str(home / "models" / "base"), CPU)
    made = RewardModel.initialise(
        shared, rank=2, top_blocks=2, generator=generator(0, "head"), heads=3, pooling=pooling
    )
    shake(made.head.parameters())
    made.save(folder, {})
    before = made.score(answers)
    new = moved(home)
    again = RewardModel.load(SharedModel(str(new / "models" / "base"), CPU), new / "runs" / "7" / "checkpoint")
    assert not again.reads_own_base  # it found its base to be the policy's, and reads that
    torch.testing.assert_close(again.score(answers), before, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "tuned", [{"tuning": "cloze"}, {"tuning": "cloze", "train": "full"}, {"tuning": "soft_prompt"}], ids=str
)
def test_a_classifier(home: Path, tuned: dict[str, str]):
    base, folder = str(home / "models" / "base"), home / "runs" / "7" / "checkpoint"
    folder.mkdir(parents=True)
    config = PromptTuningConfig(**tuned)
    verbalizer = Verbalizer({"good": ["good"], "bad": ["bad"]})
    torch.manual_seed(0)
    made = load_classifier(base, CPU, config, [Template.parse("{text} It was {mask}")], verbalizer)
    made.save(folder, base)
    blank = [made.scorer.read({"text": "A calm day."})]
    with torch.no_grad():
        before = made.scorer.scores(blank)
        again = Classifier.load(moved(home) / "runs" / "7" / "checkpoint", CPU, config)
        torch.testing.assert_close(again.scorer.scores(blank), before, atol=1e-5, rtol=0)


def test_nothing_names_the_old_place_that_is_not_found_from_the_new_one(home: Path):
    folder = home / "runs" / "7" / "checkpoint"
    shared = SharedModel(str(home / "models" / "base"), CPU)
    shared.adapters.add("policy", rank=2, top_blocks=2)
    shared.adapters.save("policy", folder)
    new = moved(home)
    named = json.loads((new / "runs" / "7" / "checkpoint" / "adapter_config.json").read_text())
    assert not Path(named["base_model_name_or_path"]).exists()
    assert checkpoints.resolve(new / "runs" / "7" / "checkpoint").base == str(new / "models" / "base")
