"""Seats: claimed once, given back, lapsed, late; and which one is next."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotation.actions import assignments, judgments, queue
from annotation.errors import NotPossible
from annotation.models import Assignment, Membership, Project, Ranking, Role, SeatStatus

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def people(project: Project, count: int) -> list[User]:
    made = [User.objects.create_user(f"person-{number}") for number in range(count)]
    Membership.objects.bulk_create([Membership(project=project, user=user, role=Role.ANNOTATOR) for user in made])
    return made


def rank(seat: Assignment) -> Ranking:
    answer = {"tiers": [[pk] for pk in seat.shown_order], "unacceptable": [], "rationale": ""}
    return judgments.submit(assignment=seat, client_uuid=uuid.uuid4(), answer=answer, active_ms=5)


def lapse(seat: Assignment) -> None:
    Assignment.objects.filter(pk=seat.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


def test_a_claim_holds_the_seat_and_claiming_again_finds_it(project, annotator, open_ranking_task):
    open_ranking_task()
    open_ranking_task()
    first = queue.claim_next(project=project, by=annotator)
    assert first.status == SeatStatus.HELD
    assert first.expires_at > timezone.now() + timedelta(minutes=project.lease_minutes - 1)
    assert queue.claim_next(project=project, by=annotator) == first


def test_one_seat_goes_to_one_person(project, open_ranking_task):
    task = open_ranking_task()
    alice, bob = people(project, 2)
    assert queue.claim_next(project=project, by=alice).task == task
    assert queue.claim_next(project=project, by=bob) is None


def test_two_seats_go_to_two_people_and_never_twice_to_one(project, open_ranking_task):
    open_ranking_task(seats=2)
    alice, bob = people(project, 2)
    rank(queue.claim_next(project=project, by=alice))
    assert queue.claim_next(project=project, by=alice) is None
    rank(queue.claim_next(project=project, by=bob))
    assert Ranking.objects.count() == 2


def test_higher_priority_comes_first(project, annotator, open_ranking_task):
    open_ranking_task(priority=0)
    urgent = open_ranking_task(priority=5)
    assert queue.claim_next(project=project, by=annotator).task == urgent


def test_the_shown_order_is_stored_and_differs_between_seats(project, open_ranking_task):
    task = open_ranking_task([f"answer {n}" for n in range(6)], seats=8)
    orders = [tuple(queue.claim_next(project=project, by=user).shown_order) for user in people(project, 8)]
    assert all(sorted(order) == sorted(task.candidates.values_list("pk", flat=True)) for order in orders)
    assert len(set(orders)) > 1


def test_nobody_ranks_their_own_answer(project, annotator, open_ranking_task, make_prompt):
    task = open_ranking_task(seats=2)
    own = task.candidates.first()
    type(own).objects.filter(pk=own.pk).update(source="person", policy=None, author=annotator)
    assert queue.claim_next(project=project, by=annotator) is None
    assert queue.claim_next(project=project, by=people(project, 1)[0]).task == task


def test_a_skipped_seat_is_free_for_others_but_not_for_the_same_person(project, annotator, open_ranking_task):
    task = open_ranking_task()
    assignments.skip(assignment=queue.claim_next(project=project, by=annotator), reason="unclear")
    assert queue.claim_next(project=project, by=annotator) is None
    assert queue.claim_next(project=project, by=people(project, 1)[0]).task == task
    assert Assignment.objects.get(annotator=annotator).skip_reason == "unclear"


def test_a_lapsed_seat_goes_to_the_next_person_and_late_work_is_kept(project, open_ranking_task):
    open_ranking_task()
    slow, quick = people(project, 2)
    old = queue.claim_next(project=project, by=slow)
    lapse(old)
    new = queue.claim_next(project=project, by=quick)
    assert new.task == old.task
    rank(new)
    rank(old)
    statuses = dict(Assignment.objects.values_list("annotator__username", "status"))
    assert statuses == {slow.username: SeatStatus.LATE, quick.username: SeatStatus.DONE}
    assert Ranking.objects.count() == 2


def test_a_lapsed_seat_that_nobody_took_is_still_ones_own(project, annotator, open_ranking_task):
    open_ranking_task()
    held = queue.claim_next(project=project, by=annotator)
    lapse(held)
    again = queue.claim_next(project=project, by=annotator)
    assert again == held
    assert again.expires_at > timezone.now()


def test_a_repeated_submit_is_the_same_judgment(project, annotator, open_ranking_task):
    open_ranking_task()
    seat = queue.claim_next(project=project, by=annotator)
    answer = {"tiers": [[pk] for pk in seat.shown_order], "unacceptable": [], "rationale": ""}
    client_uuid = uuid.uuid4()
    first = judgments.submit(assignment=seat, client_uuid=client_uuid, answer=answer, active_ms=1)
    second = judgments.submit(assignment=seat, client_uuid=client_uuid, answer=answer, active_ms=1)
    assert first == second
    with pytest.raises(NotPossible, match="final"):
        judgments.submit(assignment=seat, client_uuid=uuid.uuid4(), answer=answer, active_ms=1)
    assert Ranking.objects.count() == 1


def test_a_draft_renews_the_lease_and_comes_back(project, annotator, open_ranking_task):
    open_ranking_task()
    seat = queue.claim_next(project=project, by=annotator)
    Assignment.objects.filter(pk=seat.pk).update(expires_at=timezone.now() + timedelta(seconds=5))
    assignments.save_draft(assignment=seat, draft={"tiers": [[1]]}, active_ms=1200)
    again = queue.claim_next(project=project, by=annotator)
    assert again.draft == {"tiers": [[1]]}
    assert again.active_ms == 1200
    assert again.expires_at > timezone.now() + timedelta(minutes=10)


def test_the_least_judged_task_comes_first(project, open_ranking_task):
    """Forty tasks of two seats: nobody is a task's second judge while another task has none."""
    for _ in range(40):
        open_ranking_task(["a", "b"], seats=2)
    taken = []
    for user in people(project, 8):
        for _ in range(5):
            seat = queue.claim_next(project=project, by=user)
            taken.append(seat.task_id)
            rank(seat)
    assert len(set(taken)) == 40


