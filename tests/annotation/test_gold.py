"""Known tasks and repeats: they come unmarked, go to one person, and are never votes."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from annotation.actions import assignments, checks, quality, queue, snapshots
from annotation.models import Assignment, Membership, Purpose, Role, SeatStatus, SnapshotType, Task
from tests.annotation.test_quality import rank

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def known_task(project, admin, judge, open_ranking_task):
    """A task that the judge ranked and the admin decided: A before B before C."""
    task = open_ranking_task(["A", "B", "C"], priority=50)
    rank(project, judge)
    tiers = [[pk] for pk in task.candidates.order_by("text").values_list("pk", flat=True)]
    quality.adjudicate(task=task, tiers=tiers, unacceptable=[], note="", by=admin)
    quality.mark_gold(task=task, by=admin, note="")
    return task


def with_gold(project):
    project.gold_share = 0.5
    project.save()
    return project


def past_seat(project, task, user) -> None:
    """One more seat that this person has had, so that their next lot is another one."""
    other = Task.objects.create(project=project, prompt=task.prompt, kind="ranking")
    Assignment.objects.create(
        task=other, seat_number=1, project=project, annotator=user, status="skipped", finished_at=timezone.now()
    )


def figures(client):
    people = client.get("/api/v1/projects/letters/quality/").json()["annotators"]
    return {person["username"]: person for person in people}


def test_a_known_task_comes_unmarked_and_tells_how_far_somebody_agrees(
    project, known_task, annotator, admin, as_user, open_ranking_task
):
    with_gold(project)
    for number in range(12):
        open_ranking_task([f"A{number}", f"B{number}"])
    bob = as_user(annotator)
    while not Task.objects.filter(purpose=Purpose.GOLD).exists():
        bob.post("/projects/letters/annotate/")
        held = Assignment.objects.get(annotator=annotator, status=SeatStatus.HELD)
        if held.task.purpose == Purpose.WORK:
            rank(project, annotator)
    page = bob.get(held.get_absolute_url()).content.decode()
    assert "known" not in page.lower()
    assert "practice" not in page.lower()
    assert "purpose" not in bob.get(f"/api/v1/projects/letters/assignments/{held.key}/").json()
    rank(project, annotator, ["B", "A", "C"])
    # (A, B) differs; (A, C) and (B, C) are as known.
    assert figures(as_user(admin))["bob"]["gold"]["value"] == pytest.approx(2 / 3)
    weeks = as_user(admin).get("/api/v1/projects/letters/quality/").json()["gold_by_week"]
    assert [(row["n"], round(row["value"], 3)) for row in weeks] == [(3, 0.667)]


def test_nobody_meets_the_same_known_task_twice_nor_their_own_judgment(project, known_task, annotator, judge, admin):
    with_gold(project)
    met = []
    for user in (annotator, judge, admin):
        for _ in range(30):
            seat = queue.claim_next(project=project, by=user)
            if seat is not None:
                assignments.skip(assignment=seat, reason="enough")
                met.append((user, seat.task.repeat_of))
            else:
                past_seat(project, known_task, user)
    assert met == [(annotator, known_task)]


def test_a_known_task_is_no_vote_on_its_answers(project, known_task, annotator):
    quality.withdraw(task=known_task, by=annotator)
    before = snapshots.take_snapshot(project=project, by=None, type=SnapshotType.RANKING)
    with transaction.atomic():
        checks.open_check(task=known_task, purpose=Purpose.GOLD, by=annotator)
    rank(project, annotator, ["C", "B", "A"])
    after = snapshots.take_snapshot(project=project, by=None, type=SnapshotType.RANKING)
    assert after.sha256 == before.sha256


def test_a_check_that_lapses_or_is_skipped_goes_to_nobody_else(project, known_task, annotator, judge):
    with transaction.atomic():
        seat = checks.open_check(task=known_task, purpose=Purpose.GOLD, by=annotator)
    Assignment.objects.filter(pk=seat.pk).update(expires_at=timezone.now() - timedelta(minutes=1))
    other = User.objects.create_user("other")
    Membership.objects.create(project=project, user=other, role=Role.ANNOTATOR)
    assert queue.claim_next(project=project, by=other) is None
    assert queue.claim_next(project=project, by=annotator) == seat
    assignments.skip(assignment=seat, reason="no idea")
    assert queue.claim_next(project=project, by=other) is None


def test_a_repeat_comes_after_twenty_others_in_the_reverse_order(project, annotator, admin, as_user, open_ranking_task):
    for number in range(40):
        open_ranking_task([f"A{number}", f"B{number}", f"C{number}"])
    project.repeat_share = 0.5
    project.save()
    done = 0
    while not (repeat := Assignment.objects.filter(task__purpose=Purpose.REPEAT).first()):
        rank(project, annotator)
        done += 1
        queue.claim_next(project=project, by=annotator)
        assert done < 40
    first = Assignment.objects.get(task=repeat.task.repeat_of, annotator=annotator)
    between = Assignment.objects.filter(finished_at__gt=first.finished_at, status=SeatStatus.DONE).count()
    assert between >= 20
    assert repeat.shown_order == first.shown_order[::-1]
    texts = sorted(repeat.task.candidates.values_list("text", flat=True))
    rank(project, annotator, [texts[1], texts[0], texts[2]])  # the same but for one pair of three
    assert figures(as_user(admin))["bob"]["self_consistency"]["value"] == pytest.approx(2 / 3)
    taken = snapshots.take_snapshot(project=project, by=None, type=SnapshotType.RANKING)
    rows = [json.loads(line) for line in taken.path.read_text("utf-8").splitlines()]
    assert len(rows) == done
    assert all(len(row["rankings"]) == 1 for row in rows)


def test_without_a_share_the_queue_is_as_it_was(project, known_task, annotator, open_ranking_task):
    task = open_ranking_task()
    assert queue.claim_next(project=project, by=annotator).task == task
    assert Task.objects.exclude(purpose=Purpose.WORK).count() == 0


def test_the_database_knows_that_a_check_repeats_something(project, known_task):
    for fields in ({"purpose": Purpose.GOLD}, {"repeat_of": known_task}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Task.objects.create(project=project, prompt=known_task.prompt, kind="ranking", **fields)


@pytest.mark.django_db(transaction=True)
def test_many_tabs_of_one_person_open_one_known_task(project, known_task, annotator, admin, open_ranking_task, judge):
    for number in range(5):
        task = open_ranking_task([f"A{number}", f"B{number}"], priority=60)
        rank(project, judge)
        tiers = [[pk] for pk in task.candidates.order_by("text").values_list("pk", flat=True)]
        quality.adjudicate(task=task, tiers=tiers, unacceptable=[], note="", by=admin)
        quality.mark_gold(task=task, by=admin, note="")
    while not (seat := queue.claim_next(project=with_gold(project), by=annotator)):
        past_seat(project, known_task, annotator)
    # The same lot again, drawn by eight tabs at once.
    Task.objects.filter(pk=seat.task_id).delete()
    start, found, failures = threading.Barrier(8), [], []

    def claim() -> None:
        try:
            start.wait(10)
            found.append(queue.claim_next(project=project, by=annotator))
        except Exception as problem:
            failures.append(problem)
        finally:
            connection.close()

    tabs = [threading.Thread(target=claim) for _ in range(8)]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join(60)
    assert failures == []
    assert len({seat.pk for seat in found}) == 1
    assert Task.objects.filter(purpose=Purpose.GOLD).count() == 1
