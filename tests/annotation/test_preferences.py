"""Rankings of one candidate set, merged. Candidates are 1, 2, 3, 4; expected pairs are written out by hand."""

from annotation.preferences import Pair, merge


def test_one_ranking_becomes_all_its_pairs():
    pairs, ties = merge([[[1], [2], [3]]])
    assert pairs == [Pair(1, 2, 1, 0, 0.5), Pair(1, 3, 1, 0, 1.0), Pair(2, 3, 1, 0, 0.5)]
    assert ties == 0


def test_tied_candidates_make_no_pair():
    pairs, ties = merge([[[1, 2], [3]]])
    assert pairs == [Pair(1, 3, 1, 0, 0.5), Pair(2, 3, 1, 0, 0.5)]
    assert ties == 1


def test_contradiction_is_a_tie_and_not_an_order():
    assert merge([[[1], [2]], [[2], [1]]]) == ([], 1)


def test_total_reversal_of_four_leaves_nothing():
    assert merge([[[1], [2], [3], [4]], [[4], [3], [2], [1]]]) == ([], 6)


def test_a_cycle_keeps_its_votes_instead_of_becoming_an_order():
    """1>2>3, 2>3>1, 3>1>2: each pair stands two to one, and the margins say how little that is."""
    pairs, ties = merge([[[1], [2], [3]], [[2], [3], [1]], [[3], [1], [2]]])
    assert ties == 0
    assert {(p.chosen, p.rejected) for p in pairs} == {(1, 2), (2, 3), (3, 1)}
    assert {(p.votes_for, p.votes_against) for p in pairs} == {(2, 1)}
    # 1 over 2: distances +1, -2, +1 of at most 2 tiers: (0.5 - 1 + 0.5) / 3 = 0
    assert {p.margin for p in pairs} == {0.0}


def test_a_majority_counts_both_sides():
    pairs, _ = merge([[[1], [2]], [[1], [2]], [[2], [1]]])
    assert pairs == [Pair(1, 2, 2, 1, 0.333333)]


def test_a_candidate_that_one_ranking_lacks_is_judged_by_the_other():
    pairs, ties = merge([[[1], [2]], [[1], [3], [2]]])
    assert Pair(1, 2, 2, 0, 1.0) in pairs
    assert Pair(3, 2, 1, 0, 0.5) in pairs
    assert ties == 0


def test_everything_tied_is_nothing_to_learn():
    assert merge([[[1, 2, 3]]]) == ([], 3)


def test_nothing_is_known_about_two_that_got_no_place():
    pairs, ties = merge([[[1], [2], [3, 4]]], unranked=[[3, 4]])
    third = 1 / 3
    assert pairs == [
        Pair(1, 2, 1, 0, round(third, 6)), Pair(1, 3, 1, 0, round(2 * third, 6)), Pair(1, 4, 1, 0, round(2 * third, 6)),
        Pair(2, 3, 1, 0, round(third, 6)), Pair(2, 4, 1, 0, round(third, 6)),
    ]  # fmt: skip
    assert ties == 0


def test_who_chose_only_the_best_leaves_the_rest_to_others():
    """The second person ordered 2 above 3; the first, who only chose 1, did not say that they are equal."""
    pairs, ties = merge([[[1], [2, 3]], [[2], [3], [1]]], unranked=[[2, 3], []])
    assert [(pair.chosen, pair.rejected, pair.votes_for, pair.votes_against) for pair in pairs] == [(2, 3, 1, 0)]
    assert ties == 2


def test_the_strength_of_a_comparison_is_its_margin():
    assert merge([[[1], [2]]], strengths=[1])[0] == [Pair(1, 2, 1, 0, 0.5)]
    assert merge([[[1], [2]]], strengths=[2])[0] == [Pair(1, 2, 1, 0, 1.0)]
    assert merge([[[1, 2]]], strengths=[0]) == ([], 1)
    # Much better, better, and once better the other way round: (1 + 1/2 - 1/2) / 3.
    assert merge([[[1], [2]], [[1], [2]], [[2], [1]]], strengths=[2, 1, 1])[0] == [Pair(1, 2, 2, 1, 0.333333)]
