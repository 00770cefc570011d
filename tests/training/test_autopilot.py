"""The loop on autopilot: what it decides, and the rounds that start because of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from annotation.actions import alarms
from annotation.models import Assignment, SeatStatus
from training.actions import autopilot
from training.actions.autopilot import Decision, Facts, decide, look, queue_hours
from training.actions.rounds import start_round
from training.models import Autopilot, RunStatus, TrainingRound

pytestmark = [pytest.mark.django_db, pytest.mark.database]

CIRCLE = ("reward", "ppo", "sample")


@pytest.fixture
def pilot(project, policy, admin) -> Autopilot:
    return Autopilot.objects.create(project=project, enabled=True, every_judgments=2, set_by=admin)


def later(minutes: float):
    return timezone.now() + timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("facts", "methods", "said"),
    [
        (Facts(0, None, 0.0), (), "Waits for 2 more annotations or for a new annotation."),
        (Facts(2, 0.1, 0.0), CIRCLE, "2 new annotations"),
        (Facts(1, 6.9, 0.0), (), "0.1 more days"),
        (Facts(1, 7.0, 0.0), CIRCLE, "The last one was 7.0 days ago, and 1 new annotations."),
        (Facts(1, None, 0.0), CIRCLE, "No training round yet"),
        (Facts(0, 30.0, 0.0), (), "Waits for 2 more annotations or for a new annotation."),
        (Facts(9, 9.0, 8.1), ("reward", "ppo"), "8.1 hours of work are in the queue (limit 8)"),
        (Facts(9, 9.0, 8.0), CIRCLE, "9 new annotations"),
        (Facts(9, 9.0, 0.0, held_up="Waits: round 1 runs."), (), "Waits: round 1 runs."),
    ],
)
def test_what_it_decides(facts, methods, said):
    decision = decide(Autopilot(every_judgments=2, every_days=7), facts)
    assert decision.methods == methods
    assert said in decision.why


def test_sampling_that_was_left_out_is_made_up_for_once_the_queue_has_room():
    pilot = Autopilot(every_judgments=5, owes_sampling=True)
    assert decide(pilot, Facts(0, 1.0, 7.9)).methods == ("sample",)
    assert decide(pilot, Facts(0, 1.0, 8.1)) == Decision((), "Waits for 5 more annotations.")


def test_judgments_start_a_round_and_the_next_one_waits_for_new_ones(pilot, project, ranked_task, make_worker):
    assert look() == []
    pilot.refresh_from_db()
    assert pilot.said == "Waits for 1 more annotations."
    ranked_task()
    (round,) = look(later(1))
    assert [run.method for run in round.runs.all()] == list(CIRCLE)
    assert (round.started_by, round.autopilot_reason) == (
        pilot.set_by,
        "2 new annotations since the last training round.",
    )
    assert look(later(2)) == []
    pilot.refresh_from_db()
    assert pilot.said == "Waits: round 1 runs."
    make_worker().run_until_idle()
    assert look(later(3)) == []
    pilot.refresh_from_db()
    assert pilot.said == "Waits for 2 more annotations."


@pytest.mark.parametrize("cause", [{"every_judgments": 2}, {"every_judgments": 0, "every_days": 1}])
def test_a_plan_that_freezes_nothing_is_not_started_twice_by_the_same_judgments(
    pilot, project, ranked_task, make_worker, cause
):
    Autopilot.objects.update(plan="sample", **cause)
    ranked_task()
    (round,) = look(later(1))
    assert [run.method for run in round.runs.all()] == ["sample"]
    make_worker().run_until_idle()
    assert look(later(2)) == []
    assert Autopilot.objects.get().said.startswith("Waits ")


def test_a_worker_looks_by_itself(pilot, ranked_task, make_worker):
    ranked_task()
    make_worker().run_until_idle()
    assert TrainingRound.objects.get().status == RunStatus.SUCCEEDED


def test_nothing_is_sampled_while_the_queue_is_full(pilot, project, ranked_task, open_ranking_task, make_worker):
    ranked_task()
    for _ in range(3):
        open_ranking_task()
    # Two judgments of 0.9 s in the past; three seats wait: 2.7 s.
    assert queue_hours(project) == pytest.approx(2.7 / 3600)
    Autopilot.objects.update(max_queue_hours=2.6 / 3600)
    (round,) = look()
    assert [run.method for run in round.runs.all()] == ["reward", "ppo"]
    make_worker().run_until_idle()
    assert look(later(1)) == []
    Assignment.objects.filter(status=SeatStatus.EMPTY).delete()
    (round,) = look(later(2))
    assert [run.method for run in round.runs.all()] == ["sample"]
    make_worker().run_until_idle()
    assert not Autopilot.objects.get().owes_sampling


def test_an_alarm_a_failure_and_a_person_hold_it_up(pilot, project, ranked_task, annotator, make_worker):
    ranked_task()
    alarm = alarms.raise_alarm(project=project, note="Only hearts.", by=annotator)
    assert look() == []
    alarms.settle(alarm=alarm, by=annotator)
    (first,) = look(later(1))
    make_worker(reward="sys.exit(3)").run_until_idle()
    first.refresh_from_db()
    assert first.status == RunStatus.FAILED
    ranked_task()
    ranked_task()
    assert look(later(2)) == []
    pilot.refresh_from_db()
    assert "round 1 failed" in pilot.said
    start_round(project=project, methods=["sample"], by=None)
    make_worker().run_until_idle()
    (third,) = look(later(3))
    assert third.number == 3


def test_what_cannot_start_is_said_and_nothing_breaks(pilot, project, ranked_task):
    ranked_task()
    Autopilot.objects.update(plan="ppo,sample")
    assert look() == []
    pilot.refresh_from_db()
    assert "A round is due, but cannot start: PPO needs a reward model" in pilot.said


def test_two_workers_that_look_at_once_start_one_round(pilot, ranked_task):
    ranked_task()
    now = later(1)
    assert len(look(now)) == 1
    assert look(now) == []


def test_the_page_sets_it(project, policy, as_user, admin, ranked_task):
    page, address = as_user(admin), "/projects/letters/rounds/autopilot/"
    assert "Off." in page.get(address).content.decode()
    sent = {
        "enabled": "on",
        "every_judgments": "0",
        "every_days": "0",
        "plan": "dpo,sample",
        "preset": "quick",
        "max_queue_hours": "4",
    }
    refused = page.post(address, sent)
    assert refused.status_code == 422
    assert "otherwise no round starts" in refused.content.decode()
    assert page.post(address, {**sent, "every_judgments": "1"}).status_code == 302
    (round,) = look(later(1))
    assert [run.method for run in round.runs.all()] == ["dpo", "sample"]
    assert round.runs.get(method="dpo").config["epochs"] == 1  # the quick preset's
    assert f"Round {round.number}" in page.get(address).content.decode()
    assert "Autopilot: on" in page.get("/projects/letters/rounds/").content.decode()


def test_the_api_sets_it(project, policy, as_user, admin):
    client, address = as_user(admin), "/api/v1/projects/letters/autopilot/"
    assert client.get(address).json()["enabled"] is False
    changed = client.post(address, {"enabled": True, "every_days": 7}, content_type="application/json").json()
    assert (changed["enabled"], changed["every_days"], changed["every_judgments"]) == (True, 7, 100)
    refused = client.post(address, {"plan": "make coffee"}, content_type="application/json")
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["plan"])


def test_the_database_refuses_one_without_a_cause(project):
    with pytest.raises(IntegrityError), transaction.atomic():
        Autopilot.objects.create(project=project, enabled=True, every_judgments=0, every_days=0)


def test_facts_count_what_was_judged_after_the_last_snapshot(pilot, project, ranked_task, make_worker):
    start_round(project=project, methods=["reward"], by=None)
    make_worker().run_until_idle()
    ranked_task()
    facts = autopilot.facts_of(pilot, later(60 * 24))
    assert facts.new_judgments == 1
    assert facts.days == pytest.approx(1, abs=0.01)


def test_it_takes_the_settings_of_a_round(pilot, project, ranked_task, as_user, admin, make_worker):
    shares = {"sample": {"temperature": 0.5, "max_new_tokens": 7}}
    liked = start_round(project=project, methods=["sample"], settings=shares, by=None)
    make_worker().run_until_idle()
    client, address = as_user(admin), "/api/v1/projects/letters/autopilot/"
    assert client.get(address).json()["like"] is None
    refused = client.post(address, {"like": 7}, content_type="application/json")
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["like"])
    sent = {"like": liked.number, "every_judgments": 1, "preset": "quick"}
    assert client.post(address, sent, content_type="application/json").json()["like"] == liked.number
    assert "Round 1: Sampling" in client.get("/projects/letters/rounds/autopilot/").content.decode()
    (round,) = look(later(1))
    sample = round.runs.get(method="sample").config
    assert (sample["temperature"], sample["max_new_tokens"], sample["prompts"]) == (0.5, 7, 0)
    assert round.runs.get(method="ppo").config["episodes"] == 128  # the quick preset's: that round had no PPO


def test_a_refused_form_does_not_say_that_it_is_on(project, policy, alice):
    address = "/projects/letters/rounds/autopilot/"
    asked = {"enabled": "on", "every_judgments": "0", "every_days": "0", "plan": "dpo,sample", "preset": "quick"}
    page = alice.post(address, {**asked, "max_queue_hours": "8"})
    assert page.status_code == 422
    assert "<strong>Off.</strong>" in page.content.decode()
    assert "<strong>On.</strong>" not in page.content.decode()
