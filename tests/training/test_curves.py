"""What a round's page draws: whole curves where they are short, thinned ones that keep their extremes where not."""

from __future__ import annotations

import json
from importlib import import_module

import pytest
from django.apps import apps
from django.utils import timezone

from training.models import Metric, RunStatus, TrainingRound, TrainingRun

pytestmark = pytest.mark.django_db
URL = "/projects/letters/rounds/{}/metrics.{}"


@pytest.fixture
def run_with(project):
    """A finished run, in a round of its own, with a curve."""

    def make(values, *, method="ppo", name="objective/kl") -> TrainingRun:
        now = timezone.now()
        round = TrainingRound.objects.create(
            project=project, number=project.rounds.count() + 1, status=RunStatus.SUCCEEDED, finished_at=now
        )
        run = TrainingRun.objects.create(
            round=round, position=0, method=method, status=RunStatus.SUCCEEDED, started_at=now, finished_at=now
        )
        Metric.objects.bulk_create(
            [Metric(run=run, step=step, name=name, value=value) for step, value in enumerate(values, start=1)],
            batch_size=5000,
        )
        return run

    return make


def curve_of(client, query="") -> dict[str, list[float]]:
    response = client.get(URL.format(1, "json") + query)
    assert response.status_code == 200
    return response.json()["runs"][0]["metrics"]["objective/kl"]


def test_a_short_curve_is_given_as_it_was_logged(as_user, admin, run_with):
    run_with([0.5, 2.0, 1.0])
    assert curve_of(as_user(admin)) == {"steps": [1, 2, 3], "values": [0.5, 2.0, 1.0]}


def test_a_round_without_curves_says_so(as_user, admin, run_with):
    run_with([])
    run_with([1.0])
    pages = [as_user(admin).get(f"/projects/letters/rounds/{number}/curves/").content.decode() for number in (1, 2)]
    assert ["No curves" in page for page in pages] == [True, False]


def test_a_long_curve_is_thinned_and_no_spike_is_lost(as_user, admin, run_with):
    run_with([0.0, 10.0] * 1500)  # 3000 points: five together
    curve = curve_of(as_user(admin))
    assert curve["steps"][:3] == [5, 10, 15]
    assert len(curve["steps"]) == 600
    assert curve["values"][:2] == [4.0, 6.0]  # (0 + 10 + 0 + 10 + 0) / 5, then (10 + 0 + 10 + 0 + 10) / 5
    assert set(curve["low"]) == {0.0}
    assert set(curve["high"]) == {10.0}


def test_a_part_of_a_long_curve_shows_every_point(as_user, admin, run_with):
    run_with([float(step) for step in range(1, 3001)])
    assert curve_of(as_user(admin), "?first=10&last=12") == {"steps": [10, 11, 12], "values": [10.0, 11.0, 12.0]}
    assert len(curve_of(as_user(admin), "?first=many&last=-3")["steps"]) == 600  # no numbers, so no part


@pytest.mark.database
@pytest.mark.slow
def test_a_hundred_thousand_points_make_a_small_answer(as_user, admin, run_with):
    run_with(step % 97 / 97 for step in range(100_000))
    response = as_user(admin).get(URL.format(1, "json"))
    assert len(response.content) < 100_000
    assert len(json.loads(response.content)["runs"][0]["metrics"]["objective/kl"]["steps"]) <= 600


def test_every_point_can_be_had_as_csv(as_user, admin, run_with):
    run_with([0.5, 0.1])
    response = as_user(admin).get(URL.format(1, "csv"))
    assert response["Content-Disposition"] == 'attachment; filename="letters-round-1-metrics.csv"'
    assert b"".join(response.streaming_content).decode().splitlines() == [
        "run,method,name,step,value",
        "0,ppo,objective/kl,1,0.5",
        "0,ppo,objective/kl,2,0.1",
    ]


def test_rounds_of_the_same_method_can_be_laid_beside(as_user, admin, run_with):
    run_with([1.0, 2.0])
    run_with([1.0, 2.0], method="reward")
    run_with([1.0, 2.0])
    page = as_user(admin).get("/projects/letters/rounds/3/curves/").content.decode()
    assert URL.format(1, "json") in page
    assert URL.format(2, "json") not in page


@pytest.mark.parametrize(
    ("method", "old", "new"),
    [
        ("ppo", "ppo/policy_loss", "ppo/loss/policy"),
        ("ppo", "ppo/clipfrac", "ppo/policy/clipfrac"),
        ("ppo", "objective/reward_total", "objective/score_total"),
        ("ppo", "objective/entropy", "ppo/policy/entropy"),
        ("rloo", "objective/entropy", "rloo/policy/entropy"),
        ("ppo", "objective/kl", "objective/kl"),
    ],
)
def test_metrics_of_earlier_runs_get_the_names_of_new_ones(run_with, method: str, old: str, new: str):
    migration = import_module("training.migrations.0010_metric_names")
    run = run_with([0.25, 0.5], method=method, name=old)
    migration.rename(apps, None)
    assert list(run.metrics.order_by("step").values_list("name", "value")) == [(new, 0.25), (new, 0.5)]
    migration.rename_back(apps, None)
    assert set(run.metrics.values_list("name", flat=True)) == {old}
