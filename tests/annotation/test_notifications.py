"""Notifications in the application: who is told of what, and the way from the bell to the page."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from annotation.actions import projects, quality, reopening
from annotation.models import (
    Assignment,
    MailMessage,
    Membership,
    Notification,
    NotificationKind,
    Project,
    Ranking,
    Role,
)
from training.actions.runs import tell_finished
from training.models import RoundStatus, TrainingRound

pytestmark = [pytest.mark.django_db, pytest.mark.database]

BELL, PROFILE = "/accounts/notifications/", "/accounts/profile/"


@pytest.fixture
def annotation_of_bob(project, annotator, ranked_task) -> Assignment:
    """An annotation that bob submitted."""
    seat = Ranking.objects.get().assignment
    Assignment.objects.filter(pk=seat.pk).update(annotator=annotator)
    return Assignment.objects.select_related("task", "project", "annotator").get(pk=seat.pk)


@pytest.fixture
def english_again() -> Iterator[None]:
    yield
    translation.activate("en")


def told(user: User) -> list[str]:
    return [each.text for each in Notification.objects.filter(user=user).order_by("id")]


def count_in_bell(client) -> str:
    found = re.search(r'<span class="bell-count num">([^<]+)</span>', client.get("/").content.decode())
    return found[1] if found else ""


def test_work_that_comes_back_and_words_about_it_are_told(annotation_of_bob, annotator, reviewer, admin, bob, rita):
    quality.comment(assignment=annotation_of_bob, author=reviewer, text="Mind the tone.")
    quality.reply(assignment=annotation_of_bob, author=annotator, text="I will.")
    reply = rita.get(f"{BELL}{Notification.objects.get(user=reviewer).pk}/", follow=True)
    assert "I will." in reply.content.decode()
    Notification.objects.filter(user=reviewer).update(read_at=None)
    reopening.send_back(assignment=annotation_of_bob, by=reviewer, reason="Read the third one again.")
    assert told(annotator) == [
        "A reviewer commented on your annotation",
        "An annotation of yours was sent back for correction",
    ]
    assert told(reviewer) == ["An annotator replied to your comment"]
    assert told(admin) == []
    assert (count_in_bell(bob), count_in_bell(rita)) == ("2", "1")

    page = bob.get(BELL).content.decode()
    assert page.index("sent back for correction") < page.index("A reviewer commented")
    first = Notification.objects.filter(user=annotator).earliest("id")
    opened = bob.get(f"{BELL}{first.pk}/", follow=True)
    assert opened.status_code == 200
    assert "Read the third one again." in opened.content.decode()  # it is open for correction by now
    assert count_in_bell(bob) == "1"
    assert rita.get(f"{BELL}{first.pk}/").status_code == 404  # another person's
    assert count_in_bell(rita) == "1"
    rita.post(f"{BELL}read/")
    bob.post(f"{BELL}read/")
    assert (count_in_bell(bob), Notification.objects.filter(read_at=None).count()) == ("", 0)


def test_guidelines_rounds_and_roles_are_told_to_whom_they_concern(project, admin, annotator, stranger):
    for text in ("Be kind.", "Be brief."):
        stored = Project.objects.get(pk=project.pk)
        stored.guidelines = text
        projects.save_settings(project=stored, by=admin)
    assert told(annotator) == ["The guidelines changed: version 2"]  # the first version is no change
    projects.set_member(project=project, user=stranger, role=Role.REVIEWER, by=admin)
    projects.set_member(project=project, user=stranger, role=Role.REVIEWER, by=admin)  # the same again
    assert told(stranger) == ["Your role is now: Reviewer"]
    for number, status in enumerate((RoundStatus.SUCCEEDED, RoundStatus.FAILED, RoundStatus.CANCELLED), start=1):
        at = {"finished_at": project.created_at, "status": status}
        with transaction.atomic():
            tell_finished(TrainingRound.objects.create(project=project, number=number, **at))
    assert told(admin) == ["Round 1 succeeded", "Round 2 failed", "Round 3 was cancelled"]
    assert len(told(annotator)) == 1


def test_a_kind_can_be_switched_off(annotation_of_bob, annotator, reviewer, bob):
    kept = [kind for kind in NotificationKind.values if kind != NotificationKind.COMMENT]
    bob.post(PROFILE, {"wanted": kept})
    quality.comment(assignment=annotation_of_bob, author=reviewer, text="Mind the tone.")
    reopening.send_back(assignment=annotation_of_bob, by=reviewer, reason="Read it again.")
    assert told(annotator) == ["An annotation of yours was sent back for correction"]
    page = bob.get(PROFILE).content.decode()
    checked = set(re.findall(r'name="wanted" value="([^"]+)"[^>]* checked', page))
    assert checked == set(kept)


def test_nothing_is_shown_of_a_project_that_one_has_left(annotation_of_bob, annotator, reviewer, bob):
    quality.comment(assignment=annotation_of_bob, author=reviewer, text="Mind the tone.")
    Membership.objects.filter(user=annotator).delete()
    assert count_in_bell(bob) == ""
    assert "Nothing yet" in bob.get(BELL).content.decode()
    assert bob.get(f"{BELL}{Notification.objects.get().pk}/").status_code == 404


def test_the_bell_costs_the_same_however_many_there_are(project, annotator, bob):
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            bob.get(BELL)
        return len(asked)

    about = {"user": annotator, "project": project, "kind": NotificationKind.SENT_BACK, "url": "/projects/letters/"}
    Notification.objects.create(**about)
    few = queries()
    Notification.objects.bulk_create(Notification(**about) for _ in range(120))
    assert queries() == few
    assert count_in_bell(bob) == "99+"


def test_the_database_refuses_a_way_out_of_the_site_and_an_unknown_kind(project, annotator):
    for wrong in ({"url": "https://example.org/"}, {"kind": "gossip"}):
        values = {"kind": NotificationKind.ROUND, "url": "/projects/letters/", **wrong}
        with pytest.raises(IntegrityError), transaction.atomic():
            Notification.objects.create(user=annotator, project=project, **values)


def test_kinds_that_a_person_chose_come_by_mail_too(settings, project, annotator, admin, bob, rita, english_again):
    """In their language, to the address of the account, with the way to the page; also where the bell is silent."""
    assert "By mail" not in bob.get(PROFILE).content.decode()  # this server sends none
    settings.EMAIL_HOST, settings.PUBLIC_URL = "mail.example.org", "https://prefloop.example.org"
    assert "By mail" in bob.get(PROFILE).content.decode()
    User.objects.filter(pk=annotator.pk).update(email="bob@example.org")
    for client, language, kinds in ((bob, "zh-hans", ["guidelines", "comment"]), (rita, "", ["guidelines"])):
        client.post(PROFILE, {"language": language, "wanted": [], "mailed": kinds})
    assert bob.post(PROFILE, {"mailed": ["round"]}).status_code == 422  # chosen for each project
    for text in ("Be kind.", "Be brief."):
        stored = Project.objects.get(pk=project.pk)
        stored.guidelines = text
        projects.save_settings(project=stored, by=admin)
    sent = MailMessage.objects.get()  # rita has no address
    assert (sent.user, sent.subject) == (annotator, "Letters: 标注指南有改动：第 2 版")
    assert "https://prefloop.example.org/projects/letters/guidelines/" in sent.body
    assert "在个人资料中" in sent.body
    assert Notification.objects.count() == 0
