"""Prompt tuning at toy size: every way of tuning learns a word that tells the labels apart, and comes back as saved."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from tests.recipes.conftest import Prepare, finish
from tests.recipes.killing import kill_at
from training.recipes.models.classifiers import Classifier
from training.recipes.models.label_scores import all_scores
from training.recipes.process.errors import RecipeError
from training.rundir import Row, RunDir

pytestmark = pytest.mark.recipes

SETTINGS: Row = {"shots": 8, "epochs": 6, "lora_rank": 4, "virtual_tokens": 4, "max_length": 64}
INPUTS: Row = {
    "templates": ["{text} It is a {mask}", "{text} Is it good or bad? {mask}"],
    "verbalizer": {"fine": ["good"], "poor": ["bad"]},
}
RATES = {
    "cloze lora": 2e-2,
    "cloze full": 5e-3,
    "soft_prompt lora": 0.3,
    "p_tuning lora": 1e-2,
    "prefix lora": 0.1,
    "head lora": 2e-2,
    "head full": 5e-3,
}


def reviews(train: int = 20, held_out: int = 16) -> list[Row]:
    """Told apart by one word."""
    dice = random.Random(0)
    rows = []
    for number in range(train + held_out):
        label = "fine" if number % 2 else "poor"
        words = ["the", "sea", "and", "tea"]
        dice.shuffle(words)
        rows.append(
            {
                "text": " ".join([*words, "calm" if label == "fine" else "rainy"]),
                "label": label,
                "split": "train" if number < train else "eval",
            }
        )
    return rows


@pytest.fixture
def prepare_tuning(prepare: Prepare, checkpoint: Path):
    def prepare_run(name: str, rows: list[Row] | None = None, inputs: Row | None = None, **settings: object) -> RunDir:
        given = {"policy": str(checkpoint), **(INPUTS if inputs is None else inputs)}
        return prepare(name, "prompt_tuning", SETTINGS | settings, given, reviews(40) if rows is None else rows)

    return prepare_run


@pytest.mark.parametrize("way", RATES)
def test_it_learns_and_comes_back_as_saved(prepare_tuning, way: str):
    tuning, _, train = way.partition(" ")
    run: RunDir = prepare_tuning("learn", tuning=tuning, train=train, learning_rate=RATES[way], epochs=20)
    result = finish(run)
    assert result["accuracy"] >= 0.8
    assert result["ci95"][0] <= result["accuracy"] <= result["ci95"][1]
    assert (result["shots"], result["n"], result["majority"]) == (32, 16, 0.5)
    assert sum(result["said"].values()) == 16
    metrics = list(run.metrics())
    assert len(metrics) == 20 * 2
    assert set(metrics[0]) == {"step", "prompt_tuning/loss", "prompt_tuning/grad_norm", "prompt_tuning/lr"}
    assert metrics[0]["prompt_tuning/lr"] == pytest.approx(RATES[way])
    assert result["trainable_parameters"] == {"soft_prompt": 4 * 32}.get(tuning, result["trainable_parameters"])
    assert result["trainable_parameters"] > 0
    if tuning != "p_tuning":  # of which only the vectors are kept, not the network that made them
        assert result["artefact_bytes"] >= 4 * result["trainable_parameters"]

    again = Classifier.load(run.checkpoint_path, torch.device("cpu"))
    held_out = [row for row in reviews(40) if row["split"] == "eval"]
    scores = all_scores(again.scorer, [again.scorer.read(row) for row in held_out], 8)
    uneven = [again.scorer.read({"text": row["text"][number:]}) for number, row in enumerate(held_out)]
    alone, together = (all_scores(again.scorer, uneven, size) for size in (1, 16))
    assert torch.allclose(alone, together, atol=1e-4)  # padding beside longer rows changes nothing
    right = [again.scorer.labels[place] == row["label"] for place, row in zip(scores.argmax(-1), held_out, strict=True)]
    assert sum(right) / len(right) == pytest.approx(result["accuracy"], abs=1e-4)


def test_zero_shot_shows_every_template_and_their_spread(prepare_tuning):
    result = finish(prepare_tuning("zero", tuning="zero_shot", calibration="prior"))
    assert [row["template"] for row in result["tested"]] == INPUTS["templates"]
    own = [row["prior"] for row in result["tested"]]
    assert result["spread"]["least"] == min(own)
    assert result["spread"]["most"] == max(own)
    assert all({"none", "contextual", "prior", "said", "cut"} <= set(row) for row in result["tested"])
    assert (result["shots"], result["trainable_parameters"]) == (0, 0)


def test_in_context_shows_solved_rows_of_each_label_in_turn_and_trains_nothing(prepare_tuning):
    run: RunDir = prepare_tuning("shown", tuning="in_context", shots=2, max_length=128)
    result = finish(run)
    assert result["trainable_parameters"] == 0
    examples = Classifier.load(run.checkpoint_path, torch.device("cpu")).examples
    assert result["examples"] == examples.count("\n\n") > 0
    solved = examples.strip().split("\n\n")
    assert [line.rsplit(" ", 1)[1] for line in solved] == ["good", "bad", "good", "bad"][: len(solved)]
    assert all(("calm" in line) == line.endswith("good") for line in solved)


def test_rows_without_a_label_get_a_margin_and_teach_nothing(prepare_tuning):
    pool = [
        {"prompt_id": number, "text": text, "label": None, "split": "pool"}
        for number, text in enumerate(["the sea is calm", "the tea is rainy"])
    ]
    run: RunDir = prepare_tuning("pool", [*reviews(40), *pool], learning_rate=2e-2)
    result = finish(run)
    assert (result["shots"], result["n"]) == (32, 16)
    logged = list(run.samples())
    assert [row["prompt_id"] for row in logged] == [0, 1]
    assert all(0 <= row["margin"] <= 1 for row in logged)


def test_the_template_is_chosen_without_the_rows_that_are_tested_on(prepare_tuning):
    run: RunDir = prepare_tuning("choose", learning_rate=2e-2)
    rows = reviews(40)
    for row in rows:
        if row["split"] == "eval":
            row["label"] = "fine"  # whatever the test rows say, the choice stays
    other: RunDir = prepare_tuning("choose-again", rows, learning_rate=2e-2)
    first, second = finish(run), finish(other)
    assert first["templates"] == second["templates"]
    assert first["template"] == second["template"]
    assert second["majority"] == 1.0


def test_a_run_killed_in_the_middle_ends_up_with_the_same_classifier(prepare_tuning):
    whole: RunDir = prepare_tuning("whole", epochs=30, learning_rate=2e-2)
    finish(whole)
    killed: RunDir = prepare_tuning("killed", epochs=30, learning_rate=2e-2)
    kill_at(killed, 5)
    finish(killed)
    weights = "checkpoint/adapter/adapter_model.safetensors"
    assert (killed.path / weights).read_bytes() == (whole.path / weights).read_bytes()
    assert list(killed.metrics()) == list(whole.metrics())


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"templates": []}, "no inputs.templates"),
        ({"templates": ["{text}"]}, "{mask} once"),
        ({"verbalizer": {"fine": ["good"]}}, "two labels"),
        ({"verbalizer": {"fine": ["good"], "other": ["bad"]}}, "no word: poor"),
        ({"templates": ["{text_a} {text_b} {mask}"]}, "no 'text_a'"),
    ],
)
def test_what_is_missing_is_said(prepare_tuning, inputs, says):
    with pytest.raises(RecipeError, match=says):
        finish(prepare_tuning("wrong", inputs=INPUTS | inputs))
