from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from tests.recipes.conftest import Prepare, finish, preference, preference_rows, prompt_rows, ranking_rows
from tests.recipes.test_kto import thumb
from training.methods import RewardConfig
from training.recipes.models.blocks import Blocks
from training.recipes.models.generation import Drawing, sample
from training.recipes.models.rankings import IndexVote, JudgedSet, LineShare, MergedPair, collate, read_rankings
from training.recipes.models.reward_model import RewardModel
from training.recipes.models.shared_model import SharedModel
from training.recipes.process.errors import RecipeError
from training.recipes.process.seeds import generator
from training.recipes.reward import judges_share
from training.recipes.reward_learners import RIDGES, choose_ridge, folds_of
from training.recipes.reward_losses import Terms, rankings_loss
from training.rundir import Row, RunDir

pytestmark = pytest.mark.recipes

SETTINGS = {
    "pooling": "mean",
    "learning_curve": 0,
    "epochs": 5,
    "learning_rate": 1e-2,
    "lora_rank": 4,
    "top_blocks": 2,
    "reference_samples": 40,
    "max_new_tokens": 8,
}


def test_it_learns_a_taste_and_predicts_it_on_unseen_prompts(prepare: Prepare, checkpoint: Path):
    run = prepare("reward", "reward", SETTINGS, {"base_model": str(checkpoint)}, preference_rows(40, held_out=12))
    result = finish(run)
    assert result["accuracy"] > 0.85
    assert result["ci95"][0] <= result["accuracy"] <= result["ci95"][1]
    assert result["ci95"][0] > 0.7
    assert result["n"] == 12 * 3
    assert (result["rankings"], result["judge"]["rankings"]) == (21, 7)
    assert result["judge"]["accuracy"] > 0.7
    assert 0.3 < result["judge"]["correlation_with_score"] < 1
    assert result["pairs"] == 21 * 3
    assert result["rows"] == {"in": 120, "used": 120, "refused": {}}

    metrics = list(run.metrics())
    assert [row["step"] for row in metrics] == list(range(1, 31))  # 6 steps of up to 4 rankings, 5 times
    assert [row["step"] for row in metrics if "reward/accuracy_eval" in row] == [6, 12, 18, 24, 30]
    assert metrics[0]["reward/lr"] == 1e-2
    assert metrics[-1]["reward/lr"] == pytest.approx(1e-2 / 30)

    # Scores are on the scale of the reference policy: mean 0, variance 1 on its answers.
    shared = SharedModel(str(checkpoint), torch.device("cpu"))
    model = RewardModel.load(shared, run.checkpoint_path)
    assert (model.gain, model.bias) == (result["gain"], result["bias"])
    prompts = [[5, 9, 30], [7, 8, 9, 40]]
    answers = sample(shared, None, prompts, Drawing(100, 8, 0.9), generator(0)).answers
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
    rankings, counts = read_rankings(iter(rows), shared, 120)
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
    assert rankings[0].pairs == [MergedPair(0, 1, 1.0, 0.5), MergedPair(0, 2, 1.0, 0.5), MergedPair(1, 2, 1.0, 0.5)]
    assert rankings[1].split == "eval"
    assert all(tokens[-1] == shared.closing for ranking in rankings for tokens in ranking.candidates)


def test_special_tokens_spelled_out_in_an_answer_are_text(shared: SharedModel):
    rankings, _ = read_rankings(iter([preference(prompt_rows(1)[0], "a<|end|>b", "c")]), shared, 200)
    assert rankings[0].candidates[0].count(shared.closing) == 1


def one_vote(*tiers: list[int], candidates: int = 3, **more) -> JudgedSet:
    return JudgedSet(0, "train", [1], [[1]] * candidates, [IndexVote(list(tiers), **more)])


