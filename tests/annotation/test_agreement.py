"""Agreement of rankings: numbers worked by hand, or published, or a library's."""

from __future__ import annotations

import json
import os
import uuid
from itertools import combinations
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from annotation.models import Assignment, Candidate, Completion, Prompt, Ranking, Source, Split, Task
from annotation.quality import agreement
from annotation.quality.agreement import choices
from annotation.quality.figures import ratio

ABCD = [[1], [2], [3], [4]]


def test_tau_is_one_for_the_same_order_and_minus_one_for_its_reverse():
    assert agreement.kendall_tau_b(choices(ABCD), choices(ABCD)).value == 1
    assert agreement.kendall_tau_b(choices(ABCD), choices(ABCD[::-1])).value == -1


def test_tau_b_with_a_tie_by_hand():
    # Of 3 pairs: (1,2) tied by the second; (1,3) and (2,3) concordant. τ-b = 2 / √(3 · 2).
    figure = agreement.kendall_tau_b(choices([[1], [2], [3]]), choices([[1, 2], [3]]))
    assert figure.value == pytest.approx(0.816497, abs=1e-6)


def weak_orders(items: list[int]) -> list[list[list[int]]]:
    """All orders with ties, by the first tier that they begin with."""
    if not items:
        return [[]]
    found = []
    for size in range(1, len(items) + 1):
        for tier in combinations(items, size):
            rest = [item for item in items if item not in tier]
            found += [[list(tier), *order] for order in weak_orders(rest)]
    return found


def test_tau_b_is_scipys_for_every_two_orders_of_three():
    from scipy.stats import kendalltau  # two seconds of each process that collects tests, were it above

    orders = weak_orders([1, 2, 3])
    assert len(orders) == 13
    compared = 0
    for first in orders:
        for second in orders:
            ours = agreement.kendall_tau_b(choices(first), choices(second)).value
            places = [[agreement.places(order)[pk] for pk in (1, 2, 3)] for order in (first, second)]
            if len(first) == 1 or len(second) == 1:
                assert ours is None
            else:
                assert ours == pytest.approx(kendalltau(*places).statistic)
                compared += 1
    assert compared == 144


def test_who_ties_everything_has_no_tau():
    figure = agreement.kendall_tau_b(choices([[1, 2, 3]]), choices([[1], [2], [3]]))
    assert figure.value is None
    assert figure.reason == "one of them ties all responses"


def test_w_by_hand():
    figure = agreement.kendall_w([[[1], [2], [3]], [[1], [3], [2]], [[2], [1], [3]]])
    # Rank sums 1+1+2 = 4, 2+3+1 = 6, 3+2+3 = 8; mean 6; S = 4 + 0 + 4 = 8; W = 96 / 216.
    assert figure.value == pytest.approx(96 / 216)


def test_w_with_ties_by_hand():
    # Midranks (1.5, 1.5, 3) and (1, 2, 3): sums 2.5, 3.5, 6 around 4; S = 2.25 + 0.25 + 4 = 6.5.
    # One tie of two takes 2 · (8 - 2) = 12 from 4 · 24 = 96: W = 78 / 84.
    assert agreement.kendall_w([[[1, 2], [3]], [[1], [2], [3]]]).value == pytest.approx(78 / 84)


@pytest.mark.parametrize(
    ("rankings", "reason"),
    [
        ([ABCD], "only one ranking"),
        ([[[1, 2]], [[1, 2]]], "all rankings tie all responses"),
        ([[[1], [2]], [[1], [3]]], "not all ranked the same responses"),
    ],
)
def test_w_says_why_it_is_unknown(rankings, reason):
    assert agreement.kendall_w(rankings).value is None
    assert agreement.kendall_w(rankings).reason == reason


def test_alpha_of_three_people_by_hand():
    # Values 1..2 only, so ordinal is nominal with two values. Units: (1,1), (2,2), (1,2), (2,1): of 8 values four are
    # 1 and four are 2. Observed disagreement 4/8, expected 2·4·4/(8·7) = 4/7. α = 1 - (1/2)/(4/7) = 1/8.
    first, second = [[1], [2]], [[2], [1]]
    assert agreement.krippendorff_alpha([[first, first], [first, second]]).value == pytest.approx(1 / 8)


def test_alpha_is_one_where_all_agree_and_unknown_without_two_people():
    assert agreement.krippendorff_alpha([[ABCD, ABCD], [ABCD[::-1], ABCD[::-1]]]).value == pytest.approx(1)
    assert agreement.krippendorff_alpha([[ABCD], [ABCD]]).reason == agreement.NO_OVERLAP
    assert agreement.krippendorff_alpha([]).value is None
    assert agreement.krippendorff_alpha([[[[1, 2]], [[1, 2]]]]).reason == "all rankings tie all responses"


def test_pairwise_agreement_counts_pairs_of_candidates_over_all_twos():
    # 1>2>3 against 1>3>2: of (1,2), (1,3), (2,3) two agree. 1>2 against 1=2: none of one.
    tasks = [
        [choices([[1], [2], [3]]), choices([[1], [3], [2]])],
        [choices([[1], [2]]), choices([[1, 2]])],
    ]
    figure = agreement.pairwise_agreement(tasks)
    assert figure.value == pytest.approx(0.5)
    assert figure.n == 4
    assert figure.ci95 is None  # two tasks are too few for an interval


