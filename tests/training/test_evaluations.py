"""Evaluation by people: from the form through the queue to the win rate, and the figures by hand."""

from __future__ import annotations

import itertools
import re
import uuid
from collections import Counter
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from annotation.actions import assignments, judgments, queue
from annotation.actions.evaluations import open_evaluation
from annotation.errors import NotPossible
from annotation.judged.rows import rankings_that_count
from annotation.models import (
    Assignment,
    Completion,
    Evaluation,
    Membership,
    PolicyVersion,
    Purpose,
    Role,
    SeatStatus,
    Source,
    Split,
    Task,
)
from annotation.quality.comparisons import EvaluatedPair, evaluation_report, ladder, length_controlled, win_rate
from training.actions.evaluations import start_evaluation
from training.actions.rounds import start_round
from training.models import RunStatus, TrainingRound
from training.reports.ladder import svg

pytestmark = pytest.mark.django_db

ANSWERS = """
inputs = run.config()["inputs"]
for place, side in enumerate(side for side in ("version", "opponent") if inputs.get(side)):
    for row in rows:
        text = "Both the same." if row["prompt_id"] == rows[0]["prompt_id"] else f"{side} of {row['prompt_id']}"
        run.log_sample({"step": place + 1, "prompt_id": row["prompt_id"], "index": place, "side": side, "text": text,
                        "tokens": 4, "logprob": -3.0, "finished": True})
run.finish({"prompts": len(rows), "refused": [{"prompt_id": 0, "reason": "prompt longer than 9 tokens"}]})
"""


@pytest.fixture
def newer(project, policy) -> PolicyVersion:
    return PolicyVersion.objects.create(project=project, number=1, checkpoint="/models/one", parent=policy)


@pytest.fixture
def eval_prompts(make_prompt):
    make_prompt("To learn from.", split=Split.TRAIN)
    return [make_prompt(f"Say {n}.", split=Split.EVAL, category="odd" if n % 2 else "even") for n in range(6)]


@pytest.fixture
def evaluation(project, newer, policy, eval_prompts, make_worker) -> Evaluation:
    """Six prompts kept for evaluation; both sides answer the first alike."""
    start_evaluation(project=project, by=None, version=newer, opponent=policy, settings={"seats": 2})
    make_worker(evaluate=ANSWERS).run_until_idle()
    return Evaluation.objects.get()


def judge(project, by, verdict) -> Assignment | None:
    """The next task; `verdict` says from the two texts in the order shown which of them is better, or None: a tie."""
    seat = queue.claim_next(project=project, by=by)
    if seat is None:
        return None
    texts = dict(Completion.objects.filter(pk__in=seat.shown_order).values_list("pk", "text"))
    better = verdict([texts[pk] for pk in seat.shown_order])
    first, second = seat.shown_order
    tiers = [[first, second]] if better is None else [[first], [second]] if better == 0 else [[second], [first]]
    answer = {"tiers": tiers, "unacceptable": [], "strength": 0 if better is None else 1, "rationale": ""}
    judgments.submit(assignment=seat, client_uuid=uuid.uuid4(), answer=answer, active_ms=900)
    return seat


def for_the_version(texts) -> int:
    return next(place for place, text in enumerate(texts) if text.startswith("version"))


def test_answers_of_both_sides_come_blind_into_the_queue(evaluation, project, annotator, eval_prompts):
    assert str(evaluation) == "v1 against v0"
    found = evaluation.comparisons.all()
    assert {each.prompt for each in found} == set(eval_prompts)
    assert [each.identical for each in found] == [True] + [False] * 5
    assert evaluation.left_out == {"prompt longer than 9 tokens": 1}
    tasks = Task.objects.filter(purpose=Purpose.EVALUATION)
    assert (tasks.count(), set(tasks.values_list("seats", flat=True))) == (5, {2})
    authors = {(each.answer.policy.number, each.other.policy.number) for each in found}
    assert authors == {(1, 0)}


def test_each_side_comes_first_as_often_and_the_second_seat_sees_it_swapped(evaluation, project, annotator, admin):
    assert sorted(evaluation.comparisons.values_list("version_first", flat=True)) == [False] * 3 + [True] * 3
    shown = {}
    for person in (annotator, admin):
        while seat := judge(project, person, for_the_version):
            shown.setdefault(seat.task_id, []).append(tuple(seat.shown_order))
    assert len(shown) == 5
    for first, second in shown.values():
        assert first == second[::-1]


