"""A snapshot, as it is downloaded, trains in TRL's own RewardTrainer."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotation.actions.snapshots import take_snapshot
from tests.tiny_model import tiny_checkpoint

pytestmark = [pytest.mark.django_db, pytest.mark.recipes]


def test_reward_trainer_takes_a_snapshot(project, ranked_task, tmp_path: Path):
    from datasets import load_dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from trl import RewardConfig, RewardTrainer

    for number in range(3):
        ranked_task([f"Fine {number}.", f"Poor {number}.", f"Worse {number}."])
    snapshot = take_snapshot(project=project, by=None)
    checkpoint = tmp_path / "tiny"
    tiny_checkpoint(checkpoint)
    rows = load_dataset("json", data_files=str(snapshot.path), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(rows) == snapshot.rows == 12
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, num_labels=1)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    trainer = RewardTrainer(
        model=model,
        processing_class=AutoTokenizer.from_pretrained(checkpoint),
        train_dataset=rows,
        args=RewardConfig(
            output_dir=str(tmp_path / "out"), use_cpu=True, bf16=False, gradient_checkpointing=False, report_to=[],
            per_device_train_batch_size=4, num_train_epochs=1, save_strategy="no",
        ),
    )  # fmt: skip
    trainer.train()
    assert trainer.state.global_step == 3
    assert any(not weight.equal(before[name]) for name, weight in trainer.model.named_parameters())
