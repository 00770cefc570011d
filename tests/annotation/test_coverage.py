"""How many people judge a task: calibration, settings that change while people work, agreement and conflict."""

from __future__ import annotations

import uuid

import pytest
from django.contrib.auth.models import User

from annotation.actions import coverage, guidelines, judgments, queue, tasks
from annotation.models import Assignment, Completion, Membership, Project, Role, SeatStatus, Source

pytestmark = pytest.mark.django_db


def person(project: Project, name: str) -> User:
    user = User.objects.create_user(name)
    Membership.objects.create(project=project, user=user, role=Role.ANNOTATOR)
    return user


def rank(project: Project, user: User, *order: str) -> Assignment:
    """Claim, and rank the answers by their texts; "a b" in one string is a tie."""
    project = Project.objects.get(pk=project.pk)
    if project.guidelines_number:
        guidelines.acknowledge(membership=project.memberships.get(user=user), number=project.guidelines_number)
    seat = queue.claim_next(project=project, by=user)
    ids = dict(seat.task.candidates.values_list("text", "pk"))
    tiers = [[ids[text] for text in tier.split()] for tier in order]
    answer = {"tiers": tiers, "unacceptable": [], "rationale": ""}
    judgments.submit(assignment=seat, client_uuid=uuid.uuid4(), answer=answer, active_ms=5)
    return seat


def statuses(task) -> list[tuple[int, str]]:
    return sorted(Assignment.objects.filter(task=task).values_list("seat_number", "status"))


@pytest.fixture
def change(project, admin, as_user):
    """Save settings as an admin does it, on the page."""

    def save(**values):
        response = as_user(admin).post(f"/projects/{project.slug}/settings/", values)
        assert response.status_code == 302, response.content.decode()

    return save


def test_more_people_per_task_reach_the_tasks_that_are_open(project, annotator, open_ranking_task, change):
    finished, half = open_ranking_task("ab", priority=1), open_ranking_task("ab", seats=2)
    rank(project, annotator, "a", "b")
    rank(project, annotator, "a", "b")
    change(seats_per_task=3)
    assert statuses(finished) == [(1, "done")]
    assert statuses(half) == [(1, "done"), (2, "empty"), (3, "empty")]
    half.refresh_from_db()
    assert half.seats == 3


def test_fewer_people_per_task_take_only_empty_seats(project, annotator, open_ranking_task, change):
    change(seats_per_task=3)
    task = open_ranking_task("ab", seats=3)
    for name in ("one", "two"):
        queue.claim_next(project=project, by=person(project, name))
    change(seats_per_task=1)
    assert sorted(status for _, status in statuses(task)) == ["held", "held"]
    task.refresh_from_db()
    assert task.seats == 2


def test_a_calibration_task_has_a_seat_for_everybody_also_for_who_joins_later(
    project, policy, make_prompt, admin, annotator, stranger, as_user
):
    project.calibration_share, project.reference_share = 1, 0
    project.save()
    prompt = make_prompt()
    for index, text in enumerate("ab"):
        Completion.objects.create(
            prompt=prompt, source=Source.POLICY, policy=policy, text=text, origin="run-1", index=index
        )
    person(project, "dora")
    task = tasks.open_tasks_for(policy=policy, origin="run-1")[0]
    assert task.calibration
    assert statuses(task) == [(1, "empty"), (2, "empty")]  # bob and dora; alice is the admin
    as_user(admin).post(f"/projects/{project.slug}/members/", {"username": stranger.username, "role": "annotator"})
    assert statuses(task) == [(1, "empty"), (2, "empty"), (3, "empty")]


def test_the_share_of_calibration_prompts_is_about_what_was_asked_for(project, make_prompt):
    project.calibration_share = 0.25
    chosen = sum(coverage.is_calibration(make_prompt(), project) for _ in range(400))
    assert 70 <= chosen <= 130  # 100 expected; three standard deviations are 26
    project.calibration_share = 0
    assert not coverage.is_calibration(make_prompt(), project)


