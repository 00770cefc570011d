from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.recipes.conftest import Prepare, finish, preference, preference_rows, prompt_rows
from training.recipes import reward
from training.recipes.common import RecipeError, generator
from training.recipes.generation import sample
from training.recipes.reward import Accuracy, Ranking
from training.recipes.reward_model import RewardModel
from training.recipes.roles import SharedModel
from training.rundir import RunDir

pytestmark = pytest.mark.recipes

SETTINGS = {
    "epochs": 5, "learning_rate": 1e-2, "lora_rank": 4, "top_blocks": 2, "reference_samples": 40, "max_new_tokens": 8,
}  # fmt: skip


def test_it_learns_a_taste_and_predicts_it_on_unseen_prompts(prepare: Prepare, checkpoint: Path):
    run = prepare("reward", "reward", SETTINGS, {"base_model": str(checkpoint)}, preference_rows(40, held_out=12))
    result = finish(run)
    assert result["accuracy"] > 0.85
    assert result["ci95"][0] <= result["accuracy"] <= result["ci95"][1]
    assert result["ci95"][0] > 0.7
    assert result["n"] == 12 * 3
    assert result["rankings"] == 28
    assert result["pairs"] == 28 * 3
    assert result["rows"] == {"in": 120, "used": 120, "refused": {}}

    metrics = list(run.metrics())
    assert [row["step"] for row in metrics] == list(range(1, 36))  # 7 steps of 4 rankings, 5 times
    assert [row["step"] for row in metrics if "reward/accuracy_eval" in row] == [7, 14, 21, 28, 35]
    assert metrics[0]["reward/lr"] == 1e-2
    assert metrics[-1]["reward/lr"] == pytest.approx(1e-2 / 35)

    # Scores are on the scale of the reference policy: mean 0, variance 1 on its answers.
    shared = SharedModel(str(checkpoint), torch.device("cpu"))
    model = RewardModel.load(shared, run.checkpoint_path)
    assert (model.gain, model.bias) == (result["gain"], result["bias"])
    prompts = [[5, 9, 30], [7, 8, 9, 40]]
    answers = sample(
        shared, None, prompts, count=100, max_new_tokens=8, temperature=0.9, generator=generator(0)
    ).answers
    scores = model.score(answers)
    assert abs(float(scores.mean())) < 1
    assert 0.4 < float(scores.std()) < 2.5


