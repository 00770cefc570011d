"""A reward model that does not pass its gate stops the round; an admin may let it go on. Through HTTP."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from training.actions import policies, rounds, runs
from training.actions.rounds import start_round
from training.models import Promotion, RoundStatus, TrainingRound, TrainingRun
from training.products.promotions import current_policy
from training.worker.loop import config_for, rows_for

pytestmark = pytest.mark.django_db

FAILS_ITS_GATE = """
run.checkpoint_path.mkdir()
run.finish({"accuracy": 0.5, "gate": {"passed": False, "reason": "it does not beat going by length"}})
"""
PASSES_ITS_GATE = FAILS_ITS_GATE.replace("False", "True")
PAGE, API = "/projects/letters/rounds/1/", "/api/v1/projects/letters/rounds/1/"


def states(round: TrainingRound) -> list[str]:
    round.refresh_from_db()
    return [round.status, *(run.status for run in round.runs.all())]


@pytest.fixture
def stopped(project, policy, ranked_task, make_worker) -> TrainingRound:
    started = start_round(project=project, methods=["reward", "ppo", "sample"], by=None)
    make_worker(reward=FAILS_ITS_GATE).run_until_idle()
    return started


def test_a_failed_gate_stops_what_would_follow(stopped, admin, as_user):
    assert states(stopped) == ["stopped", "succeeded", "queued", "queued"]
    assert stopped.reason == "Reward model: it does not beat going by length"
    assert stopped.finished_at is None
    assert runs.claim_run() is None
    page = as_user(admin).get(PAGE).content.decode()
    assert "Stopped at a gate" in page
    assert "it does not beat going by length" in page
    assert "Continue anyway" in page
    assert "Review gate" in as_user(admin).get("/projects/letters/").content.decode()


def test_an_admin_lets_it_go_on_and_is_remembered(stopped, admin, as_user, make_worker):
    page = as_user(admin).post(f"{PAGE}go-on/", follow=True).content.decode()
    assert "Round 1 continues past its quality gate." in page
    assert states(stopped) == ["running", "succeeded", "queued", "queued"]
    assert stopped.reason == ""
    reward = stopped.runs.get(method="reward")
    assert reward.gate_overridden_by == admin
    assert reward.gate_overridden_at <= timezone.now()
    assert "Overridden by alice" in page
    make_worker().run_until_idle()
    assert states(stopped) == ["succeeded"] * 4
    ppo = stopped.runs.get(method="ppo")
    assert ppo.directory.config()["inputs"]["reward_model"] == str(reward.directory.checkpoint_path)


def test_the_api_lets_it_go_on_once(stopped, admin, as_user):
    client = as_user(admin)
    told = client.post(f"{API}go-on/").json()
    assert (told["status"], told["runs"][0]["let_through_by"]) == ("running", "alice")
    again = client.post(f"{API}go-on/")
    assert again.status_code == 409
    assert "does not wait at a quality gate" in again.json()["detail"]


def test_nobody_else_opens_a_gate(stopped, admin, annotator, stranger, as_user):
    for address in (f"{PAGE}go-on/", f"{API}go-on/"):
        assert as_user(annotator).post(address).status_code == 403
        assert as_user(stranger).post(address).status_code == 404
    assert states(stopped)[0] == "stopped"
    assert stopped.runs.get(method="reward").gate_overridden_by is None


def test_a_stopped_round_does_not_hinder_another_one_but_cannot_go_on_beside_it(stopped, project, admin, as_user):
    client = as_user(admin)
    assert client.post("/projects/letters/rounds/new/", {"plan": "sample"}).status_code == 302
    page = client.post(f"{PAGE}go-on/", follow=True).content.decode()
    assert "Another round is active in this project." in page
    assert client.post(f"{API}go-on/").status_code == 409
    assert states(stopped)[0] == "stopped"
    assert stopped.runs.get(method="reward").gate_overridden_at is None


def test_a_stopped_round_can_be_cancelled(stopped, admin, as_user):
    as_user(admin).post(f"{PAGE}cancel/")
    assert states(stopped) == ["cancelled", "succeeded", "cancelled", "cancelled"]
    assert stopped.finished_at is not None
    assert as_user(admin).post(f"{API}go-on/").status_code == 409


def test_a_model_behind_a_closed_gate_teaches_nobody(stopped, project, admin, as_user, make_worker):
    client = as_user(admin)
    body = {"methods": ["ppo", "sample"]}
    refused = client.post("/api/v1/projects/letters/rounds/", body, content_type="application/json")
    assert "PPO needs a reward model that passed its gate" in refused.json()["detail"]
    later = start_round(project=project, methods=["reward", "ppo"], by=None)
    make_worker(reward=PASSES_ITS_GATE).run_until_idle()
    assert states(later) == ["succeeded"] * 3
    assert "previous" not in later.runs.get(method="reward").directory.config()["inputs"]


@pytest.mark.parametrize(
    ("methods", "chosen", "script"),
    [
        (["reward", "ppo"], {"reward": {"gate": "report"}}, FAILS_ITS_GATE),
        (["reward"], {}, FAILS_ITS_GATE),  # nothing would follow
        (["reward", "ppo"], {}, PASSES_ITS_GATE),
    ],
)
def test_a_gate_that_only_reports_or_has_nothing_behind_it_stops_nothing(
    project, policy, ranked_task, make_worker, methods, chosen, script
):
    started = start_round(project=project, methods=methods, settings=chosen, by=None)
    make_worker(reward=script).run_until_idle()
    assert set(states(started)) == {"succeeded"}


@pytest.mark.database
@pytest.mark.parametrize("status", [RoundStatus.STOPPED, RoundStatus.RUNNING])
def test_only_rounds_stop_at_gates_and_a_stopped_one_is_not_finished(project, status):
    round = TrainingRound.objects.create(project=project, number=1, status=RoundStatus.STOPPED)
    with pytest.raises(IntegrityError), transaction.atomic():
        TrainingRun.objects.create(round=round, position=0, method="reward", status="stopped")
    with pytest.raises(IntegrityError), transaction.atomic():
        TrainingRound.objects.filter(pk=round.pk).update(status=status, finished_at=timezone.now())


# --- the gate of a policy ----------------------------------------------------------------------------------------

NO_BETTER = """
run.checkpoint_path.mkdir()
run.finish({"gate": {"passed": False, "reason": "it is not surely better than the policy it started from"},
            "selected": {"step": 5, "reason": "the last one"}, "agreement":
            {"score_gain": 1.25, "judge_gain": 0.05, "correlation": 0.31}})