def test_loss_is_the_mean_over_rankings_of_the_mean_over_pairs():
    # Ranking 0, scores ln 3, 0, 0: pairs (0>1), (0>2) cost −ln 0.75 = 0.287682 each, (1>2) costs ln 2 = 0.693147:
    #   mean (0.287682 · 2 + 0.693147) / 3 = 0.422837.
    # Ranking 1, scores 0, 0: ln 2 = 0.693147. Mean of the two: 0.557992. (The mean over four pairs would be 0.490415.)
    three, two = one_vote([0], [1], [2]), one_vote([0], [1], candidates=2)
    scores = torch.tensor([[1.098612, 0.0, 0.0], [0.0, 0.0, 99.0]])[..., None]
    loss = rankings_loss(scores, [three, two], torch.ones(2, 1), RewardConfig())
    assert float(loss) == pytest.approx(0.557992, abs=1e-6)
    # A head that does not see the second ranking, and an annotator of half the weight: 0.422837 / 2 / 2.
    light = one_vote([0], [1], [2], weight=0.5)
    loss = rankings_loss(scores, [light, two], torch.tensor([[1.0], [0.0]]), RewardConfig())
    assert float(loss) == pytest.approx(0.422837 / 4, abs=1e-6)


def test_the_loss_over_whole_rankings_is_the_mean_over_people():
    # Scores ln 2, 0. One says 0 > 1, at twice the weight of the one who says 1 > 0: (2 · ln 3/2 + ln 3) / 3, times 1.5.
    ranking = JudgedSet(0, "train", [1], [[1], [2]], [IndexVote([[0], [1]], 2.0), IndexVote([[1], [0]], 1.0)])
    scores = torch.tensor([[math.log(2), 0.0]])[..., None]
    loss = rankings_loss(scores, [ranking], torch.ones(1, 1), RewardConfig(loss="plackett_luce"))
    assert float(loss) == pytest.approx(1.5 * (2 * math.log(1.5) + math.log(3)) / 3)
    # Beside one of another size. Odds 3 : 1 : 1 drawn in this order: (ln 5/3 + ln 2) / 2 = 0.601986; the other: ln 2.
    scores = torch.tensor([[math.log(3), 0.0, 0.0], [0.0, 0.0, 99.0]])[..., None]
    rankings = [one_vote([0], [1], [2]), one_vote([1], [0], candidates=2)]
    loss = rankings_loss(scores, rankings, torch.ones(2, 1), RewardConfig(loss="plackett_luce"))
    assert float(loss) == pytest.approx((0.601986 + 0.693147) / 2, abs=1e-6)


def test_the_unacceptable_line_is_one_more_candidate_that_scores_nothing():
    # Scores ln 3, 0, 0, the last one below the line. Pairs as above: 0.287682 · 2 + ln 2. Against the line of score 0:
    # 0.287682 above it, ln 2 for each of the others. In all 0.287682 · 3 + ln 2 · 3 = 2.942489, over the three pairs.
    scores = torch.tensor([[1.098612, 0.0, 0.0]])[..., None]
    ranking, weights = one_vote([0], [1], [2], unacceptable=(2,)), torch.ones(1, 1)
    assert ranking.lines == [LineShare(0, 1.0), LineShare(1, 1.0), LineShare(2, 0.0)]
    assert float(rankings_loss(scores, [ranking], weights, RewardConfig())) == pytest.approx(2.942489 / 3, abs=1e-6)
    assert float(rankings_loss(scores, [ranking], weights, RewardConfig(line=False))) == pytest.approx(
        0.422837, abs=1e-6
    )
    # Drawn in the order 0, 1, line, 2 with odds 3 : 1 : 1 : 1: ln 6/3, ln 3, ln 2, the last one for certain.
    drawn = rankings_loss(scores, [ranking], weights, RewardConfig(loss="plackett_luce"))
    assert float(drawn) == pytest.approx((2 * 0.693147 + 1.098612) / 3, abs=1e-6)


