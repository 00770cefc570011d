"""Who belongs to a project: added, given another role, removed."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from annotation.actions import assignments, queue
from annotation.models import Membership, Role, SeatStatus

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def colleague(project) -> User:
    user = User.objects.create_user("dora")
    Membership.objects.create(project=project, user=user, role=Role.ANNOTATOR)
    return user


def remove(client, membership: Membership):
    return client.post(reverse("member_remove", args=["letters", membership.pk]), follow=True)


def test_somebody_is_added_and_gets_another_role(project, admin, stranger, as_user):
    address = reverse("members", args=["letters"])
    for role in ("annotator", "reviewer"):
        page = as_user(admin).post(address, {"username": "charlie", "role": role}, follow=True).content.decode()
        assert f"charlie is now {role} of Letters." in page
    assert Membership.objects.get(user=stranger).role == Role.REVIEWER
    page = as_user(admin).post(address, {"username": "nobody", "role": "annotator"}).content.decode()
    assert "There is no account “nobody”. Invite the person instead." in page


def test_a_removed_member_is_out_and_somebody_else_gets_the_seat_at_once(
    project, admin, annotator, colleague, open_ranking_task, as_user
):
    task = open_ranking_task()
    held = queue.claim_next(project=project, by=annotator)
    assignments.save_draft(assignment=held, draft={"tiers": [[1]]}, active_ms=10)
    assert queue.claim_next(project=project, by=colleague) is None

    page = remove(as_user(admin), Membership.objects.get(user=annotator)).content.decode()
    assert "bob removed. Their annotations stay." in page
    assert as_user(annotator).get(held.get_absolute_url()).status_code == 404
    assert queue.claim_next(project=project, by=colleague).task == task
    held.refresh_from_db()
    assert (held.status, held.draft) == (SeatStatus.LAPSED, {"tiers": [[1]]})

    # Added again they can still hand in what they had begun: as an extra judgment.
    Membership.objects.create(project=project, user=annotator, role=Role.ANNOTATOR)
    assert as_user(annotator).get(held.get_absolute_url()).status_code == 200


def test_judgments_of_a_removed_member_stay(project, admin, ranked_task, as_user):
    remove(as_user(admin), Membership.objects.get(user__username="ranker-1"))
    rows = as_user(admin).get("/api/v1/projects/letters/rankings/").json()
    assert len(rows["results"] if isinstance(rows, dict) else rows) == 1


def test_nobody_locks_themselves_out(project, admin, as_user):
    own = Membership.objects.get(user=admin)
    page = remove(as_user(admin), own).content.decode()
    assert "You cannot remove yourself. Ask another admin." in page
    assert Membership.objects.filter(pk=own.pk).exists()
    demoted = as_user(admin).post(reverse("members", args=["letters"]), {"username": "alice", "role": "annotator"})
    assert "You cannot change your own role." in demoted.content.decode()


def test_another_projects_member_cannot_be_removed_here(project, admin, stranger, as_user):
    from annotation.models import Project

    elsewhere = Project.objects.create(slug="numbers", name="Numbers")
    theirs = Membership.objects.create(project=elsewhere, user=stranger, role=Role.ADMIN)
    assert remove(as_user(admin), theirs).status_code == 404
    assert Membership.objects.filter(pk=theirs.pk).exists()