def test_the_ladder_heads_the_project_page_for_those_who_do_not_judge_blind(
    evaluation, project, annotator, admin, as_user
):
    address = "/projects/letters/"
    assert "Human preference by version" not in as_user(admin).get(address).content.decode()
    while judge(project, annotator, for_the_version):
        pass
    assert "Elo points: v1 +" in as_user(admin).get(address).content.decode()
    assert "Elo points" not in as_user(annotator).get(address).content.decode()


def test_an_admin_ends_it_early_and_what_is_judged_stays(evaluation, project, annotator, admin, as_user):
    judge(project, annotator, for_the_version)
    held = queue.claim_next(project=project, by=annotator)
    client = as_user(admin)
    assert "Stop collecting" in client.get(evaluation.get_absolute_url()).content.decode()
    # Five tasks of two seats: one is judged, one in work.
    page = client.post(f"{evaluation.get_absolute_url()}close/", follow=True).content.decode()
    assert "8 open annotations withdrawn" in page
    assert judge(project, admin, for_the_version) is None
    first, second = held.shown_order
    answer = {"tiers": [[first], [second]], "unacceptable": [], "strength": 1, "rationale": ""}
    judgments.submit(assignment=held, client_uuid=uuid.uuid4(), answer=answer, active_ms=900)
    shown = client.get("/api/v1/projects/letters/evaluations/1/").json()
    assert shown["report"]["judged"] == 2 + 1  # and the prompt that both answered alike
    assert "Stop collecting" not in client.get(evaluation.get_absolute_url()).content.decode()
    assert client.post("/api/v1/projects/letters/evaluations/1/close/").json() == {"closed": 0}


def test_it_comes_before_other_work(evaluation, open_ranking_task, project, annotator):
    open_ranking_task(priority=99)
    assert queue.claim_next(project=project, by=annotator).task.purpose == Purpose.EVALUATION


def test_a_lapsed_and_a_skipped_seat_go_to_somebody_else_in_the_same_order(evaluation, project, annotator, admin):
    seat = queue.claim_next(project=project, by=annotator)
    assignments.skip(assignment=seat, reason="Not my field.")
    again = []
    while found := judge(project, admin, for_the_version):
        again.append(found)
    place = (seat.task_id, seat.seat_number)
    (same,) = [found for found in again if (found.task_id, found.seat_number) == place] or [None]
    if same is not None:
        assert same.shown_order == seat.shown_order
    assert Assignment.objects.filter(task=seat.task, status=SeatStatus.EMPTY).count() == 1


def test_from_the_form_to_the_win_rate(project, newer, policy, eval_prompts, make_worker, as_user, admin, annotator):
    page = as_user(admin)
    sent = {"version": "1", "opponent": "0", "prompts": "0", "temperature": "0.7"}
    assert page.post("/projects/letters/evaluation/", sent).status_code == 302
    assert "generates the responses" in page.get("/projects/letters/evaluation/").content.decode()
    make_worker(evaluate=ANSWERS).run_until_idle()
    assert Completion.objects.filter(policy=newer).first().sampling["temperature"] == 0.7
    for verdict in (for_the_version, for_the_version, lambda texts: 1 - for_the_version(texts), lambda texts: None):
        assert judge(project, annotator, verdict) is not None
    # Two won, one lost, one tied, and the identical answers tied: (1 + 1 + 0 + 1/2 + 1/2) / 5.
    report = page.get("/api/v1/projects/letters/evaluations/1/").json()
    assert report["report"]["win_rate"]["value"] == pytest.approx(0.6)
    assert report["report"]["judgments"] == {"wins": 2, "ties": 1, "losses": 1}
    assert report["open_seats"] == 1
    shown = re.sub(r"<[^>]+>|\s+", " ", unescape(page.get("/projects/letters/evaluation/1/").content.decode()))
    assert "60.0%" in shown
    assert "5 of 6 comparisons annotated; 1 annotation pending" in re.sub(r" +", " ", shown)
    assert "version of" in shown  # an admin sees whose answer is whose


def test_a_reviewer_sees_whose_answer_is_whose_once_everybody_has_judged(
    evaluation, project, annotator, as_user, admin
):
    reviewer = User.objects.create_user("rita")
    Membership.objects.create(project=project, user=reviewer, role=Role.REVIEWER)
    page = "/projects/letters/evaluation/1/"
    assert "once all comparisons are submitted" in as_user(reviewer).get(page).content.decode()
    assert as_user(reviewer).get("/api/v1/projects/letters/evaluations/1/").json()["comparisons"] == []
    for person in (annotator, admin):
        while judge(project, person, for_the_version):
            pass
    shown = as_user(reviewer).get(page).content.decode()
    assert "once all comparisons are submitted" not in shown
    assert "version of" in shown
    assert len(as_user(reviewer).get("/api/v1/projects/letters/evaluations/1/").json()["comparisons"]) == 6