def test_a_line_says_nothing_of_those_who_drew_none_and_of_responses_without_a_place():
    votes = [
        IndexVote([[0], [1], [2]], 3.0, unacceptable=(1, 2)),
        IndexVote([[1], [0], [2]], 1.0, unacceptable=(2,)),
        IndexVote([[0], [1], [2]], 5.0),
        IndexVote([[0], [1, 2]], 7.0, unranked=(1, 2)),
    ]
    assert JudgedSet(0, "train", [1], [[1]] * 3, votes).lines == [
        LineShare(0, 1.0),
        LineShare(1, 0.25),
        LineShare(2, 0.0),
    ]
    assert [vote.line_place() for vote in votes] == [1, 2, None, None]
    assert IndexVote([[0, 1]], unacceptable=(0, 1)).line_place() == 0  # both are bad
    assert IndexVote([[0, 1], [2]], unacceptable=(1, 2)).line_place() is None  # a tie across the line


def test_the_ridge_is_the_one_that_predicts_unseen_prompts_best():
    """Where what people said follows from the features a weak penalty is best, where they tossed coins the stiffest."""
    random = torch.Generator().manual_seed(2)
    features, wanted = torch.randn(240, 12, generator=random), torch.randn(12, generator=random)
    chosen = {}
    for name, values in (("taste", features @ wanted), ("coins", torch.randn(240, generator=random))):
        rankings = [
            JudgedSet(
                number, "train", [number // 2], [[1], [2]], [IndexVote([[0], [1]] if first > second else [[1], [0]])]
            )
            for number, (first, second) in enumerate(values.view(120, 2).tolist())
        ]
        folds = folds_of(rankings, seed=0)
        assert torch.equal(folds[::2], folds[1::2])  # both rankings of a prompt are in the same one
        assert sorted(folds.unique().tolist()) == [0, 1, 2, 3]
        chosen[name] = choose_ridge(features, Terms(rankings, RewardConfig(), features.device), folds)
    assert chosen == {"taste": min(RIDGES), "coins": max(RIDGES)}
    assert len(folds_of(rankings[:20], seed=0)) == 0  # ten prompts are too few


def test_ties_and_contradictions_stay_what_they_are():
    # {a > b, b > a} is no order; a circle of three is two votes to one on every pair.
    contradiction = JudgedSet(0, "train", [1], [[1], [2]], [IndexVote([[0], [1]]), IndexVote([[1], [0]])])
    assert contradiction.pairs == [MergedPair(0, 1, 0.5, 0.0)]
    circle = JudgedSet(
        0, "train", [1], [[1]] * 3, [IndexVote([[0], [1], [2]]), IndexVote([[1], [2], [0]]), IndexVote([[2], [0], [1]])]
    )
    assert [pair.share for pair in circle.pairs] == pytest.approx([2 / 3, 1 / 3, 2 / 3])
    tie = one_vote([0, 2], [1])
    assert [(pair.share, pair.margin) for pair in tie.pairs] == [(1.0, 0.5), (0.5, 0.0), (0.0, 0.5)]


def test_rankings_are_read_as_they_were_given(shared: SharedModel):
    prompt = prompt_rows(1)[0]
    row = {
        "prompt": prompt["messages"],
        "prompt_id": 3,
        "group_id": 8,
        "split": "eval",
        "policy": 2,
        "candidates": [{"text": text, "finished": True} for text in ("one", "", "three", "x" * 500)],
        "rankings": [
            {"tiers": [[2], [0, 1], [3]], "unacceptable": [], "weight": 1.0, "annotator": "annotator-1"},
            {"tiers": [[0, 2]], "unacceptable": [0, 1, 2], "weight": 0.5, "annotator": "annotator-2"},
        ],
    }
    lonely = {**row, "candidates": [{"text": "one", "finished": True}, {"text": "", "finished": None}]}
    rankings, counts = read_rankings(iter([row, lonely]), shared, 200)
    assert counts["refused"] == {"fewer than two usable candidates (empty answer)": 1}
    (ranking,) = rankings
    # The empty and the overlong candidate are gone; what was said of the other two stands.
    assert len(ranking.candidates) == 2
    assert [vote.tiers for vote in ranking.votes] == [[[1], [0]], [[0, 1]]]
    assert [vote.unacceptable for vote in ranking.votes] == [(), (0, 1)]
    assert ranking.pairs[0].share == pytest.approx((0 * 1.0 + 0.5 * 0.5) / 1.5)
    assert (ranking.prompt_id, ranking.split, ranking.policy) == (3, "eval", 2)


def test_a_score_does_not_depend_on_its_neighbours(shared: SharedModel):
    """Padding, other candidates and other prompts in the batch leave a score as it is."""
    torch.manual_seed(0)
    model = RewardModel.initialise(shared, rank=4, top_blocks=2, generator=generator(0))
    rankings, _ = read_rankings(iter(preference_rows(4)), shared, 200)
    together = model.score(collate(rankings, shared))
    for row, ranking in enumerate(rankings):
        alone = model.score(collate([ranking], shared))[0]
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
    assert not result["gate"]["passed"]
    assert json.loads((run.checkpoint_path / "reward.json").read_text())["pooling"] == "mean"


@pytest.mark.parametrize(
    "options",
    [
        {"pooling": "depths", "learning_curve": 2},
        {"pooling": "depths", "heads": 3, "loss": "plackett_luce"},
        {"pooling": "attention", "heads": 3},
        {"pooling": "last"},
        {"pooling": "verbalizer"},
        {"loss": "plackett_luce", "learning_curve": 2},
    ],
)
def test_other_settings_learn_too(prepare: Prepare, checkpoint: Path, options: Row):
    rows = ranking_rows(40, held_out=12)
    run = prepare("other", "reward", SETTINGS | options, {"base_model": str(checkpoint)}, rows)
    result = finish(run)
    assert result["accuracy"] > 0.7
    assert result["gate"]["passed"]
    assert result["rankings"] == 21  # a quarter of the prompts are the judge's
    curve = result["learning_curve"]
    assert [point["rankings"] for point in curve] == ([5, 10, 21] if "learning_curve" in options else [21])
    assert curve[-1]["accuracy"] == result["accuracy"]
    assert [row["label"] for row in result["slices"]["annotator"]] == ["annotator-1", "annotator-2"]
    assert sum(row["n"] for row in result["calibration"]["bins"]) == result["n"]


def test_the_judge_is_a_head_of_its_own(prepare: Prepare, checkpoint: Path):
    rows = ranking_rows(24, held_out=8)
    run = prepare("judged", "reward", SETTINGS | {"heads": 3}, {"base_model": str(checkpoint)}, rows)
    finish(run)
    shared = SharedModel(str(checkpoint), torch.device("cpu"))
    model = RewardModel.load(shared, run.checkpoint_path)
    rankings, _ = read_rankings(iter(rows), shared, 200)
    answers = collate(rankings[:4], shared)
    raw, score, judge = model.raw_scores(answers).detach(), model.score(answers), model.judge(answers)
    torch.testing.assert_close(score, model.gain * (raw[..., 0] + raw[..., 1]) / 2 + model.bias)
    torch.testing.assert_close(judge, model.judge_gain * raw[..., 2] + model.judge_bias)
    torch.testing.assert_close(model.disagreement(answers), model.gain * (raw[..., 0] - raw[..., 1]).abs() / 2)
    assert float((score - judge).abs().max()) > 0.01


@pytest.mark.parametrize("pooling", ["depths", "mean"])
def test_score_and_judge_learn_from_different_prompts(prepare: Prepare, checkpoint: Path, pooling: str):
    """Turn the rankings of a quarter of the prompts round: the judge changes its mind, the score not by a bit."""
    rows, config = ranking_rows(16), RewardConfig(pooling=pooling)
    shared = SharedModel(str(checkpoint), torch.device("cpu"))
    rankings, _ = read_rankings(iter(rows), shared, 200)
    learning, judging = judges_share(rankings, config)
    own = {ranking.prompt_id for ranking in judging}
    assert len(own) == 4
    assert not own & {ranking.prompt_id for ranking in learning}
    turned = [
        {**row, "rankings": [{**each, "tiers": each["tiers"][::-1]} for each in row["rankings"]]}
        if row["prompt_id"] in own
        else row
        for row in rows
    ]
    made = []
    for name, given in (("as-ranked", rows), ("turned", turned)):
        run = prepare(
            name, "reward", SETTINGS | {"pooling": pooling, "epochs": 1}, {"base_model": str(checkpoint)}, given
        )
        finish(run)
        made.append(load_file(run.checkpoint_path / "head.safetensors"))
    first, second = made
    assert torch.equal(first["weight"], second["weight"])
    assert float(first["judge_weight"].flatten() @ second["judge_weight"].flatten()) < 0


def test_the_judge_reads_other_depths():
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=16,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=30,
            num_attention_heads=2,
            pad_token_id=0,
        )
    )
    blocks = Blocks(model, model.model)
    assert blocks.scored_depths == [6, 12, 18, 24]
    assert blocks.judged_depths == [3, 9, 15, 21]