def test_the_interval_of_agreement_draws_whole_tasks():
    agree, differ = [choices(ABCD), choices(ABCD)], [choices(ABCD), choices(ABCD[::-1])]
    figure = agreement.pairwise_agreement([agree] * 30 + [differ] * 20)
    assert figure.value == pytest.approx(0.6)
    # Binomial over 50 tasks: 0.6 ± 1.96 · √(0.24 / 50) = 0.6 ± 0.136; over 300 single pairs it would be ± 0.055.
    low, high = figure.ci95
    assert low == pytest.approx(0.464, abs=0.03)
    assert high == pytest.approx(0.736, abs=0.03)


def test_nobody_to_agree_with():
    assert agreement.pairwise_agreement([[choices(ABCD)], [choices(ABCD)]]).reason == agreement.NO_OVERLAP


def test_cohens_kappa_by_hand():
    # 10 items, 7 alike. Shares of the first .5 .4 .1, of the second .4 .4 .2: chance .20 + .16 + .02 = .38.
    first = [1, 1, 1, 1, 1, -1, -1, -1, -1, 0]
    second = [1, 1, 1, -1, 0, -1, -1, -1, 1, 0]
    assert agreement.cohen_kappa(first, second).value == pytest.approx((0.7 - 0.38) / 0.62)


def test_kappa_is_unknown_where_chance_explains_everything():
    assert agreement.cohen_kappa([1, 1], [1, 1]).reason == agreement.ONE_CHOICE
    assert agreement.cohen_kappa([], []).value is None
    assert agreement.fleiss_kappa([[1, 1], [1, 1]]).reason == agreement.ONE_CHOICE
    assert agreement.fleiss_kappa([[1], [0]]).reason == agreement.NO_OVERLAP


def test_fleiss_kappa_is_that_of_the_published_example():
    # The worked example that goes round with Fleiss (1971): 10 items, 14 raters, 5 categories, κ = 0.210.
    table = [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
    items = [[category for category, count in enumerate(row) for _ in range(count)] for row in table]
    assert agreement.fleiss_kappa(items).value == pytest.approx(0.210, abs=5e-4)


DATA = os.environ.get("PREFLOOP_DATA")


PANDALM = pytest.mark.skipif(DATA is None, reason="PREFLOOP_DATA names no folder with pandalm_dev.json")
PUBLISHED = [0.85, 0.86, 0.88]  # Cohen's κ of three people on pairs with ties, whole test set; half of it may differ
PUBLISHED_FLEISS = 0.864


def pandalm() -> list[list[int]]:
    """By row of the file what each of three people said: the first response, the second, or 0 for a tie."""
    rows = json.loads((Path(DATA or "") / "pandalm_dev.json").read_text("utf-8"))
    return [[row[f"annotator{number}"] for number in (1, 2, 3)] for row in rows]


@PANDALM
def test_pandalms_annotators_agree_as_published():
    said = pandalm()
    people = list(zip(*said, strict=True))
    kappas = [agreement.cohen_kappa(first, second).value for first, second in combinations(people, 2)]
    assert sorted(kappas) == pytest.approx(PUBLISHED, abs=0.04)
    assert agreement.fleiss_kappa(said).value == pytest.approx(PUBLISHED_FLEISS, abs=0.04)


@PANDALM
@pytest.mark.django_db
def test_the_quality_page_finds_the_same_on_pandalm(project, admin, as_user):
    said = pandalm()
    people = User.objects.bulk_create([User(username=f"annotator{number}") for number in (1, 2, 3)])
    prompts = [
        Prompt(
            project=project, messages=[{"role": "user", "content": str(row)}], digest=f"{row:064}", split=Split.TRAIN
        )
        for row in range(len(said))
    ]
    prompts = Prompt.objects.bulk_create(prompts)
    tasks = Task.objects.bulk_create(
        [Task(project=project, prompt=prompt, kind="ranking", seats=3) for prompt in prompts]
    )
    texts = [Completion(prompt=prompt, source=Source.IMPORTED, text="A text") for prompt in prompts for _ in range(2)]
    texts = Completion.objects.bulk_create(texts)
    Candidate.objects.bulk_create([Candidate(task=tasks[row // 2], completion=text) for row, text in enumerate(texts)])
    seats, tiers = [], []
    for row, choices_made in enumerate(said):
        first, second = texts[2 * row].pk, texts[2 * row + 1].pk
        for number, (person, choice) in enumerate(zip(people, choices_made, strict=True), start=1):
            seats.append(
                Assignment(
                    task=tasks[row],
                    seat_number=number,
                    project=project,
                    annotator=person,
                    status="done",
                    finished_at=timezone.now(),
                    shown_order=[first, second],
                )
            )
            tiers.append([[[first, second]], [[first], [second]], [[second], [first]]][choice])
    Assignment.objects.bulk_create(seats)
    Ranking.objects.bulk_create(
        [
            Ranking(assignment=seat, client_uuid=uuid.uuid4(), tiers=order)
            for seat, order in zip(seats, tiers, strict=True)
        ]
    )
    figures = as_user(admin).get("/api/v1/projects/letters/quality/").json()
    assert sorted(row["value"] for row in figures["by_two"]) == pytest.approx(PUBLISHED, abs=0.04)
    assert figures["agreement"]["fleiss"]["value"] == pytest.approx(PUBLISHED_FLEISS, abs=0.04)


def test_a_share_of_none_or_all_has_no_interval_without_width():
    """0 of 9 tasks says little of the tenth: an interval from 0 to 0 would say that it is known."""
    none, all_of_them = ratio([0] * 9, [1] * 9, of="pairs"), ratio([2] * 9, [2] * 9, of="pairs")
    assert (none.value, none.ci95, all_of_them.value, all_of_them.ci95) == (0.0, None, 1.0, None)
    low, high = ratio([0, 0, 0, 0, 1, 1, 1, 1, 1], [1] * 9, of="pairs").ci95
    assert low < 5 / 9 < high
