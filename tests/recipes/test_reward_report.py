from __future__ import annotations

import math

import pytest

from training.recipes.models.rankings import IndexVote, JudgedSet
from training.recipes.reward_report import (
    Accuracy,
    PairOutcome,
    accuracy_interval,
    accuracy_of,
    calibration,
    length_rule,
    outcomes,
    outcomes_by_annotator,
    outcomes_of_people,
    report,
)

pytestmark = pytest.mark.recipes


def outcome(difference: float, prompt: int = 1, gap: int = 0, margin: float = 1.0) -> PairOutcome:
    return PairOutcome(prompt, difference, gap, margin)


def ranking(prompt: int, lengths: list[int], *votes: IndexVote, split: str = "eval") -> JudgedSet:
    return JudgedSet(prompt, split, [1], [[7] * length for length in lengths], list(votes))


def test_accuracy_counts_a_tie_of_scores_one_half_and_leaves_out_ties_of_people():
    judged = ranking(4, [3, 2, 2], IndexVote([[0], [1, 2]]))
    found = outcomes([judged], [[1.0, 1.0, 0.5]])
    assert [item.difference for item in found] == [0.0, 0.5]
    assert accuracy_of(found) == Accuracy({4: (1.5, 2)})


def test_every_annotator_is_measured_by_what_that_person_said():
    judged = ranking(
        1, [1, 1], IndexVote([[0], [1]], annotator="annotator-1"), IndexVote([[1], [0]], annotator="annotator-2")
    )
    assert outcomes([judged], [[2.0, 0.0]]) == []  # together they prefer nothing
    found = outcomes_by_annotator([judged], [[2.0, 0.0]])
    assert [(item.annotator, item.difference) for item in found] == [("annotator-1", 2.0), ("annotator-2", -2.0)]


def test_people_are_measured_by_the_others_and_not_by_themselves():
    # Two who agree on two pairs of three: four of six. Of three, the third alone has a majority of others: it is wrong.
    two = ranking(1, [1, 1, 1], IndexVote([[0], [1], [2]]), IndexVote([[0], [2], [1]]))
    three = ranking(2, [1, 1], IndexVote([[0], [1]]), IndexVote([[0], [1]]), IndexVote([[1], [0]]))
    alone = ranking(3, [1, 1], IndexVote([[0], [1]]))
    assert accuracy_of(outcomes_of_people([two, three, alone])) == Accuracy({1: (4.0, 6), 2: (0.0, 1)})
    figures = report([two, alone], [[2.0, 1.0, 0.0], [1.0, 0.0]], [alone], seed=0)
    assert (figures["people"]["accuracy"], figures["people"]["n"]) == (0.6667, 6)
    assert report([alone], [[1.0, 0.0]], [alone], seed=0)["people"] is None


def test_bootstrap_draws_prompts():
    # Two prompts, one all right and one all wrong: a sample of two has accuracy 0, ½ or 1.
    interval = accuracy_interval(Accuracy({1: (50.0, 50), 2: (0.0, 50)}), seed=0)
    assert interval == [0.0, 1.0]


def test_the_length_rule_is_chosen_in_training():
    shorter_wins = [ranking(1, [2, 5], IndexVote([[0], [1]]), split="train")]
    assert length_rule(shorter_wins) == -1
    held_out = [ranking(2, [3, 6], IndexVote([[0], [1]])), ranking(3, [6, 3], IndexVote([[0], [1]]))]
    figures = report(held_out, [[1.0, 0.0], [0.0, 1.0]], shorter_wins, seed=0)
    assert figures["baselines"]["length"]["accuracy"] == 0.5
    assert figures["baselines"]["length"]["rule"] == "the shorter response wins"


def test_calibration_by_hand():
    # σ(ln 9) = 0.9: sure by 0.9 four times, right three times: off by 0.15. σ(ln 1.5) = 0.6: sure by 0.6 once, wrong.
    found = [outcome(math.log(9))] * 3 + [outcome(-math.log(9))] + [outcome(-math.log(1.5))]
    figures = calibration(found)
    assert figures["bins"] == [
        {"confidence": 0.6, "accuracy": 0.0, "n": 1},
        {"confidence": 0.9, "accuracy": 0.75, "n": 4},
    ]
    assert figures["ece"] == pytest.approx((4 * 0.15 + 1 * 0.6) / 5)


# --- the gate ----------------------------------------------------------------------------------------------------


def gate(right_of: int, of: int = 40, *, by_length: int | None = None) -> dict:
    """Of so many prompts with one pair each, the model and the length rule are right in so many."""
    held_out, scores = [], []
    for number in range(of):
        longer_wins = number < (of // 2 if by_length is None else by_length)
        held_out.append(ranking(number, [5, 2] if longer_wins else [2, 5], IndexVote([[0], [1]])))
        scores.append([1.0, 0.0] if number < right_of else [0.0, 1.0])
    train = [ranking(-1, [5, 2], IndexVote([[0], [1]]), split="train")]
    return report(held_out, scores, train, seed=0)["gate"]


def test_a_good_model_passes():
    verdict = gate(34)
    assert verdict["passed"]
    assert verdict["reason"].startswith("accuracy 0.85 [0.7")
    assert verdict["reason"].endswith("on 40 unseen pairs, against 0.50 by length")


def test_a_coin_does_not_pass():
    verdict = gate(21)
    assert not verdict["passed"]
    assert "better than a coin" in verdict["reason"]


def test_a_model_that_prefers_what_people_reject_does_not_pass():
    verdict = gate(6)
    assert not verdict["passed"]
    assert "prefers what people reject" in verdict["reason"]


def test_going_by_length_does_not_pass():
    verdict = gate(32, by_length=32)
    assert not verdict["passed"]
    assert "does not beat going by length (0.80" in verdict["reason"]


def test_too_little_to_tell_does_not_pass():
    verdict = gate(8, of=8)
    assert not verdict["passed"]
    assert verdict["reason"].startswith("only 8 pairs")


def test_many_pairs_of_few_prompts_do_not_pass():
    """Right on all 24 pairs of four prompts, on which one model in 25 that knows nothing would pass; five are asked."""
    train = [ranking(-1, [5, 2], IndexVote([[0], [1]]), split="train")]
    verdicts = []
    for prompts in (4, 5):
        held_out = [ranking(number, [2, 2, 2, 2], IndexVote([[0], [1], [2], [3]])) for number in range(prompts)]
        verdicts.append(report(held_out, [[3.0, 2.0, 1.0, 0.0]] * prompts, train, seed=0)["gate"])
    assert [verdict["passed"] for verdict in verdicts] == [False, True]
    assert verdicts[0]["reason"].startswith("its 24 unseen pairs are of only 4 held-out prompts: it takes 5")


def test_slices_by_margin():
    held_out = [ranking(number, [1, 1, 1], IndexVote([[0], [1], [2]])) for number in range(12)]
    slices = report(held_out, [[2.0, 1.5, 1.6]] * 12, [], seed=0)["slices"]["margin"]
    # Neighbours lie half the longest distance apart: (0,1) right, (1,2) wrong; the ends a whole one: right.
    assert [(row["label"], row["accuracy"], row["n"]) for row in slices] == [
        ("margin 0.5", 0.5, 24),
        ("margin 1", 1.0, 12),
    ]