def test_an_older_model_has_no_judge(prepare: Prepare, checkpoint: Path):
    """Its last head learned from the same prompts as the others. What the others say of an answer stays as it was."""
    rows = ranking_rows(12)
    settings = SETTINGS | {"pooling": "depths", "heads": 3}
    run = prepare("older", "reward", settings, {"base_model": str(checkpoint)}, rows)
    finish(run)
    shared = SharedModel(str(checkpoint), torch.device("cpu"))
    answers = collate(read_rankings(iter(rows), shared, 200)[0][:4], shared)
    score = RewardModel.load(shared, run.checkpoint_path).score(answers)
    path = run.checkpoint_path / "head.safetensors"
    kept = {name: tensor for name, tensor in load_file(path).items() if not name.startswith("judge_")}
    kept |= {name: torch.cat([kept[name], 9 + kept[name][:1]]) for name in ("weight", "bias")}
    save_file(kept, path)
    model = RewardModel.load(shared, run.checkpoint_path)
    assert not model.has_judge
    assert torch.equal(model.score(answers), score)


def test_heads_on_the_base_model_need_no_adapter(prepare: Prepare, checkpoint: Path):
    rows = ranking_rows(24, held_out=8)
    run = prepare("frozen", "reward", SETTINGS | {"pooling": "depths"}, {"base_model": str(checkpoint)}, rows)
    result = finish(run)
    assert result["accuracy"] > 0.7
    assert not (run.checkpoint_path / "adapter_model.safetensors").exists()
    assert next(run.metrics())["reward/ridge"] == 0.2
    # The first annotator puts the worst of each three below the line.
    assert result["line"]["n"] == 8 * 3
    assert result["line"]["accuracy"] > 0.75
    # The line stands on the scale of the scores that the saved model gives: above it is what is acceptable.
    shared = SharedModel(str(checkpoint), torch.device("cpu"))
    held_out = [each for each in read_rankings(iter(rows), shared, 200)[0] if each.split == "eval"]
    score = RewardModel.load(shared, run.checkpoint_path).score(collate(held_out, shared)).reshape(8, 3)
    right = (score > result["line"]["score"]) == torch.tensor([False, True, True])
    assert result["line"]["accuracy"] == round(float(right.double().mean()), 4)
    # The penalty holds the weights where the loss alone would let them run away.
    stiff = prepare("stiff", "reward", SETTINGS | {"pooling": "depths", "ridge": 100.0}, run.config()["inputs"], rows)
    finish(stiff)
    assert next(stiff.metrics())["reward/ridge"] == 100
    norms = [load_file(each.checkpoint_path / "head.safetensors")["weight"].norm() for each in (run, stiff)]
    assert norms[1] < norms[0] / 3


