from __future__ import annotations

from pathlib import Path

import pytest

from tests.recipes.conftest import Prepare, finish, prompt_rows
from training.recipes.process.errors import RecipeError

pytestmark = pytest.mark.recipes

SETTINGS = {"max_new_tokens": 6, "batch_size": 2}


def test_both_sides_answer_every_prompt_once(prepare: Prepare, checkpoint: Path):
    run = prepare(
        "both", "evaluate", SETTINGS, {"version": str(checkpoint), "opponent": str(checkpoint)}, prompt_rows(5)
    )
    result = finish(run)
    rows = list(run.samples())
    assert [(row["side"], row["index"]) for row in rows] == [("version", 0)] * 5 + [("opponent", 1)] * 5
    answers = {(row["side"], row["prompt_id"]): row["text"] for row in rows}
    # The same model with the same settings and seed says the same on either side.
    assert all(answers["version", prompt] == answers["opponent", prompt] for prompt in range(5))
    assert result["mean_tokens"]["version"] == result["mean_tokens"]["opponent"]
    assert run.progress() == {"done": 10, "total": 10, "unit": "answers"}


def test_against_reference_answers_only_the_version_is_asked(prepare: Prepare, checkpoint: Path):
    run = prepare("one", "evaluate", SETTINGS, {"version": str(checkpoint), "opponent": None}, prompt_rows(3))
    finish(run)
    assert {row["side"] for row in run.samples()} == {"version"}


@pytest.mark.parametrize("lines", [3, 6, 8])
def test_a_killed_run_ends_up_with_the_same_answers(prepare: Prepare, checkpoint: Path, lines: int):
    inputs = {"version": str(checkpoint), "opponent": str(checkpoint)}
    whole = prepare("whole", "evaluate", SETTINGS, inputs, prompt_rows(5))
    finish(whole)
    written = whole.samples_path.read_text().splitlines(keepends=True)
    killed = prepare("killed", "evaluate", SETTINGS, inputs, prompt_rows(5))
    killed.samples_path.write_text("".join(written[:lines]) + written[lines][:20])
    finish(killed)
    assert killed.samples_path.read_text() == whole.samples_path.read_text()


def test_a_prompt_that_is_too_long_is_refused_and_counted(prepare: Prepare, checkpoint: Path):
    rows = prompt_rows(2)
    rows[1]["messages"][0]["content"] = "word " * 100
    inputs = {"version": str(checkpoint), "opponent": None}
    run = prepare("long", "evaluate", SETTINGS | {"max_prompt_tokens": 60}, inputs, rows)
    assert finish(run)["refused"] == [{"prompt_id": 1, "reason": "prompt longer than 60 tokens"}]
    with pytest.raises(RecipeError, match="Rows: 1; left out: prompt longer than 60 tokens"):
        finish(prepare("none", "evaluate", SETTINGS | {"max_prompt_tokens": 60}, inputs, rows[1:]))
