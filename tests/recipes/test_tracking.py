from __future__ import annotations

from pathlib import Path

import pytest

from tests.recipes.conftest import Prepare, finish, preference_rows, prompt_rows
from training.recipes.process.errors import RecipeError

pytestmark = pytest.mark.recipes
REWARD = {
    "pooling": "mean",
    "learning_curve": 0,
    "epochs": 1,
    "lora_rank": 2,
    "top_blocks": 1,
    "reference_samples": 8,
    "max_new_tokens": 6,
}


def test_tensorboard_has_what_the_file_of_metrics_has(prepare: Prepare, checkpoint: Path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("PREFLOOP_REPORT_TO", "tensorboard")
    run = prepare("reward", "reward", REWARD, {"base_model": str(checkpoint)}, preference_rows(12, held_out=4))
    finish(run)
    events = EventAccumulator(str(run.path / "tensorboard")).Reload()
    rows = list(run.metrics())
    assert len(rows) == 2
    names = set(rows[0]) | set(rows[1])
    assert set(events.Tags()["scalars"]) == names - {"step"}
    losses = {event.step: event.value for event in events.Scalars("reward/loss")}
    assert losses == {row["step"]: pytest.approx(row["reward/loss"], abs=1e-6) for row in rows}


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("tensorbord", "PREFLOOP_REPORT_TO names tensorbord; there are tensorboard, trackio, wandb"),
        ("tensorboard, trackio", "trackio, which is not installed: pip install trackio"),
    ],
)
def test_what_cannot_be_reported_to_is_said_before_anything_is_trained(
    prepare: Prepare, checkpoint: Path, monkeypatch, named, said
):
    monkeypatch.setenv("PREFLOOP_REPORT_TO", named)
    run = prepare("sample", "sample", {}, {"policy": str(checkpoint)}, prompt_rows(1))
    with pytest.raises(RecipeError, match=said):
        finish(run)
    assert not run.samples_path.exists()