def test_sampled_answers_bring_their_depths_along(shared: SharedModel):
    """What the sampler kept on its way is what reading the finished answers gives, by tree and row by row."""
    shared.adapters.add("policy", rank=4, top_blocks=1)
    answers = sample(
        shared,
        "policy",
        [[5, 9, 30], [7, 8, 9, 40]],
        Drawing(60, 24, 1.0),
        generator(4),
        keep_trunk=True,
    ).answers
    assert answers.depths is not None
    assert answers.response_mask.sum(-1).unique().numel() > 1  # some ended early
    read = shared.depth_states(answers.without_trunk())
    torch.testing.assert_close(answers.depths, read, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(shared.with_trunk(answers.without_trunk()).depths, read, atol=1e-5, rtol=1e-4)
    shared.layered = False
    torch.testing.assert_close(shared.depth_states(answers.without_trunk()), read, atol=1e-5, rtol=1e-4)


def test_attention_of_a_query_of_zeros_is_the_mean(shared: SharedModel):
    mean = RewardModel.initialise(shared, rank=4, top_blocks=2, generator=generator(0))
    attention = RewardModel(shared, "attention")
    attention.head = mean.head
    rankings, _ = read_rankings(iter(preference_rows(3)), shared, 200)
    answers = collate(rankings, shared)
    torch.testing.assert_close(attention.raw_scores(answers), mean.raw_scores(answers))


def test_a_fresh_verbalizer_is_the_log_odds_of_yes_and_no(shared: SharedModel):
    model = RewardModel.initialise(shared, rank=4, top_blocks=2, generator=generator(0), pooling="verbalizer", heads=3)
    rankings, _ = read_rankings(iter([*preference_rows(2), preference(prompt_rows(9)[8], "a", "bc")]), shared, 200)
    raw = model.raw_scoring(collate(rankings, shared))
    assert torch.isfinite(raw).all()  # the third prompt has two candidates only
    asked = "\n<|start|>user\nIs this a good answer? Answer Yes or No.<|end|>\n<|start|>assistant\n"
    tail, (yes, no) = shared.tokenizer(asked).input_ids, (shared.tokenizer(word).input_ids[0] for word in "YN")
    for row, ranking in enumerate(rankings):
        for column, candidate in enumerate(ranking.candidates):
            logits = shared.model(torch.tensor([ranking.prompt + candidate + tail])).logits[0, -1]
            torch.testing.assert_close(raw[row, column], (logits[yes] - logits[no]).expand(2), atol=1e-4, rtol=1e-4)


def test_it_starts_from_the_last_reward_model_or_says_why_not(prepare: Prepare, checkpoint: Path):
    inputs, rows = {"base_model": str(checkpoint)}, preference_rows(8)
    first = prepare("first", "reward", SETTINGS | {"epochs": 1}, inputs, rows)
    finish(first)
    inputs["previous"] = str(first.checkpoint_path)
    settings = SETTINGS | {"epochs": 1, "learning_rate": 0.0, "start": "previous"}
    second = prepare("second", "reward", settings, inputs, rows)
    finish(second)
    for file in ("adapter_model.safetensors", "head.safetensors"):
        assert (second.checkpoint_path / file).read_bytes() == (first.checkpoint_path / file).read_bytes()
    with pytest.raises(RecipeError, match="lora_rank, top_blocks, heads or pooling differ"):
        finish(prepare("third", "reward", settings | {"lora_rank": 8}, inputs, rows))


def test_no_ranking_to_train_on(prepare: Prepare, checkpoint: Path):
    run = prepare("none", "reward", SETTINGS, {"base_model": str(checkpoint)}, preference_rows(2, held_out=2))
    with pytest.raises(RecipeError, match="There is no ranking to train on"):
        finish(run)


def test_a_response_that_is_judged_by_itself_is_held_against_the_line():
    # Score ln 3: called good it costs −ln 0.75 = 0.287682, called bad −ln 0.25 = 1.386294; by one person each way, at
    # weights 3 and 1, (3 · 0.287682 + 1.386294) / 4 · 2, as the mean weight is 2. Beside a ranking of two with scores
    # 0, 0 it is one of two: (0.287682 + 0.693147) / 2.
    scores, one = torch.tensor([[1.098612]])[..., None], torch.ones(1, 1)
    good, bad = one_vote([0], candidates=1, calls_good=True), one_vote([0], candidates=1, unacceptable=(0,))
    both = JudgedSet(
        0, "train", [1], [[1]], [IndexVote([[0]], 3.0, calls_good=True), IndexVote([[0]], 1.0, unacceptable=(0,))]
    )
    assert (good.lines, bad.lines, both.lines) == ([LineShare(0, 1.0)], [LineShare(0, 0.0)], [LineShare(0, 0.75)])
    for loss in ("bradley_terry", "plackett_luce"):
        config = RewardConfig(loss=loss)
        assert float(rankings_loss(scores, [good], one, config)) == pytest.approx(0.287682, abs=1e-6)
        assert float(rankings_loss(scores, [bad], one, config)) == pytest.approx(1.386294, abs=1e-6)
        assert float(rankings_loss(scores, [both], one, config)) == pytest.approx(1.124670, abs=1e-6)
        beside = torch.tensor([[1.098612, 99.0], [0.0, 0.0]])[..., None]
        two = one_vote([0], [1], candidates=2)
        found = rankings_loss(beside, [good, two], torch.ones(2, 1), config)
        assert float(found) == pytest.approx((0.287682 + 0.693147) / 2, abs=1e-6)


def test_single_responses_are_read_where_the_line_is_learned(shared: SharedModel):
    rows = [thumb("Hum", "hm", True, 1, annotator="annotator-7"), thumb("Hum", "no", False, 1)]
    unsaid = thumb("Hum", "hm", True, 1)
    unsaid["rankings"][0]["ratings"] = []
    rankings, counts = read_rankings(iter([*rows, unsaid]), shared, 200, with_single=True)
    assert [(ranking.source, ranking.lines) for ranking in rankings] == [
        ("unary", [LineShare(0, 1.0)]),
        ("imported", [LineShare(0, 0.0)]),
    ]
    assert counts["refused"] == {"nobody called its only response good or bad": 1}
    assert read_rankings(iter(rows), shared, 200)[1]["refused"] == {"fewer than two candidates": 2}


def test_rankings_and_single_responses_make_one_model(prepare: Prepare, checkpoint: Path):
    """Rankings say which of two is better, single responses where the line is; the model learns both."""
    rows = ranking_rows(16, held_out=4)
    for number in range(100, 140):
        split = "eval" if number >= 130 else "train"
        rows.append(thumb(f"Prompt {number}", "aaaa aa", True, number, split, annotator="annotator-7"))
        rows.append(thumb(f"Prompt {number}", "hhhh h", False, number, split, annotator="annotator-7"))
    settings = {"pooling": "depths", "learning_curve": 1, "heads": 1, "reference_samples": 8, "max_new_tokens": 4}
    result = finish(prepare("both", "reward", settings, {"base_model": str(checkpoint)}, rows))
    assert result["sources"] == {"ranking": 12, "unary": 60}
    assert result["rankings"] == 12
    # Half of the rankings beside half of the single responses, which are counted in no point.
    assert [point["rankings"] for point in result["learning_curve"]] == [6, 12]
    assert result["line"]["n"] >= 20
    assert result["line"]["accuracy"] > 0.9
    only = [row for row in rows if len(row["candidates"]) == 1]
    alone = finish(prepare("alone", "reward", settings, {"base_model": str(checkpoint)}, only))
    assert (alone["accuracy"], alone["rankings"], alone["sources"]) == (None, 0, {"unary": 60})
    assert alone["learning_curve"] == [{"rankings": 0, "accuracy": None, "ci95": None}]
    assert alone["line"]["accuracy"] > 0.9
    assert not alone["gate"]["passed"]
    assert alone["gate"]["reason"].startswith("only 0 pairs of held-out prompts")