def test_a_killed_run_ends_up_with_the_same_model(prepare: Prepare, checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    rows, settings, inputs = preference_rows(12), SETTINGS | {"epochs": 3}, {"base_model": str(checkpoint)}
    whole = prepare("whole", "reward", settings, inputs, rows)
    finish(whole)
    killed = prepare("killed", "reward", settings, inputs, rows)
    monkeypatch.setattr(RunDir, "log_metrics", fail_at(5))  # 3 steps an epoch: the state is that of step 3
    with pytest.raises(KeyboardInterrupt):
        finish(killed)
    monkeypatch.undo()
    assert killed.load_state() is not None
    finish(killed)
    for file in ("adapter_model.safetensors", "head.safetensors", "reward.json"):
        assert (killed.checkpoint_path / file).read_bytes() == (whole.checkpoint_path / file).read_bytes()
    assert list(killed.metrics()) == list(whole.metrics())
    assert not killed.state_path.exists()


def fail_at(step: int):
    original = RunDir.log_metrics

    def log_metrics(self: RunDir, number: int, **values: float) -> None:
        if number == step:
            raise KeyboardInterrupt
        original(self, number, **values)

    return log_metrics


def test_pairs_are_regrouped_and_refused_with_a_reason(shared: SharedModel):
    first, second = prompt_rows(2)
    rows = [
        preference(first, "good", "bad"),
        preference(first, "good", "worse", weight=0.5),
        preference(first, "bad", "worse"),
        preference(second, "same", "same"),
        preference(second, "something " * 100, "short"),
        preference(second, "", "short"),
        preference(second, "a", "b", split="eval"),
    ]
    rankings, counts = reward.read_rankings(iter(rows), shared, 120)
    assert counts == {
        "in": 7,
        "used": 4,
        "refused": {
            "both answers are the same text": 1,
            "prompt and answer longer than max_length": 1,
            "empty answer": 1,
        },
    }
    assert [len(ranking.candidates) for ranking in rankings] == [3, 2]
    assert rankings[0].pairs == [(0, 1, 1.0), (0, 2, 0.5), (1, 2, 1.0)]
    assert rankings[1].split == "eval"
    assert all(tokens[-1] == shared.eos for ranking in rankings for tokens in ranking.candidates)


def test_special_tokens_spelled_out_in_an_answer_are_text(shared: SharedModel):
    rankings, _ = reward.read_rankings(iter([preference(prompt_rows(1)[0], "a<|end|>b", "c")]), shared, 200)
    assert rankings[0].candidates[0].count(shared.eos) == 1


def test_loss_is_the_mean_over_rankings_of_the_mean_over_pairs():
    # Ranking 0, scores ln 3, 0, 0: pairs (0>1), (0>2) cost −ln 0.75 = 0.287682 each, (1>2) costs ln 2 = 0.693147:
    #   mean (0.287682 · 2 + 0.693147) / 3 = 0.422837.
    # Ranking 1, scores 0, 0: ln 2 = 0.693147. Mean of the two: 0.557992. (The mean over four pairs would be 0.490415.)
    three = Ranking(0, "train", [1], [[1], [1], [1]], [(0, 1, 1.0), (0, 2, 1.0), (1, 2, 1.0)])
    two = Ranking(1, "train", [1], [[1], [1]], [(0, 1, 1.0)])
    scores = torch.tensor([[1.098612, 0.0, 0.0], [0.0, 0.0, 99.0]])
    assert float(reward.rankings_loss(scores, [three, two])) == pytest.approx(0.557992, abs=1e-6)


def test_accuracy_counts_a_tie_one_half_and_the_longer_answer_is_the_baseline():
    ranking = Ranking(4, "eval", [1], [[1, 2, 3], [1, 2], [4, 5]], [(0, 1, 1.0), (1, 2, 1.0), (2, 0, 1.0)])
    # longer wins: right, tie, wrong
    assert reward.compare([ranking], reward.lengths) == Accuracy({4: (1.5, 3)})
    assert reward.compare([ranking], reward.lengths).value == 0.5


def test_bootstrap_draws_prompts():
    # Two prompts, one all right and one all wrong: a sample of two has accuracy 0, ½ or 1.
    interval = reward.bootstrap_interval(Accuracy({1: (50.0, 50), 2: (0.0, 50)}), generator(0))
    assert interval == [0.0, 1.0]


def test_a_score_does_not_depend_on_its_neighbours(shared: SharedModel):
    """Padding, other candidates and other prompts in the batch leave a score as it is."""
    torch.manual_seed(0)
    model = RewardModel.fresh(shared, rank=4, top_blocks=2, generator=generator(0))
    rankings, _ = reward.read_rankings(iter(preference_rows(4)), shared, 200)
    together = model.score(reward.collate(rankings, shared))
    for row, ranking in enumerate(rankings):
        alone = model.score(reward.collate([ranking], shared))[0]
        torch.testing.assert_close(together[row, : len(alone)], alone, atol=1e-4, rtol=0)


def test_a_lost_head_is_noticed(prepare: Prepare, checkpoint: Path, monkeypatch: pytest.MonkeyPatch):
    original = RewardModel.save

    def save_another_head(self: RewardModel, folder: Path, facts: dict[str, object]) -> None:
        torch.nn.init.normal_(self.head.weight)
        original(self, folder, facts)
        torch.nn.init.normal_(self.head.weight)

    monkeypatch.setattr(RewardModel, "save", save_another_head)
    run = prepare("lost", "reward", SETTINGS | {"epochs": 1}, {"base_model": str(checkpoint)}, preference_rows(4))
    with pytest.raises(AssertionError, match="scores differently"):
        finish(run)
    assert run.result() is None


def test_without_eval_rankings_there_is_no_accuracy(prepare: Prepare, checkpoint: Path):
    run = prepare("all", "reward", SETTINGS | {"epochs": 1}, {"base_model": str(checkpoint)}, preference_rows(4))
    result = finish(run)
    assert (result["accuracy"], result["ci95"], result["n"]) == (None, None, 0)
    assert json.loads((run.checkpoint_path / "reward.json").read_text())["pooling"].startswith("mean")


def test_no_ranking_to_train_on(prepare: Prepare, checkpoint: Path):
    run = prepare("none", "reward", SETTINGS, {"base_model": str(checkpoint)}, preference_rows(2, held_out=2))
    with pytest.raises(RecipeError, match="No ranking can be trained on"):
        finish(run)