def told(client: Client) -> dict[str, Any]:
    """Return every figure of comparisons that pages and API show."""
    pages = {
        name: re.findall(r"\d+ ?%|\bElo\b[^<]*|[+−]\d+", client.get(f"/projects/letters/{name}").content.decode())
        for name in ("", "evaluation/", "evaluation/1/", "policies/", "policies/1/", "costs/", "costs.csv")
    }
    api = "/api/v1/projects/letters/"
    costs = [each["win_rate"] for each in client.get(f"{api}costs/").json()["rounds"]]
    report = client.get(f"{api}evaluations/1/").json()["report"]
    return pages | {"ladder": client.get(f"{api}evaluations/ladder/").json(), "costs": costs, "report": report}


def test_a_reviewer_learns_no_verdict_of_comparisons_that_they_may_yet_judge(
    evaluation, project, annotator, reviewer, admin, as_user
):
    rita, alice = as_user(reviewer), as_user(admin)
    before, all_before = told(rita), told(alice)
    while judge(project, annotator, for_the_version):
        pass
    assert told(rita) == before
    assert told(alice)["report"] != all_before["report"]
    while judge(project, reviewer, for_the_version):
        pass
    assert told(rita)["report"]["win_rate"] == before["report"]["win_rate"]  # it may be taken back
    Assignment.objects.update(finished_at=timezone.now() - timedelta(minutes=11))
    assert told(rita)["report"] == told(alice)["report"] != all_before["report"]


def test_whoever_judges_never_learns_whose_answer_it_is(evaluation, project, annotator, as_user):
    seat = queue.claim_next(project=project, by=annotator)
    page = as_user(annotator).get(seat.get_absolute_url()).content.decode()
    for giveaway in ("valuation", "v1 against", "/models/", "policy"):
        assert giveaway not in page


def test_judgments_of_an_evaluation_train_nothing(evaluation, project, annotator):
    judge(project, annotator, for_the_version)
    assert not rankings_that_count(project).exists()
    with pytest.raises(NotPossible, match="There are no rankings"):
        start_round(project=project, methods=["reward"], by=None)


def test_one_key_is_asked_whatever_the_project_asks_for(evaluation, project, annotator, as_user):
    project.ranking_form, project.criteria, project.criteria_required = "best", ["Kind"], True
    project.save()
    seat = queue.claim_next(project=project, by=annotator)
    address = f"/api/v1/projects/letters/assignments/{seat.key}/submit/"
    tie = {"tiers": [[1, 2]], "strength": 0, "client_uuid": str(uuid.uuid4())}
    stored = as_user(annotator).post(address, tie, content_type="application/json")
    assert stored.status_code == 200, stored.json()


def test_against_reference_answers_only_prompts_that_have_one_are_asked(
    project, newer, policy, eval_prompts, annotator, make_worker
):
    with pytest.raises(NotPossible, match="No held-out prompt has a reference response"):
        start_evaluation(project=project, by=None, version=newer, opponent=None)
    text = {"source": Source.PERSON, "author": annotator}
    Completion.objects.create(prompt=eval_prompts[1], text="By hand.", **text)
    start_evaluation(project=project, by=None, version=newer, opponent=None)
    make_worker(evaluate=ANSWERS).run_until_idle()
    (only,) = Evaluation.objects.get().comparisons.all()
    assert (only.prompt, only.other.text, only.identical) == (eval_prompts[1], "By hand.", False)
    # Whoever wrote it is not asked about it.
    assert queue.claim_next(project=project, by=annotator) is None


def test_a_round_compares_what_it_made_with_what_it_began_with(project, policy, ranked_task, eval_prompts, make_worker):
    start_round(project=project, methods=["sft", "reward", "ppo", "evaluate", "sample"], by=None)
    make_worker(evaluate=ANSWERS).run_until_idle()
    assert TrainingRound.objects.get().status == RunStatus.SUCCEEDED
    found = Evaluation.objects.get()
    assert (found.version.number, found.opponent.number) == (2, 0)


def test_what_cannot_be_compared_is_refused_in_words(project, newer, policy, as_user, admin, make_prompt):
    make_prompt("To learn from.", split=Split.TRAIN)
    client, address = as_user(admin), "/api/v1/projects/letters/evaluations/"

    def refused(**body):
        response = client.post(address, body, content_type="application/json")
        return response.status_code, response.json()

    status, body = refused(version=1, opponent=1)
    assert (status, body["errors"]["opponent"]) == (400, ["v1 cannot be compared with itself."])
    status, body = refused(version=7, opponent=0)
    assert (status, list(body["errors"])) == (400, ["version"])
    status, body = refused(version=1, opponent=0)
    assert status == 409
    assert "No prompt is held out" in body["detail"]
    make_prompt("Kept.", split=Split.EVAL)
    with pytest.raises(NotPossible, match="put a method that makes a policy before it"):
        start_round(project=project, methods=["evaluate"], by=None)


