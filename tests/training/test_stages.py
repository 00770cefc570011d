"""The stages of a round: what each does or waits for, how long it still takes, and the tabs of its page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from training.actions import runs
from training.models import Metric, RoundStatus, RunStatus, TrainingRound, TrainingRun
from training.reports.stages import stages_of
from training.rundir import EVALUATING, TRAINING, RunDir

pytestmark = [pytest.mark.django_db, pytest.mark.database]
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
PAGE = "/projects/letters/rounds/1/"


@pytest.fixture
def running(project) -> TrainingRound:
    """A round whose reward model is done and whose PPO began at noon; responses are generated after it."""
    round = TrainingRound.objects.create(project=project, number=1, status=RoundStatus.RUNNING)
    done = {"status": RunStatus.SUCCEEDED, "started_at": NOON - timedelta(minutes=5), "finished_at": NOON}
    TrainingRun.objects.create(round=round, position=0, method="reward", **done)
    TrainingRun.objects.create(
        round=round,
        position=1,
        method="ppo",
        status=RunStatus.RUNNING,
        attempt=1,
        started_at=NOON,
        phase=TRAINING,
        progress_done=4,
        progress_total=10,
        progress_unit="updates",
    )
    TrainingRun.objects.create(round=round, position=2, method="sample")
    return round


def stages(round: TrainingRound, seconds: float):
    return stages_of(round, list(round.runs.all()), NOON + timedelta(seconds=seconds))


def test_a_stage_that_waits_is_not_one_that_runs(running):
    reward, ppo, sample = stages(running, 90)
    assert (reward.state, reward.elapsed) == ("succeeded", 300)
    assert (ppo.state, ppo.doing, ppo.elapsed, ppo.percent) == ("running", "Training", 90, 40)
    assert (sample.state, sample.doing, sample.elapsed) == ("waiting", "Starts after: PPO", None)


def test_time_left_is_the_measured_pace_and_unknown_before_there_is_one(running):
    assert stages(running, 90)[1].seconds_left is None
    # Six of ten updates are left at 20 seconds each; the last one ended at 12:01:20.
    TrainingRun.objects.filter(method="ppo").update(seconds_each=20, progressed_at=NOON + timedelta(seconds=80))
    assert stages(running, 80)[1].seconds_left == 120
    assert stages(running, 90)[1].seconds_left == 110
    assert stages(running, 500)[1].seconds_left is None  # longer than at the measured pace


def test_after_the_last_step_the_bar_is_not_full_but_says_what_is_done(running, admin, as_user):
    TrainingRun.objects.filter(method="ppo").update(phase=EVALUATING, progress_done=10)
    ppo = stages(running, 200)[1]
    assert (ppo.doing, ppo.percent, ppo.seconds_left, ppo.elapsed) == ("Evaluating", None, None, 200)
    page = as_user(admin).get(PAGE).content.decode()
    assert "Evaluating" in page
    assert "10 of 10" not in page


def test_a_paused_round_has_no_running_stage(running, admin, as_user):
    TrainingRound.objects.update(status=RoundStatus.PAUSED)
    running.refresh_from_db()
    assert [stage.label for stage in stages(running, 90)] == ["Succeeded", "Pausing", "Paused"]
    TrainingRun.objects.filter(method="ppo").update(status=RunStatus.QUEUED)
    assert [stage.label for stage in stages(running, 90)] == ["Succeeded", "Paused", "Paused"]
    assert '<span class="tag running">' not in as_user(admin).get(PAGE).content.decode()


def test_the_page_says_that_it_is_estimating_and_then_how_long(running, admin, as_user):
    client = as_user(admin)
    assert "Training · 4 of 10 updates" in client.get(PAGE).content.decode()
    assert "estimating time left…" in client.get(PAGE).content.decode()
    TrainingRun.objects.filter(method="ppo").update(seconds_each=2000, progressed_at=timezone.now())
    page = client.get(PAGE).content.decode()
    assert "left in this phase" in page
    assert "estimating" not in page


def test_the_pace_is_that_of_this_attempt_and_smooth(running, monkeypatch):
    run = running.runs.get(method="ppo")

    def at(seconds: float, done: int) -> tuple[float | None, datetime]:
        monkeypatch.setattr(runs.clock, "now", lambda: NOON + timedelta(seconds=seconds))
        runs.heartbeat(run=run, progress={"done": done, "total": 10, "unit": "updates"}, phase=TRAINING)
        stored = TrainingRun.objects.get(pk=run.pk)
        return stored.seconds_each, stored.progressed_at

    # What an earlier attempt did is in the first figure, and no pace.
    assert at(0, 2) == (None, NOON)
    assert at(10, 4) == (5.0, NOON + timedelta(seconds=10))
    assert at(12, 4) == (5.0, NOON + timedelta(seconds=10))
    each, progressed = at(30, 5)  # 20 seconds for one: 5 + 0.3 · 15
    assert each == pytest.approx(9.5)
    assert progressed == NOON + timedelta(seconds=30)


def test_a_recipe_says_its_phase_and_its_progress_stays(tmp_path):
    run = RunDir(tmp_path)
    assert run.phase() == ""
    run.report_progress(1, 2, "steps")
    run.report_phase(EVALUATING)
    assert (run.phase(), run.progress()) == ("Evaluating", {"done": 1, "total": 2, "unit": "steps"})


def test_of_several_processes_the_first_says_the_phase(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    RunDir(tmp_path).report_phase(EVALUATING)
    assert RunDir(tmp_path).phase() == ""


@pytest.mark.parametrize(
    ("tab", "words"),
    [
        ("", "Export training script"),
        ("curves/", "Download CSV"),
        ("samples/", "No samples"),
        ("slices/", "No slices"),
        ("log/", "No log"),
    ],
)
def test_each_tab_has_an_address_and_works_without_script(running, admin, as_user, tab, words):
    page = as_user(admin).get(f"{PAGE}{tab}").content.decode()
    assert words in page
    assert page.count('aria-current="page"') == 2  # the tab, and the page in the navigation
    assert f'<a href="{PAGE}{tab}" aria-current="page">' in page


def test_what_htmx_fetches_is_the_state_and_the_summary(running, admin, as_user):
    part = as_user(admin).get(PAGE, headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith('<div id="progress"')
    assert 'id="shown" class="stack" hx-swap-oob="true"' in part
    assert 'id="stage-1"' in part
    assert 'id="curves"' not in part
    part = as_user(admin).get(f"{PAGE}samples/", headers={"HX-Request": "true"}).content.decode()
    assert 'id="shown"' not in part


def test_a_round_takes_as_many_queries_for_many_points_and_rounds(running, admin, as_user, project):
    client = as_user(admin)

    def queries(address: str) -> int:
        with CaptureQueriesContext(connection) as caught:
            assert client.get(address).status_code == 200
        return len(caught)

    run = running.runs.get(method="ppo")
    Metric.objects.create(run=run, step=1, name="objective/kl", value=1)
    before = {tab: queries(f"{PAGE}{tab}") for tab in ("", "curves/", "samples/", "slices/", "log/")}
    Metric.objects.bulk_create(
        Metric(run=run, step=step, name=f"metric/{number}", value=1) for step in range(50) for number in range(20)
    )
    for number in range(2, 12):
        TrainingRound.objects.create(project=project, number=number, status=RoundStatus.SUCCEEDED, finished_at=NOON)
    assert {tab: queries(f"{PAGE}{tab}") for tab in before} == before
