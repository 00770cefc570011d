"""What rounds cost, by hand."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from django.utils import timezone

from annotation.models import Assignment, Comparison, Completion, Evaluation, PolicyVersion, Source, Split
from annotation.quality.figures import Figure
from training.actions.rounds import start_round
from training.models import TrainingRound, TrainingRun
from training.reports.cost_figure import svg
from training.reports.costs import RoundCost, per_point, round_costs
from training.reports.labelling_time import policy_rows

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def two_rounds(project, policy, ranked_task, make_worker) -> None:
    ranked_task()
    start_round(project=project, methods=["reward", "ppo", "sample"], by=None)
    make_worker().run_until_idle()
    ranked_task()
    start_round(project=project, methods=["dpo"], by=None)
    make_worker().run_until_idle()
    # Each of the three judgments took 90 s; runs 100 s each.
    Assignment.objects.filter(ranking__isnull=False).update(active_ms=90_000)
    began = timezone.now()
    TrainingRun.objects.update(started_at=began, finished_at=began + timedelta(seconds=100))


def test_each_round_has_what_was_given_since_the_one_before(two_rounds, project):
    second, first = round_costs(project, to=None)
    assert (first.judgments, first.annotator_minutes, first.machine_seconds) == (2, 3.0, 300.0)
    assert (second.judgments, second.annotator_minutes, second.machine_seconds) == (1, 1.5, 100.0)
    assert first.stages == [("Reward model", 100.0), ("PPO", 100.0), ("Sampling", 100.0)]
    # The script of sampling says 3 tokens an answer: 4 answers to each of the 2 prompts.
    assert (first.tokens, second.tokens) == (24, 0)
    assert (first.policy, second.policy) == ("v1", "v2")
    assert first.disk_bytes > 0
    assert first.win_rate is None


def test_each_policy_has_all_that_was_said_until_its_data_were_frozen(
    two_rounds, project, django_assert_max_num_queries
):
    for method, seconds in {"reward": 10, "ppo": 20, "sample": 40, "dpo": 80}.items():
        TrainingRun.objects.filter(method=method).update(result={"seconds": seconds})
    rows = policy_rows(project)
    assert [(row.policy, row.judgments, row.annotator_minutes) for row in rows] == [("v2", 3, 4.5), ("v1", 2, 3.0)]
    assert [row.seconds for row in rows] == [80, 30], "v1 has those of its reward model, too; sampling is not training"
    with django_assert_max_num_queries(5):  # as many as with one version
        policy_rows(project)


def test_a_point_of_win_rate_has_its_price(two_rounds, project, policy, make_prompt, as_user, admin):
    newer = PolicyVersion.objects.get(number=1)
    evaluation = Evaluation.objects.create(project=project, number=1, version=newer, opponent=policy, origin="run-99")
    for number in range(4):  # identical answers: ties, so the win rate is one half and nothing was gained
        prompt = make_prompt(f"Say {number}.", split=Split.EVAL)
        both = [
            Completion.objects.create(prompt=prompt, source=Source.POLICY, policy=each, text="Same.")
            for each in (newer, policy)
        ]
        Comparison.objects.create(
            evaluation=evaluation, prompt=prompt, answer=both[0], other=both[1], version_first=True, identical=True
        )
    first = round_costs(project, to=None)[1]
    assert (first.win_rate.value, first.points, per_point(first.annotator_minutes, first.points)) == (0.5, 0.0, None)
    shown = as_user(admin).get("/api/v1/projects/letters/costs/").json()["rounds"]
    assert (shown[1]["win_rate"], shown[1]["annotator_minutes_per_point"]) == (0.5, None)


def test_a_comparison_with_a_newer_version_is_no_proof_of_an_older_one(two_rounds, project, make_prompt):
    newer = PolicyVersion.objects.get(number=1)
    newest = PolicyVersion.objects.get(number=2)
    evaluation = Evaluation.objects.create(project=project, number=1, version=newer, opponent=newest, origin="run-99")
    prompt = make_prompt("Say so.", split=Split.EVAL)
    both = [
        Completion.objects.create(prompt=prompt, source=Source.POLICY, policy=each, text="Same.")
        for each in (newer, newest)
    ]
    Comparison.objects.create(
        evaluation=evaluation, prompt=prompt, answer=both[0], other=both[1], version_first=True, identical=True
    )
    assert [cost.win_rate for cost in round_costs(project, to=None)] == [None, None]


def test_money_is_people_and_machine_together():
    cost = RoundCost(
        TrainingRound(number=1),
        "PPO",
        judgments=10,
        annotator_minutes=90,
        machine_seconds=7200,
        processor_seconds=9000,
        gpu_seconds=0,
        tokens=0,
        disk_bytes=0,
        win_rate=Figure(0.62),
    )
    assert cost.money(20, 0.5) == pytest.approx(31)  # 1.5 h at 20 and 2 h at 0.5
    assert cost.points == pytest.approx(12)
    assert per_point(cost.annotator_minutes, cost.points) == pytest.approx(7.5)
    assert per_point(90, -3) is None


def test_the_page_the_csv_and_the_picture(two_rounds, project, as_user, admin):
    client = as_user(admin)
    page = client.get("/projects/letters/costs/?hour=20&machine=0.5").content.decode()
    # Round 1: 3 minutes at 20 an hour and 300 s at 0.5 an hour are 1.04.
    assert "1.04" in page
    assert "Minutes of people and of the machine: round 2: 1.5 and 1.7; round 1: 3.0 and 5.0" in page
    rows = list(csv.DictReader(io.StringIO(client.get("/projects/letters/costs.csv").content.decode())))
    assert [(row["round"], row["annotator_minutes"], row["methods"]) for row in rows] == [
        ("2", "1.5", "DPO"),
        ("1", "3.0", "Reward model → PPO → Sampling"),
    ]
    assert client.get("/projects/letters/costs/?hour=-1").status_code == 200


def test_no_round_costs_nothing(project, as_user, admin):
    assert "No round yet" in as_user(admin).get("/projects/letters/costs/").content.decode()
    assert svg([]).startswith("<svg")
