"""A project keeps an admin, and the server a superuser, also when two requests decide at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import close_old_connections, connections

from annotation.actions import invitations, projects
from annotation.errors import NotPossible
from annotation.models import AuditEvent, Membership, Role
from frontend.accounts import people

pytestmark = pytest.mark.database
FIELDS = {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}


def at_once(*acts: Callable[[], object]) -> list[str]:
    """Run each in a thread and connection of its own, begun together; return the refusals."""
    refused: list[str] = []
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> None:
        start.wait()
        try:
            act()
        except NotPossible as why:
            refused.append(str(why))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[act]) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    close_old_connections()
    return refused


@pytest.fixture
def two_admins(project, admin, stranger) -> tuple[User, User]:
    Membership.objects.create(project=project, user=stranger, role=Role.ADMIN)
    return admin, stranger


def admins_of(project) -> int:
    return project.memberships.filter(role=Role.ADMIN, user__is_active=True).count()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", range(4))
def test_two_admins_who_demote_each_other_at_once_leave_one(project, two_admins, turn):
    first, second = two_admins
    refused = at_once(
        lambda: projects.set_member(project=project, user=second, role=Role.ANNOTATOR, by=first),
        lambda: projects.set_member(project=project, user=first, role=Role.ANNOTATOR, by=second),
    )
    assert admins_of(project) == 1
    assert len(refused) == 1
    assert "is the only admin of Letters" in refused[0]


@pytest.mark.django_db(transaction=True)
def test_a_removal_and_an_erasure_at_once_leave_one(project, two_admins):
    first, second = two_admins
    refused = at_once(
        lambda: projects.remove_member(project=project, user=second, by=first),
        lambda: people.erase(first, by=None),
    )
    assert admins_of(project) == 1
    assert len(refused) == 1


@pytest.mark.django_db(transaction=True)
def test_two_superusers_who_close_each_other_at_once_leave_one(as_user):
    olga, pavel = User.objects.create_superuser("olga"), User.objects.create_superuser("pavel")
    clients = {olga: as_user(olga), pavel: as_user(pavel)}
    answers: list[int] = []

    def close(by: User, other: User) -> None:
        form = {"username": other.username, "is_staff": "on", "is_superuser": "on", **FIELDS}  # not is_active
        answers.append(clients[by].post(f"/admin/auth/user/{other.pk}/change/", form).status_code)

    at_once(lambda: close(olga, pavel), lambda: close(pavel, olga))
    assert User.objects.filter(is_superuser=True, is_active=True).count() == 1
    assert sorted(answers)[0] == 200 or 302 in answers


@pytest.mark.django_db
def test_the_only_superuser_stays_one(as_user):
    olga = User.objects.create_superuser("olga")
    client = as_user(olga)
    address = f"/admin/auth/user/{olga.pk}/change/"
    for missing in ("is_active", "is_superuser"):
        form = {"username": "olga", "is_staff": "on", "is_active": "on", "is_superuser": "on", **FIELDS}
        del form[missing]
        page = client.post(address, form)
        assert "olga is the only superuser of this server" in page.content.decode()
    with pytest.raises(CommandError, match="only superuser"):
        call_command("erase_person", "olga", "--yes")
    olga.refresh_from_db()
    assert olga.is_superuser
    assert olga.is_active


@pytest.mark.django_db
def test_an_operator_gives_a_project_without_people_an_admin(as_user, project, annotator):
    client = as_user(User.objects.create_superuser("olga"))
    form = {"user": annotator.pk, "project": project.pk, "role": "admin"}
    added = client.post("/admin/annotation/membership/add/", form)
    assert added.status_code == 302, added.context["errors"]
    assert project.memberships.get(user=annotator).role == Role.ADMIN
    assert AuditEvent.objects.filter(action="role", subject=annotator, what="admin").exists()
    lowered = client.post("/admin/annotation/membership/add/", {**form, "role": "annotator"}, follow=True)
    assert "is the only admin of Letters" in lowered.content.decode()
    assert project.memberships.get(user=annotator).role == Role.ADMIN


@pytest.mark.django_db
def test_an_invitation_lowers_nobody(project, admin, stranger):
    made = invitations.invite(project=project, role=Role.ANNOTATOR, by=admin, days=1)
    Membership.objects.create(project=project, user=stranger, role=Role.ADMIN)
    assert invitations.accept(invitation=made[0][0], user=stranger).role == Role.ADMIN
