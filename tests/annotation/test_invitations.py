"""Invitations by link, and the right to make projects."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from annotation.actions import invitations
from annotation.delivery import mail
from annotation.errors import NotPossible
from annotation.models import AuditEvent, Invitation, MailMessage, Membership, Role
from frontend.accounts import people

pytestmark = [pytest.mark.django_db, pytest.mark.database]
PAGE = "/projects/letters/members/invitations/"
API = "/api/v1/projects/letters/invitations/"
PASSWORD = "correct horse battery staple"
ACCOUNT = {"username": "dora", "email": "", "password1": PASSWORD, "password2": PASSWORD}


def links(page) -> list[str]:
    return re.findall(r'value="http://testserver(/invitation/[\w-]+/)"', page.content.decode())


def invite(alice, **fields) -> list[str]:
    return links(alice.post(PAGE, {"role": "annotator", "days": "14", "uses": "1", "notes": "", **fields}))


def test_an_invited_person_makes_an_account_and_is_in(alice, project):
    (link,) = invite(alice, role="reviewer")
    guest = Client()
    assert "Join Letters" in guest.get(link).content.decode()
    page = guest.post(link, ACCOUNT, follow=True)
    assert "Welcome: you are reviewer of Letters." in page.content.decode()
    dora = User.objects.get(username="dora")
    assert dora.check_password(PASSWORD)
    assert not dora.is_staff
    assert Membership.objects.get(user=dora).role == Role.REVIEWER
    joined = AuditEvent.objects.get(action="joined")
    assert (joined.actor, joined.project, joined.detail) == (dora, project, {"role": "reviewer"})


def test_a_link_for_one_is_used_up_by_one(alice):
    (link,) = invite(alice)
    Client().post(link, ACCOUNT)
    late = Client().post(link, ACCOUNT | {"username": "emil"})
    assert late.status_code == 404
    assert "This invitation has expired" in late.content.decode()
    assert not User.objects.filter(username="emil").exists()


def test_the_same_moment_makes_one_member_and_no_account_without_a_project(alice, stranger):
    """Both have opened the page of a link for one; the second finds it used and leaves no account behind."""
    (link,) = invite(alice)
    invitation = Invitation.objects.get()
    invitations.accept(invitation=invitation, user=stranger)
    with pytest.raises(NotPossible, match="was used"):
        invitations.accept(invitation=invitation, user=User.objects.create_user("emil"))
    assert Client().post(link, ACCOUNT).status_code == 404
    assert not User.objects.filter(username="dora").exists()


def test_a_link_for_several(alice, project):
    (link,) = invite(alice, uses="2")
    answers = [Client().post(link, ACCOUNT | {"username": name}).status_code for name in ("dora", "emil", "fay")]
    assert answers == [302, 302, 404]
    assert "2 of 2" not in alice.get(PAGE).content.decode()  # no longer open
    assert Invitation.objects.get().used == 2


def test_one_with_an_account_joins_with_it(alice, stranger, as_user, project):
    (link,) = invite(alice)
    signed_out = Client().get(link).content.decode()
    assert f"/accounts/login/?next={link}" in signed_out
    charlie = as_user(stranger)
    assert "Join as charlie" in charlie.get(link).content.decode()
    assert charlie.post(link).status_code == 302
    assert Membership.objects.get(user=stranger, project=project).role == Role.ANNOTATOR


def test_a_larger_role_is_kept_and_the_link_stays_for_another(alice, admin, project):
    (link,) = invite(alice)
    alice.post(link)
    assert Membership.objects.get(user=admin, project=project).role == Role.ADMIN
    assert Client().post(link, ACCOUNT).status_code == 302


def test_expired_and_revoked_links_let_nobody_in(alice):
    (link,) = invite(alice)
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert Client().get(link).status_code == 404
    (other,) = invite(alice)
    newest = Invitation.objects.latest("pk")
    assert alice.post(f"{PAGE}{newest.pk}/revoke/").status_code == 302
    assert Client().post(other, ACCOUNT).status_code == 404
    assert Client().get("/invitation/unknown/").status_code == 404
    assert not User.objects.filter(username="dora").exists()


def test_many_at_once_each_with_its_note(alice):
    made = invite(alice, notes="dora@example.org\n\nEmil\n")
    assert len(set(made)) == 2
    assert list(Invitation.objects.order_by("id").values_list("note", flat=True)) == ["dora@example.org", "Emil"]
    page = alice.post(
        PAGE, {"role": "annotator", "days": "14", "uses": "1", "notes": "\n".join(map(str, range(201)))}
    ).content.decode()
    assert "At most 200 people at once; these are 201." in page


def test_admins_are_invited_one_by_one(alice, project, admin):
    page = alice.post(PAGE, {"role": "admin", "days": "14", "uses": "2"}).content.decode()
    assert "An admin is invited by a link for one person." in page
    refused = alice.post(API, {"role": "admin", "uses": 2}, content_type="application/json")
    assert refused.status_code == 400
    with pytest.raises(IntegrityError), transaction.atomic():
        invitations.invite(project=project, role=Role.ADMIN, by=admin, days=1, uses=2)


def test_the_key_is_stored_nowhere(alice):
    (link,) = invite(alice)
    key = link.split("/")[2]
    assert key not in alice.get(PAGE).content.decode()
    assert key not in str(list(Invitation.objects.values())) + str(list(AuditEvent.objects.values()))


def test_programs_invite_list_and_revoke(alice):
    made = alice.post(API, {"notes": ["dora", "emil"], "days": 3}, content_type="application/json").json()[
        "invitations"
    ]
    assert [row["note"] for row in made] == ["dora", "emil"]
    assert Client().post(made[0]["link"].removeprefix("http://testserver"), ACCOUNT).status_code == 302
    assert [row["note"] for row in alice.get(API).json()["results"]] == ["emil"]
    assert alice.delete(f"{API}{made[1]['id']}/").status_code == 204
    assert alice.get(API).json()["results"] == []


def test_a_weak_password_or_a_taken_name_is_refused_in_words(alice, annotator):
    (link,) = invite(alice)
    page = Client().post(link, ACCOUNT | {"username": "bob"})
    assert page.status_code == 422
    assert "A user with that username already exists." in page.content.decode()
    assert "too short" in Client().post(link, ACCOUNT | {"password1": "x", "password2": "x"}).content.decode()
    assert Invitation.objects.get().used == 0


# --- who may make projects -----------------------------------------------------------------------------------------


def test_a_project_needs_the_permission(stranger, as_user):
    charlie = as_user(stranger)
    assert "New project" not in charlie.get("/").content.decode()
    assert charlie.post("/projects/new/", {"name": "Mine"}).status_code == 403
    assert charlie.post("/api/v1/projects/", {"name": "Mine"}, content_type="application/json").status_code == 403
    stranger.user_permissions.add(Permission.objects.get(codename="add_project", content_type__app_label="annotation"))
    assert "New project" in charlie.get("/").content.decode()
    assert charlie.post("/projects/new/", {"name": "Mine"}).status_code == 302


def test_a_server_may_let_everybody_make_projects(stranger, as_user, settings):
    settings.PROJECT_CREATORS = "all"
    assert as_user(stranger).post("/projects/new/", {"name": "Mine"}).status_code == 302


# --- by mail -------------------------------------------------------------------------------------------------------


@pytest.fixture
def mail_server(settings):
    settings.EMAIL_HOST = "mail.example.org"
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


def test_a_pasted_list_is_invited_by_mail(alice, mail_server, mailoutbox, project):
    pasted = "Dora <dora@example.org>, emil@example.org;fay@example.org\nGustav\nemil@example.org"
    made = invite(alice, notes=pasted, role="reviewer", send_mail="on")
    assert len(made) == 4
    while mail.send_next():
        pass
    assert sorted(message.to[0] for message in mailoutbox) == [
        "dora@example.org",
        "emil@example.org",
        "fay@example.org",
    ]
    letter = next(message for message in mailoutbox if message.to == ["emil@example.org"])
    assert letter.subject == "Invitation to Letters"
    assert "alice invites you to the project “Letters” as reviewer." in letter.body
    link = re.search(r"http://testserver(/invitation/[\w-]+/)", letter.body)[1]
    assert link in made
    page = Client().get(link).content.decode()
    assert 'value="emil@example.org"' in page
    assert Client().post(link, ACCOUNT | {"email": "emil@example.org"}).status_code == 302
    assert Membership.objects.get(user__username="dora").role == Role.REVIEWER


def test_a_mailed_key_is_stored_nowhere_once_it_is_sent_or_given_up(alice, mail_server, mailoutbox, settings):
    invite(alice, notes="dora@example.org", send_mail="on")
    mail.send_next()
    assert MailMessage.objects.get().body == ""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9  # nobody listens
    invite(alice, notes="emil@example.org", send_mail="on")
    MailMessage.objects.filter(address="emil@example.org").update(attempts_allowed=1)
    mail.send_next()
    failed = MailMessage.objects.get(address="emil@example.org")
    assert (failed.status, failed.body) == ("failed", "")


def test_without_a_mail_server_links_are_copied(alice):
    page = alice.get(PAGE).content.decode()
    assert "This server sends no mail" in page
    assert len(invite(alice, notes="dora@example.org", send_mail="on")) == 1
    assert not MailMessage.objects.exists()


@pytest.mark.parametrize("wrong", ["dora@", "@dora", "a b@c", "dora@example.org\nx@y@z"])
def test_a_wrong_address_is_named_and_nobody_is_invited(alice, wrong):
    page = alice.post(PAGE, {"role": "annotator", "days": "14", "uses": "1", "notes": wrong}).content.decode()
    assert "is no mail address. Correct it, or write a name without @." in page
    assert not Invitation.objects.exists()


def test_erasing_a_person_removes_the_address_they_were_invited_at(alice, mail_server):
    (link,) = invite(alice, notes="dora@example.org", send_mail="on")
    Client().post(link, ACCOUNT | {"email": "dora@example.org"})
    people.erase(User.objects.get(username="dora"), by=None)
    assert not MailMessage.objects.filter(address="dora@example.org").exists()
    assert not Invitation.objects.filter(address="dora@example.org").exists()
