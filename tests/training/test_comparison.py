"""The table of methods: means, intervals and words from runs that finished. Numbers worked by hand."""

from __future__ import annotations

import pytest

from training.prompt_tuning.approach_rows import approach_row, interval, recommendation
from training.reports import figure


def result(accuracy: float, **more) -> dict[str, object]:
    return {
        "accuracy": accuracy,
        "macro_f1": accuracy,
        "n": 100,
        "shots": 64,
        "cpu_seconds": 30.0,
        "peak_rss_mb": 900.0,
        "trainable_parameters": 1000,
        "artefact_bytes": 5_000_000,
        "template": "{text} It was {mask}",
        "seconds_by_stage": {"templates": 2.0, "train": 8.0, "test": 5.0},
        **more,
    }


def test_the_interval_of_one_seed_is_that_of_the_tested_texts():
    # p = .8, n = 100: 1.96 · √(.8 · .2 / 100) = .0784
    assert interval([0.8], 100) == pytest.approx((0.7216, 0.8784), abs=5e-5)


def test_the_interval_of_several_seeds_takes_in_both_kinds_of_luck():
    # s = .1, t(2) = 4.303: t²s²/k = 18.516 · .01 / 3 = .06172; 1.96² · .16 / 100 = .006147; √.067867 = .2605
    assert interval([0.7, 0.8, 0.9], 100) == pytest.approx((0.5395, 1.0), abs=1e-4)


def test_a_row_is_the_mean_over_seeds():
    row = approach_row("cloze_lora", [result(0.9), result(0.8, cpu_seconds=50.0)])
    assert row.mean == pytest.approx(0.85)
    assert row.sd == pytest.approx(0.070711, abs=1e-6)
    assert row.cpu_seconds == 40.0
    assert row.train_seconds == 10.0
    assert row.ms_per_text == 50.0
    assert row.watt_hours == pytest.approx(1 / 6)  # 40 s · 15 W / 3600
    assert (row.seeds, row.labels, row.templates) == (2, 64, ("{text} It was {mask}",))


def test_the_recommendation_says_what_is_best_and_what_is_cheaper():
    rows = [
        approach_row("cloze_full", [result(0.9, n=1000, artefact_bytes=500_000_000, cpu_seconds=200.0)]),
        approach_row("cloze_lora", [result(0.89, n=1000)]),
        approach_row("zero_shot", [result(0.5, n=1000, shots=0)]),
    ]
    said = " ".join(recommendation(rows))
    assert "Cloze, all weights is the most accurate: 90.0% [88.1%, 91.9%] on 1,000 texts." in said
    assert "overlaps with Cloze, LoRA" in said
    assert "Cloze, LoRA costs least: 64 labelled texts and 30 processor seconds" in said
    assert "Without labels Zero-shot reaches 50.0%; 64 labels bring +40.0%." in said
    assert "takes 5.0 MB instead of 500.0" in said


def test_nothing_measured_recommends_nothing():
    assert recommendation([]) == []


def test_the_figure_names_every_method_once_and_no_label_covers_another():
    rows = [approach_row("cloze_lora", [result(0.9)]), approach_row("head_lora", [result(0.895)])]
    drawn = figure.svg(rows, majority=0.5)
    assert drawn.count("Cloze, LoRA 90%") == 1
    assert drawn.count("New head, LoRA 90%") == 1
    heights = sorted(figure._spread([100.0, 101.0]))
    assert heights[1] - heights[0] >= 15
