"""Prompts chosen by disagreement, and answers of other versions among the policy's."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import pytest
import torch

from tests.recipes.conftest import SEVERAL_HEADS, Prepare, finish, prompt_rows, trained_reward
from tests.tiny_model import tiny_checkpoint
from training.methods import InvalidConfig, SampleConfig
from training.recipes.models import choosing
from training.recipes.process.errors import RecipeError

pytestmark = pytest.mark.recipes

SETTINGS = {"completions_per_prompt": 4, "max_new_tokens": 6, "batch_size": 8}
BY_DISAGREEMENT = {"choose_by": "disagreement", "prompts": 4, "pool": 10, "control_share": 0.25}


@pytest.fixture(scope="module")
def reward_model(checkpoint: Path) -> Path:
    return trained_reward(checkpoint, SEVERAL_HEADS, rankings=20, candidates=3)


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> dict[str, str]:
    """Two further models, which answer in other words."""
    folder = tmp_path_factory.mktemp("others")
    return {name: str(tiny_checkpoint(folder / name, seed=seed)) for seed, name in enumerate(("base", "older"), 1)}


def test_how_far_heads_are_apart_is_a_matter_of_pairs():
    # Two heads that are sure of opposite things: P = 1 and P = 0, standard deviation ½.
    assert choosing.disagreement(torch.tensor([[50.0, -50.0], [-50.0, 50.0]])) == pytest.approx(0.5)
    # One adds 100 to every answer: about which one is better they say the same.
    assert choosing.disagreement(torch.tensor([[1.0, 101.0], [0.0, 100.0]])) == pytest.approx(0.0, abs=1e-5)
    # σ(ln 3) = ¾ against ½: they are ⅛ from their mean. The two pairs with the third answer are as good as certain.
    three = torch.tensor([[math.log(3), 0.0], [0.0, 0.0], [-80.0, -80.0]])
    assert choosing.disagreement(three) == pytest.approx(0.125 / 3, abs=1e-6)


def test_the_control_is_drawn_from_all_and_the_rest_are_the_most_doubtful():
    found = {number: number / 100 for number in range(100)}
    chosen = choosing.choose(found, 20, 0.25, seed=3)
    assert Counter(chosen.values()) == {"control": 5, "disagreement": 15}
    doubtful = [number for number, why in chosen.items() if why == "disagreement"]
    control = [number for number, why in chosen.items() if why == "control"]
    assert min(doubtful) >= 100 - 15 - 5
    assert min(control) < 80  # five of a hundred, by chance: not the last twenty
    assert choosing.choose(found, 20, 0.25, seed=3) == chosen
    assert len(choosing.choose(found, 1000, 0.0, seed=0)) == 100


def test_it_keeps_the_prompts_on_which_the_heads_disagree(prepare: Prepare, checkpoint: Path, reward_model: Path):
    inputs = {"policy": str(checkpoint), "reward_model": str(reward_model)}
    run = prepare("chosen", "sample", SETTINGS | BY_DISAGREEMENT, inputs, prompt_rows(10))
    result = finish(run)
    assert (result["pool"], result["completions"], len(result["chosen"])) == (10, 16, 4)
    assert Counter(row["by"] for row in result["chosen"]) == {"disagreement": 3, "control": 1}
    assert result["in_words"][0].startswith("4 of 10 prompts go to people: 3 (0.")
    assert len(list(run.samples())) == 40  # what was not chosen is kept in the run, and shown to nobody
    everyone = SETTINGS | BY_DISAGREEMENT | {"prompts": 10}
    ranked = {
        row["prompt_id"]: row["disagreement"]
        for row in finish(prepare("all", "sample", everyone, inputs, prompt_rows(10)))["chosen"]
    }
    doubtful = {row["prompt_id"] for row in result["chosen"] if row["by"] == "disagreement"}
    (control,) = (row["prompt_id"] for row in result["chosen"] if row["by"] == "control")
    rest = {prompt: doubt for prompt, doubt in ranked.items() if prompt not in doubtful | {control}}
    assert min(ranked[prompt] for prompt in doubtful) >= max(rest.values())
    assert len(set(ranked.values())) > 5


def test_a_model_with_one_head_cannot_disagree(prepare: Prepare, checkpoint: Path, reward_model: Path, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    alone = tmp_path / "alone"
    alone.mkdir()
    for file in reward_model.iterdir():
        (alone / file.name).write_bytes(file.read_bytes())
    meta = json.loads((alone / "reward.json").read_text())
    (alone / "reward.json").write_text(json.dumps(meta | {"heads": 1}))
    weights = load_file(alone / "head.safetensors")
    save_file(
        {
            name: value[:1].clone() if name in ("weight", "bias") else value
            for name, value in weights.items()
            if not name.startswith("judge_")
        },
        alone / "head.safetensors",
    )
    inputs = {"policy": str(checkpoint), "reward_model": str(alone)}
    with pytest.raises(RecipeError, match="single head"):
        finish(prepare("one", "sample", SETTINGS | BY_DISAGREEMENT, inputs, prompt_rows(10)))


def test_every_author_has_its_share(prepare: Prepare, checkpoint: Path, others):
    mixed = SETTINGS | {"base_share": 0.25, "older_share": 0.125}
    run = prepare("mixed", "sample", mixed, {"policy": str(checkpoint), **others}, prompt_rows(40))
    result = finish(run)
    rows = list(run.samples())
    authors = Counter(row["author"] for row in rows)
    assert (len(rows), authors["base"]) == (160, 40)  # a quarter of four answers is one
    assert 10 <= authors["older"] <= 30  # an eighth is none or one, half of the time each
    assert result["authors"] == authors
    assert result["in_words"] == [
        f"Answers: {authors['policy']} of the policy, 40 of version 0, {authors['older']} of an older version."
    ]
    by_prompt: dict[int, list] = {}
    for row in rows:
        by_prompt.setdefault(row["prompt_id"], []).append((row["index"], row["author"]))
    assert all(sorted(index for index, _ in given) == [0, 1, 2, 3] for given in by_prompt.values())
    alone = prepare("alone", "sample", mixed, {"policy": others["base"]}, prompt_rows(40))
    finish(alone)
    assert {row["author"] for row in alone.samples()} == {"policy"}  # nobody else is there
    of_base = {row["text"] for row in rows if row["author"] == "base"}
    of_policy = {row["text"] for row in rows if row["author"] == "policy"}
    assert len(of_base & {row["text"] for row in alone.samples()}) >= len(of_base & of_policy)


@pytest.mark.parametrize("lines", [3, 30, 41, 46])
def test_a_killed_run_ends_up_with_the_same_choice_and_answers(
    prepare: Prepare, checkpoint: Path, reward_model: Path, others, lines: int
):
    settings = SETTINGS | BY_DISAGREEMENT | {"base_share": 0.25, "older_share": 0.25}
    inputs = {"policy": str(checkpoint), "base": str(checkpoint), "older": others["older"]}
    inputs["reward_model"] = str(reward_model)
    whole = prepare("whole", "sample", settings, inputs, prompt_rows(20))
    result = finish(whole)
    written = whole.samples_path.read_text().splitlines(keepends=True)
    killed = prepare("killed", "sample", settings, inputs, prompt_rows(20))
    killed.samples_path.write_text("".join(written[:lines]) + (written[lines][:20] if lines < len(written) else ""))
    again = finish(killed)
    assert killed.samples_path.read_text() == whole.samples_path.read_text()
    assert again["chosen"] == result["chosen"]
    assert again["authors"] == result["authors"]


@pytest.mark.parametrize(
    ("chosen", "field"),
    [
        ({"base_share": 0.7, "older_share": 0.4}, "older_share"),
        ({"base_share": 0.5, "server": "http://localhost:8000/v1"}, "server"),
        ({"choose_by": "disagreement"}, "prompts"),
        ({"choose_by": "disagreement", "prompts": 10, "pool": 9}, "pool"),
        (
            {"choose_by": "disagreement", "prompts": 10, "completions_per_prompt": 3, "base_share": 0.5},
            "completions_per_prompt",
        ),
        ({"choose_by": "disagreement", "prompts": 10, "server": "http://localhost:8000/v1"}, "server"),
        ({"choose_by": "mood"}, "choose_by"),
    ],
)
def test_what_makes_no_sense_is_refused_by_field(chosen, field):
    with pytest.raises(InvalidConfig) as refused:
        SampleConfig(**chosen)
    assert list(refused.value.errors) == [field]
