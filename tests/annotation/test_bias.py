"""Bias reports over simulated people with and without a habit; a fixed seed each."""

from __future__ import annotations

import random

import pytest

from annotation.quality import bias
from annotation.quality.records import Record, Text

SEEDS = range(8)


def people_rank(seed: int, *, pull: float = 0.0, people: int = 12, tasks: int = 40) -> list[Record]:
    """Everybody ranks every task by a taste of their own; with `pull`, what stands first is liked better."""
    draw = random.Random(seed)
    records = []
    for task in range(tasks):
        answers = list(range(4 * task, 4 * task + 4))
        for person in range(people):
            shown = draw.sample(answers, 4)
            liking = {pk: draw.gauss(0, 1) + (pull if place == 0 else 0) for place, pk in enumerate(shown)}
            order = sorted(answers, key=lambda pk: -liking[pk])
            tiers = [[pk] for pk in order]
            if draw.random() < 0.3:
                tiers = [order[:2], *tiers[2:]]
            records.append(Record(annotator=person, task=task, tiers=tiers, shown=shown))
    return records


@pytest.mark.parametrize("seed", SEEDS)
def test_a_planted_position_bias_is_found(seed):
    found = bias.position_bias(people_rank(seed, pull=0.6))
    assert found.verdict == "first-position bias detected"
    assert found.positions[0].share.value > 0.3
    assert found.excess.low > 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("people", [3, 12])
def test_without_a_bias_the_report_is_silent(seed, people):
    found = bias.position_bias(people_rank(seed, people=people))
    assert found.verdict == "no sign of bias"
    assert found.clustered_by == ("person" if people == 12 else "task")


@pytest.mark.parametrize("seed", SEEDS)
def test_what_stands_first_can_also_be_avoided(seed):
    assert bias.position_bias(people_rank(seed, pull=-0.8)).verdict == "last-position bias detected"


def test_a_shared_first_place_counts_in_parts():
    records = [
        Record(1, 1, tiers=[[10], [11]], shown=[10, 11]),
        Record(1, 2, tiers=[[20, 21]], shown=[20, 21]),
        Record(1, 3, tiers=[[32], [30], [31]], shown=[30, 31, 32]),
    ]
    found = bias.position_bias(records)
    # First position: 1 + 1/2 + 0 of three; chance 1/2 + 1/2 + 1/3 of three. The third position was there once.
    assert found.positions[0].share.value == pytest.approx(0.5)
    assert found.positions[0].chance == pytest.approx(4 / 9)
    assert found.positions[2].share.value == 1
    assert found.positions[2].share.n == 1
    assert found.verdict == "too few rankings"


def test_nobody_has_ranked_yet():
    found = bias.position_bias([])
    assert found.positions == []
    assert found.excess.value is None
    assert found.verdict == "too few rankings"


def test_the_longer_answer_wins_by_hand():
    texts = {1: Text(10, 2), 2: Text(30, 6), 3: Text(20, 4), 4: Text(20, 4)}
    records = [
        Record(annotator=7, task=1, tiers=[[2], [1]]),  # the longer one
        Record(annotator=8, task=1, tiers=[[1], [2]]),  # the shorter one
        Record(annotator=8, task=2, tiers=[[3], [4]]),  # equally long: says nothing
        Record(annotator=8, task=3, tiers=[[2, 3], [1]]),  # a tie says nothing; both longer ones beat 1
    ]
    found = bias.length_bias(records, texts)
    assert found.overall.value == pytest.approx(3 / 4)
    assert found.by_annotator[7].value == 1
    assert found.by_annotator[8].value == pytest.approx(2 / 3)
    assert bias.length_bias([], texts).overall.reason == "no ranked pairs of different length yet"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_taste_for_length_is_measured_with_its_interval(seed):
    draw = random.Random(seed)
    records, texts = [], {}
    for task in range(200):
        short, long = 2 * task, 2 * task + 1
        texts[short], texts[long] = Text(50, 10), Text(100, 20)
        order = [long, short] if draw.random() < 0.7 else [short, long]
        records.append(Record(annotator=1, task=task, tiers=[[pk] for pk in order]))
    low, high = bias.length_bias(records, texts).overall.ci95
    assert low > 0.5
    assert high - low < 0.2


def test_pace_by_hand():
    texts = {1: Text(500, 100), 2: Text(500, 100)}
    seconds = [1, 20, 30, 40, 100]
    records = [Record(1, task, [[1], [2]], shown=[1, 2], active_ms=1000 * s) for task, s in enumerate(seconds)]
    records.append(Record(1, 9, [[1], [2]], shown=[1, 2], active_ms=0))  # not measured
    found = bias.pace(records, texts)
    assert (found.lower, found.median, found.upper) == (20, 30, 40)
    assert found.timed == 5
    assert found.hasty == 1  # 200 words in a second
    assert bias.pace([], texts).median is None


def test_shares_of_ties_and_of_unacceptable_answers():
    records = [
        Record(1, 1, tiers=[[1, 2], [3]], unacceptable=[3]),  # 1 of 3 pairs tied, 1 of 3 answers below the line
        Record(1, 2, tiers=[[4], [5]]),
    ]
    assert bias.tie_share(records).value == pytest.approx(1 / 4)
    assert bias.unacceptable_share(records).value == pytest.approx(1 / 5)
    assert bias.tie_share([]).value is None
