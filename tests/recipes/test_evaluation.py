from __future__ import annotations

import math

import pytest

from training.recipes.evaluation import Evaluator, best_of_n, mean_of
from training.recipes.models.generation import Drawing
from training.recipes.text.prompts import PromptTokens

pytestmark = pytest.mark.recipes


def answers(*scores: float | None, prompt: int = 1, kl: float = 0.0) -> list[dict]:
    return [{"prompt_id": prompt, "score": score, "kl": kl} for score in scores]


def test_best_of_n_is_the_mean_over_all_choices_of_n_answers():
    # Of 1, 2, 4 and 9 the pairs are won by 2, 4, 9, 4, 9, 9: 37 / 6. One answer: 16 / 4. All four: 9.
    table = best_of_n(answers(4.0, 1.0, 9.0, 2.0))
    assert [row["n"] for row in table] == [1, 2, 4]
    assert [row["score"] for row in table] == pytest.approx([4.0, 37 / 6, 9.0], abs=1e-4)


def test_best_of_n_has_a_kl_of_its_own_on_top_of_the_policys():
    table = best_of_n([*answers(0.0, 1.0, kl=0.5), *answers(3.0, 3.0, prompt=2, kl=0.5)])
    assert table[0] == {"n": 1, "score": 1.75, "kl": 0.5}
    assert table[1]["score"] == 2.0
    assert table[1]["kl"] == pytest.approx(0.5 + math.log(2) - 0.5, abs=1e-4)


def test_without_a_reward_model_there_are_texts_and_kl_but_no_scores(shared):
    prompts = [PromptTokens(7, [5, 6, 7], "eval")]
    rows = Evaluator(prompts, None, shared, Drawing(2, 4, 1.0), seed=0, batch_size=8).rows(shared, None)
    assert [row["prompt_id"] for row in rows] == [7, 7]
    assert all(row["score"] is None and isinstance(row["text"], str) for row in rows)
    assert [row["kl"] for row in rows] == pytest.approx([0.0, 0.0], abs=1e-4)
    assert mean_of(rows, "score") is None
    assert best_of_n(rows) == []