"""
UNCHANGED = """
run.finish({"gate": {"passed": False, "reason": "no step is better than the policy it started from"},
            "selected": {"step": 0, "reason": "best by the judge"}})
"""


@pytest.fixture
def at_policy_gate(project, policy, ranked_task, make_worker) -> TrainingRound:
    started = start_round(project=project, methods=["dpo", "sample"], settings={"dpo": {"gate": "stop"}}, by=None)
    make_worker(dpo=NO_BETTER).run_until_idle()
    return started


def test_a_policy_that_is_no_better_is_not_put_into_use(at_policy_gate, project, policy, admin, as_user):
    assert states(at_policy_gate) == ["stopped", "succeeded", "queued"]
    assert at_policy_gate.runs.get(method="dpo").policy == project.policies.get(number=1)
    assert current_policy(project) == policy
    page = " ".join(as_user(admin).get(PAGE).content.decode().split())
    assert "Quality gate failed" in page
    assert "Not activated: the version before it stays active" in page
    assert "Score gain 1.25; gain by the held-out judge, which nothing was trained against, 0.05" in page
    assert "Correlation over the responses: 0.31" in page


def test_an_admin_puts_it_into_use_all_the_same_and_is_remembered(at_policy_gate, project, admin, as_user, make_worker):
    as_user(admin).post(f"{PAGE}go-on/")
    promotion = Promotion.objects.get()
    assert (promotion.policy.number, promotion.by) == (1, admin)
    assert promotion.why == "alice let round 1 go on, although v1 did not pass its gate."
    make_worker().run_until_idle()
    assert states(at_policy_gate) == ["succeeded"] * 3
    assert at_policy_gate.runs.get(method="sample").directory.config()["inputs"]["versions"] == {"policy": 1}


def test_a_gate_that_only_reports_goes_on_with_the_version_in_use(project, policy, ranked_task, make_worker):
    started = start_round(project=project, methods=["dpo", "sample"], by=None)
    make_worker(dpo=NO_BETTER).run_until_idle()
    assert states(started) == ["succeeded"] * 3
    assert not Promotion.objects.exists()
    assert started.runs.get(method="sample").directory.config()["inputs"]["versions"] == {"policy": 0}


def test_where_nothing_is_better_there_is_no_new_version(project, policy, ranked_task, make_worker, admin, as_user):
    started = start_round(project=project, methods=["dpo"], by=None)
    make_worker(dpo=UNCHANGED).run_until_idle()
    assert states(started) == ["succeeded", "succeeded"]
    assert project.policies.count() == 1
    page = " ".join(as_user(admin).get(PAGE).content.decode().split())
    assert "No new policy version: no step was better than the version that it started from" in page


def test_the_parent_is_the_version_that_the_run_started_from(project, policy, ranked_task, make_worker, admin):
    """v1 is in use as the run starts; an admin goes back to v0 before it ends."""
    start_round(project=project, methods=["dpo"], by=None)
    make_worker().run_until_idle()
    ranked_task()
    started = start_round(project=project, methods=["dpo"], by=None)
    run = runs.claim_run()
    run.directory.prepare(config=config_for(run), rows=rows_for(run))
    runs.put_back(run=run)
    rounds.pause_round(round=started, by=admin)
    policies.promote(policy=policy, by=admin, why="Back.")
    rounds.resume_round(round=started)
    make_worker().run_until_idle()
    assert str(project.policies.get(number=2).parent) == "v1"
