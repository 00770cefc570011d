"""Rankings of one candidate set, merged. Candidates are 1, 2, 3, 4; expected pairs are written out by hand."""

import pytest

from annotation.judged.preferences import Even, Pair, Vote, merge


def votes(*rankings) -> list[Vote]:
    return [Vote(tiers) for tiers in rankings]


def of_one(chosen: int, rejected: int, margin: float) -> Pair:
    """A pair on which a single ranking was heard."""
    return Pair(chosen, rejected, votes_for=1, votes_against=0, ties=0, margin=margin, share=1.0)


def test_one_ranking_becomes_all_its_pairs():
    pairs, evens = merge(votes([[1], [2], [3]]))
    assert pairs == [of_one(1, 2, 0.5), of_one(1, 3, 1.0), of_one(2, 3, 0.5)]
    assert evens == []


def test_tied_candidates_make_no_pair():
    pairs, evens = merge(votes([[1, 2], [3]]))
    assert pairs == [of_one(1, 3, 0.5), of_one(2, 3, 0.5)]
    assert evens == [Even(1, 2, votes_each_way=(0, 0), ties=1)]


def test_contradiction_is_a_tie_and_not_an_order():
    assert merge(votes([[1], [2]], [[2], [1]])) == ([], [Even(1, 2, votes_each_way=(1, 1), ties=0)])


def test_total_reversal_of_four_leaves_nothing():
    pairs, evens = merge(votes([[1], [2], [3], [4]], [[4], [3], [2], [1]]))
    assert pairs == []
    assert len(evens) == 6


def test_a_cycle_keeps_its_votes_instead_of_becoming_an_order():
    """1>2>3, 2>3>1, 3>1>2: each pair stands two to one, and the margins say how little that is."""
    pairs, evens = merge(votes([[1], [2], [3]], [[2], [3], [1]], [[3], [1], [2]]))
    assert evens == []
    assert {(p.chosen, p.rejected) for p in pairs} == {(1, 2), (2, 3), (3, 1)}
    assert {(p.votes_for, p.votes_against) for p in pairs} == {(2, 1)}
    # 1 over 2: distances +1, -2, +1 of at most 2 tiers: (0.5 - 1 + 0.5) / 3 = 0
    assert {p.margin for p in pairs} == {0.0}
    assert {p.share for p in pairs} == {0.666667}
    assert all(p.in_cycle for p in pairs)


def test_three_people_with_a_pair_each_make_a_cycle_that_is_marked():
    """Nobody was wrong about a pair; only together do they contradict each other. 4 is below all of it."""
    pairs, _ = merge(votes([[1], [2]], [[2], [3]], [[3], [1]], [[1], [4]]))
    assert [(p.chosen, p.rejected, p.in_cycle) for p in pairs] == [
        (1, 2, True),
        (3, 1, True),
        (1, 4, False),
        (2, 3, True),
    ]


def test_a_majority_counts_both_sides():
    pairs, _ = merge(votes([[1], [2]], [[1], [2]], [[2], [1]]))
    assert [(p.votes_for, p.votes_against, p.margin, p.share) for p in pairs] == [(2, 1, 0.333333, 0.666667)]


def test_a_tie_counts_half_for_each_side():
    pairs, _ = merge(votes([[1], [2]], [[1, 2]]))
    assert [(p.votes_for, p.votes_against, p.ties, p.share, p.margin) for p in pairs] == [(1, 0, 1, 0.75, 0.5)]


def test_weights_decide_and_votes_are_still_counted_by_head():
    """One person of weight 3 against two of weight 0.5: 3 of 4 parts of the weight say 2 over 1."""
    said = [Vote([[2], [1]], weight=3.0), Vote([[1], [2]], weight=0.5), Vote([[1], [2]], weight=0.5)]
    pairs, _ = merge(said)
    assert [(p.chosen, p.rejected, p.votes_for, p.votes_against, p.share) for p in pairs] == [(2, 1, 1, 2, 0.75)]
    assert pairs[0].margin == 0.5  # (3 - 0.5 - 0.5) / 4
    assert pairs[0].weight == 1.333333  # 4 / 3


def test_weights_that_add_up_to_the_same_are_even():
    """0.1 + 0.2 is not 0.3 to a computer, but it is to people."""
    said = [Vote([[1], [2]], weight=0.1), Vote([[1], [2]], weight=0.2), Vote([[2], [1]], weight=0.3)]
    assert merge(said) == ([], [Even(1, 2, votes_each_way=(2, 1), ties=0)])


def test_a_vote_without_weight_says_nothing():
    assert merge([Vote([[1], [2]], weight=0.0)]) == ([], [])


def test_a_pair_knows_how_many_found_its_answers_unacceptable():
    said = [Vote([[1], [2]], unacceptable=[2]), Vote([[1], [2]], unacceptable=[1, 2]), Vote([[1], [2]])]
    pairs, _ = merge(said)
    assert (pairs[0].chosen_unacceptable, pairs[0].rejected_unacceptable) == (1, 2)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_a_candidate_that_one_ranking_lacks_is_judged_by_the_other(order):
    said = votes([[1], [2]], [[1], [3], [2]])
    pairs, evens = merge([said[number] for number in order])
    assert [(p.chosen, p.rejected, p.votes_for, p.margin) for p in pairs] == [
        (1, 2, 2, 1.0),
        (1, 3, 1, 0.5),
        (3, 2, 1, 0.5),
    ]
    assert evens == []


def test_everything_tied_is_nothing_to_learn():
    pairs, evens = merge(votes([[1, 2, 3]]))
    assert pairs == []
    assert len(evens) == 3


def test_nothing_is_known_about_two_that_got_no_place():
    pairs, evens = merge([Vote([[1], [2], [3, 4]], unranked=[3, 4])])
    assert [(pair.chosen, pair.rejected, pair.margin) for pair in pairs] == [
        (1, 2, 0.333333),
        (1, 3, 0.666667),
        (1, 4, 0.666667),
        (2, 3, 0.333333),
        (2, 4, 0.333333),
    ]
    assert evens == []


def test_who_chose_only_the_best_leaves_the_rest_to_others():
    """The second person ordered 2 above 3; the first, who only chose 1, did not say that they are equal."""
    pairs, evens = merge([Vote([[1], [2, 3]], unranked=[2, 3]), Vote([[2], [3], [1]])])
    assert [(pair.chosen, pair.rejected, pair.votes_for, pair.votes_against) for pair in pairs] == [(2, 3, 1, 0)]
    assert len(evens) == 2


def test_the_strength_of_a_comparison_is_its_margin():
    def margins(*compared: Vote) -> list[float]:
        return [pair.margin for pair in merge(compared)[0]]

    assert margins(Vote([[1], [2]], strength=1)) == [0.5]
    assert margins(Vote([[1], [2]], strength=2)) == [1.0]
    assert margins(Vote([[1, 2]], strength=0)) == []
    # Much better, better, and once better the other way round: (1 + 1/2 - 1/2) / 3.
    much, better, worse = Vote([[1], [2]], strength=2), Vote([[1], [2]], strength=1), Vote([[2], [1]], strength=1)
    assert margins(much, better, worse) == [0.333333]