def test_people_do_not_all_reach_for_the_same_task(project, open_ranking_task):
    for _ in range(60):
        open_ranking_task(["a", "b"])
    firsts = set()
    for user in people(project, 6):
        with transaction.atomic():
            firsts.add(queue.claim_next(project=project, by=user).task_id)
            transaction.set_rollback(True)
    assert len(firsts) > 1


def test_one_person_gets_every_task_once_and_then_nothing(project, annotator, open_ranking_task):
    opened = {open_ranking_task(["a", "b"], seats=3).pk for _ in range(45)}
    judged = []
    while seat := queue.claim_next(project=project, by=annotator):
        judged.append(seat.task_id)
        rank(seat)
    assert len(judged) == 45
    assert set(judged) == opened


def test_somebody_for_whom_a_level_had_nothing_finds_what_is_new_in_it(project, annotator, open_ranking_task):
    first = open_ranking_task(seats=2, priority=5)
    low = [open_ranking_task(priority=0) for _ in range(4)]
    rank(queue.claim_next(project=project, by=annotator))
    assert rank(queue.claim_next(project=project, by=annotator)).assignment.task in low
    # A new task of the priority that was passed over.
    second = open_ranking_task(seats=2, priority=5)
    assert queue.claim_next(project=project, by=annotator).task == second
    rank(queue.claim_next(project=project, by=annotator))
    assert rank(queue.claim_next(project=project, by=annotator)).assignment.task in low
    # An older task there gets an empty seat again: somebody skips one that this person has not seen.
    third = open_ranking_task(priority=5)
    other = people(project, 1)[0]
    Assignment.objects.filter(task__in=[first, second], status=SeatStatus.EMPTY).delete()
    held = queue.claim_next(project=project, by=other)
    assert held.task == third
    assert rank(queue.claim_next(project=project, by=annotator)).assignment.task in low
    assignments.skip(assignment=held, reason="unclear")
    assert queue.claim_next(project=project, by=annotator).task == third


def test_progress_counts_no_further_than_a_page_needs(project, annotator, open_ranking_task, monkeypatch):
    for _ in range(4):
        open_ranking_task(["a", "b"])
    rank(queue.claim_next(project=project, by=annotator))
    whole = queue.progress(project)
    assert whole == {"done": 1, "held": 0, "empty": 3, "more_done": False, "more_empty": False}
    monkeypatch.setattr(queue, "COUNTED", 2)
    monkeypatch.setattr(queue, "COUNTED_OPEN", 2)
    assert queue.progress(project) == {"done": 1, "held": 0, "empty": 2, "more_done": False, "more_empty": True}
    assert queue.own_progress(project, annotator) == {
        "done": 1,
        "empty": 1,
        "more_empty": True,
        "can_undo": True,
    }


def test_a_claim_asks_as_little_of_a_long_queue_as_of_a_short_one(project, annotator, open_ranking_task):
    """Sixty tasks that somebody has judged, two seats of each still open, ahead of the one that is left for them."""
    ahead = [open_ranking_task(["a", "b"], seats=3, priority=1) for _ in range(60)]
    for _ in range(3):
        open_ranking_task(["a", "b"])
    for _ in ahead:
        rank(queue.claim_next(project=project, by=annotator))
    rank(queue.claim_next(project=project, by=annotator))
    with CaptureQueriesContext(connection) as asked:
        assert queue.claim_next(project=project, by=annotator).priority == 0
    assert len(asked) < 25
    assert not any("LIMIT 16" in query["sql"] for query in asked)  # what was passed over is not looked at again


@pytest.mark.parametrize(
    "values",
    [
        {"status": SeatStatus.EMPTY},  # a second holder of the same seat
        {"seat_number": 2, "status": SeatStatus.HELD},  # held by nobody, for ever
        {"seat_number": 2, "status": SeatStatus.DONE},  # done, but never finished
    ],
)
def test_the_database_refuses_what_must_never_be(project, open_ranking_task, values):
    task = open_ranking_task()
    with pytest.raises(IntegrityError), transaction.atomic():
        Assignment.objects.create(**{"task": task, "project": project, "seat_number": 1, **values})


@pytest.mark.django_db(transaction=True)
def test_people_who_claim_at_once_never_share_a_seat(project, open_ranking_task):
    """Twelve people, thirty seats, all at the same time: each seat has one holder and nothing is lost."""
    for _ in range(15):
        open_ranking_task(seats=2)
    crowd = people(project, 12)
    start, failures = threading.Barrier(len(crowd)), []

    def work(user: User) -> None:
        try:
            start.wait(10)
            while seat := queue.claim_next(project=project, by=user):
                rank(seat)
        except Exception as problem:
            failures.append(problem)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=[user]) for user in crowd]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []
    assert Ranking.objects.count() == 30
    assert Assignment.objects.filter(status=SeatStatus.DONE).count() == 30
    assert Assignment.objects.exclude(status=SeatStatus.DONE).count() == 0
