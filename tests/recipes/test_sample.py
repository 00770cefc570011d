from __future__ import annotations

from pathlib import Path

import pytest

from tests.recipes.conftest import Prepare, finish, prompt_rows
from training.recipes.process.errors import RecipeError
from training.rundir import RunDir

pytestmark = pytest.mark.recipes

SETTINGS = {"completions_per_prompt": 3, "max_new_tokens": 6, "batch_size": 6}


def test_rows_progress_and_figures(prepare: Prepare, checkpoint: Path):
    run = prepare("sample", "sample", SETTINGS, {"policy": str(checkpoint)}, prompt_rows(5))
    result = finish(run)
    rows = list(run.samples())
    assert sorted((row["prompt_id"], row["index"]) for row in rows) == [(p, i) for p in range(5) for i in range(3)]
    assert [row["index"] for row in rows] == [0, 1, 2] * 5
    assert all(row["logprob"] < 0 and 1 <= row["tokens"] <= 6 for row in rows)
    assert all(row["finished"] or row["tokens"] == 6 for row in rows)
    assert [row["step"] for row in rows] == [1] * 6 + [2] * 6 + [3] * 3
    assert run.progress() == {"done": 5, "total": 5, "unit": "prompts"}
    assert result["completions"] == 15
    assert result["refused"] == []
    assert result["mean_tokens"] == pytest.approx(sum(row["tokens"] for row in rows) / 15, abs=0.01)


def test_a_killed_run_ends_up_with_the_same_answers(prepare: Prepare, checkpoint: Path):
    whole = prepare("whole", "sample", SETTINGS, {"policy": str(checkpoint)}, prompt_rows(5))
    finish(whole)
    lines = whole.samples_path.read_text().splitlines(keepends=True)
    # Killed in the middle of a line of the second batch.
    killed = prepare("killed", "sample", SETTINGS, {"policy": str(checkpoint)}, prompt_rows(5))
    killed.samples_path.write_text("".join(lines[:8]) + lines[8][:20])
    finish(killed)
    assert killed.samples_path.read_text() == whole.samples_path.read_text()


def test_a_prompt_that_is_too_long_is_refused_and_counted(prepare: Prepare, checkpoint: Path):
    rows = prompt_rows(2)
    rows[1]["messages"][0]["content"] = "word " * 100
    run = prepare("long", "sample", SETTINGS | {"max_prompt_tokens": 60}, {"policy": str(checkpoint)}, rows)
    result = finish(run)
    assert result["refused"] == [{"prompt_id": 1, "reason": "prompt longer than 60 tokens"}]
    assert {row["prompt_id"] for row in run.samples()} == {0}


def test_as_many_prompts_as_wanted(prepare: Prepare, checkpoint: Path):
    run = prepare("few", "sample", SETTINGS | {"prompts": 2}, {"policy": str(checkpoint)}, prompt_rows(9))
    assert finish(run)["completions"] == 6


def test_a_policy_that_is_not_there(prepare: Prepare, tmp_path: Path):
    run: RunDir = prepare("none", "sample", SETTINGS, {"policy": str(tmp_path / "nothing")}, prompt_rows(1))
    with pytest.raises(RecipeError, match="no model in"):
        finish(run)
    assert run.result() is None


def test_short_prompts_come_first(prepare: Prepare, checkpoint: Path):
    rows = prompt_rows(4)
    for row, words in zip(rows, (9, 1, 5, 1), strict=True):
        row["messages"][0]["content"] = "word " * words
    run = prepare("sorted", "sample", SETTINGS, {"policy": str(checkpoint)}, rows)
    finish(run)
    # Equally long ones stay in their order, and two prompts make a batch.
    assert [(row["step"], row["prompt_id"]) for row in run.samples()][::3] == [(1, 1), (1, 3), (2, 2), (2, 0)]


def test_a_batch_of_other_prompts_is_not_a_finished_one(prepare: Prepare, checkpoint: Path):
    """As an attempt leaves it that batched them in another way."""
    whole = prepare("whole", "sample", SETTINGS, {"policy": str(checkpoint)}, prompt_rows(3))
    finish(whole)
    other = prepare("other", "sample", SETTINGS, {"policy": str(checkpoint)}, prompt_rows(3))
    for index in range(6):
        other.log_sample({"step": 1, "prompt_id": 9, "index": index})
    finish(other)
    assert other.samples_path.read_text() == whole.samples_path.read_text()