@pytest.mark.database
def test_the_database_lets_no_version_oppose_itself(project, policy):
    with pytest.raises(IntegrityError), transaction.atomic():
        Evaluation.objects.create(project=project, number=1, version=policy, opponent=policy, origin="run-1")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [("I was created by Acme Labs.", "a response names its model"), (" \n", "a response is empty")],
)
def test_an_answer_that_cannot_be_shown_blind_takes_no_part(project, newer, policy, eval_prompts, answer, reason):
    pair = [
        Completion.objects.create(prompt=eval_prompts[0], source=Source.POLICY, policy=author, text=text)
        for author, text in ((newer, answer), (policy, "Hello."))
    ]
    found = open_evaluation(
        version=newer,
        opponent=policy,
        pairs=[tuple(pair)],
        seats=1,
        seed=0,
        origin="run-1",
        sampling={},
        left_out=Counter(),
        by=None,
    )
    found.refresh_from_db()
    assert (found.comparisons.count(), found.left_out) == (0, {reason: 1})


def compared(
    *outcomes: float, lengths: tuple[int, int] = (5, 5), version: str = "v1", opponent: str = "v0"
) -> EvaluatedPair:
    return EvaluatedPair(1, "?", "", "a" * lengths[0], "b" * lengths[1], version, opponent, False, list(outcomes), [])


def test_a_comparison_counts_once_however_many_judged_it():
    found = [compared(1, 1, 1, 1), compared(0), compared(0.5), compared()]
    assert win_rate(found).value == pytest.approx(0.5)  # (1 + 0 + 1/2) / 3
    assert win_rate(found).n == 3
    assert win_rate([]).value is None


def test_length_taken_out_is_the_mean_of_both_strata():
    longer = [compared(1, lengths=(9, 5))] * 15 + [compared(0, lengths=(9, 5))] * 5  # 75 %
    shorter = [compared(1, lengths=(4, 5))] * 2 + [compared(0, lengths=(4, 5))] * 6  # 25 %
    figure = length_controlled(longer + shorter)
    assert figure.value == pytest.approx(0.5)
    assert win_rate(longer + shorter).value == pytest.approx(17 / 28)
    # Sample variances 0.75 · 0.25 · 20/19 / 20 and 0.25 · 0.75 · 8/7 / 8: error √(0.009868 + 0.026786) / 2 = 0.09573.
    assert figure.high - figure.value == pytest.approx(1.96 * 0.09573, abs=1e-3)
    assert "too few comparisons" in length_controlled(longer).reason


def test_going_by_the_place_and_agreement():
    first = EvaluatedPair(1, "?", "odd", "a", "b", "v1", "v0", False, [1.0, 0.0], [True, False])
    second = EvaluatedPair(1, "?", "", "a", "b", "v1", "v0", False, [1.0, 1.0], [True, True])
    report = evaluation_report([first, second])
    assert report["shown_first_wins"].value == 1.0
    assert report["agreement"].value == 0.5
    assert {name: figure.value for name, figure in report["by_category"].items()} == {"no category": 1.0, "odd": 0.5}


def test_the_ladder_has_everybody_in_order_with_odds_as_they_were_seen():
    found = [compared(1)] * 300 + [compared(0)] * 100
    found += [compared(1, version="v2", opponent="v1")] * 300 + [compared(0, version="v2", opponent="v1")] * 100
    found += [compared(0, version="v2", opponent="people")] * 300 + [compared(1, version="v2", opponent="people")] * 100
    rungs = ladder(found)
    assert [rung.name for rung in rungs] == ["people", "v2", "v1", "v0"]
    # Three wins to one loss are 400 · log10(3) = 190.8 points; the prior of half a comparison takes off a little.
    steps = [above.elo - below.elo for above, below in itertools.pairwise(rungs)]
    assert steps == pytest.approx([190.8] * 3, abs=3)
    assert sum(rung.elo for rung in rungs) == pytest.approx(0, abs=0.1)
    assert all(rung.low < rung.elo < rung.high for rung in rungs)
    picture = svg(rungs)
    assert picture.count("<circle") == 3
    assert "reference responses" in picture
    assert ladder([]) == []