def test_agreement_closes_the_seats_that_are_left(project, open_ranking_task, change):
    change(seats_per_task=4, early_stop="on")
    task = open_ranking_task("abc", seats=4)
    rank(project, person(project, "one"), "a", "b", "c")
    assert len(statuses(task)) == 4
    rank(project, person(project, "two"), "a", "c", "b")
    assert statuses(task) == [(1, "done"), (2, "done")]
    task.refresh_from_db()
    assert task.seats == 2
    assert queue.claim_next(project=project, by=person(project, "three")) is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["a", "b", "c"], ["b", "a", "c"]),  # another answer first
        (["a", "b", "c"], ["a b", "c"]),  # a tie for the first place
    ],
)
def test_without_agreement_on_the_first_place_the_seats_stay(project, open_ranking_task, change, first, second):
    change(seats_per_task=3, early_stop="on")
    task = open_ranking_task("abc", seats=3)
    rank(project, person(project, "one"), *first)
    rank(project, person(project, "two"), *second)
    assert statuses(task) == [(1, "done"), (2, "done"), (3, "empty")]


def test_two_seats_are_never_stopped_early_and_off_is_off(project, open_ranking_task, change):
    change(seats_per_task=3)
    task = open_ranking_task("ab", seats=3)
    for name in ("one", "two"):
        rank(project, person(project, name), "a", "b")
    assert statuses(task) == [(1, "done"), (2, "done"), (3, "empty")]


def test_an_undo_takes_the_early_stop_back(project, annotator, open_ranking_task, change, as_user):
    change(seats_per_task=3, early_stop="on")
    task = open_ranking_task("ab", seats=3)
    rank(project, person(project, "one"), "a", "b")
    rank(project, annotator, "a", "b")
    assert len(statuses(task)) == 2
    as_user(annotator).post(f"/projects/{project.slug}/undo/")
    assert sorted(status for _, status in statuses(task)) == ["done", "empty", "held"]


def test_contradiction_opens_a_seat_at_most_two(project, open_ranking_task, change):
    change(seats_per_task=2, conflict_seat="on")
    task = open_ranking_task("abc", seats=2)
    rank(project, person(project, "one"), "a", "b", "c")
    rank(project, person(project, "two"), "c", "b", "a")
    assert statuses(task) == [(1, "done"), (2, "done"), (3, "empty")]
    rank(project, person(project, "three"), "b", "a", "c")  # contradicts "two"
    assert statuses(task)[3:] == [(4, "empty")]
    rank(project, person(project, "four"), "c", "a", "b")  # contradicts "one", but two extra seats are the most
    assert [status for _, status in statuses(task)] == ["done"] * 4


@pytest.mark.parametrize(
    ("first", "second", "do_contradict"),
    [
        ([[1], [2], [3]], [[3], [2], [1]], True),
        ([[1], [2], [3]], [[1], [3], [2]], False),  # two pairs alike, one reversed
        ([[1], [2]], [[1, 2]], False),  # a tie of everything has no tau-b
        ([[1, 2], [3]], [[3], [1, 2]], True),
        ([[1], [2], [3], [4]], [[2], [1], [4], [3]], False),  # four alike, two reversed
        ([[1], [2], [3], [4]], [[2], [4], [1], [3]], True),  # three alike, three reversed: tau-b is 0
    ],
)
def test_what_a_contradiction_is(first, second, do_contradict):
    assert coverage.contradict(first, second) is do_contradict
    assert coverage.contradict(second, first) is do_contradict


def test_a_task_that_was_closed_early_stays_closed_when_more_people_are_asked(project, open_ranking_task, change):
    change(seats_per_task=3, early_stop="on")
    open_ranking_task("ab", seats=3)
    for name in ("one", "two"):
        rank(project, person(project, name), "a", "b")
    change(seats_per_task=5, early_stop="on")
    assert Assignment.objects.filter(status=SeatStatus.EMPTY).count() == 0
