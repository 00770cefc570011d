from __future__ import annotations

import pytest

from training.recipes.process.errors import RecipeError
from training.recipes.text.shots import macro_f1, sample_shots

pytestmark = pytest.mark.recipes


def rows(train: int, test: int = 2) -> list[dict]:
    return [
        {"text": f"{split} {label} {number}", "label": label, "split": split}
        for split, count in (("train", train), ("eval", test))
        for label in ("good", "bad")
        for number in range(count)
    ]


def texts(found: list[dict]) -> set[str]:
    return {row["text"] for row in found}


def test_as_many_of_each_label_and_nothing_twice():
    shots = sample_shots(rows(10), ["good", "bad"], 3, seed=0)
    for part in (shots.train, shots.dev):
        assert sorted(row["label"] for row in part) == ["bad"] * 3 + ["good"] * 3
    assert not texts(shots.train) & texts(shots.dev)
    assert len(shots.test) == 4
    assert all(row["split"] == "train" for row in [*shots.train, *shots.dev])


def test_a_seed_always_draws_the_same_and_another_one_others():
    first, again, other = (sample_shots(rows(30), ["good", "bad"], 4, seed) for seed in (1, 1, 2))
    assert [row["text"] for row in first.train] == [row["text"] for row in again.train]
    assert texts(first.train) != texts(other.train)


def test_all_rows_are_four_fifths_and_the_rest():
    shots = sample_shots(rows(10), ["good", "bad"], 0, seed=0)
    assert (len(shots.train), len(shots.dev)) == (16, 4)


def test_what_cannot_be_sampled_is_said():
    with pytest.raises(RecipeError, match="'good' has 5 rows to learn from; 6 are needed"):
        sample_shots(rows(5), ["good", "bad"], 3, seed=0)
    with pytest.raises(RecipeError, match="no word: bad"):
        sample_shots(rows(5), ["good", "fine"], 1, seed=0)
    with pytest.raises(RecipeError, match="no labelled row to test on"):
        sample_shots(rows(5, test=0), ["good", "bad"], 1, seed=0)


def test_macro_f1_by_hand():
    # good: 2 right of 3 said and 2 meant, F1 .8; bad: 1 right of 1 said and 2 meant, F1 2/3.
    assert macro_f1(["good", "good", "bad", "bad"], ["good", "good", "good", "bad"]) == pytest.approx((0.8 + 2 / 3) / 2)
    assert macro_f1(["good", "bad"], ["bad", "good"]) == 0
