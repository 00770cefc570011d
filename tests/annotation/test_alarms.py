"""The alarm: an annotator stops the sampling, everybody sees why, an admin settles it."""

from __future__ import annotations

import json

import pytest

from annotation.delivery import webhooks
from annotation.models import Alarm, Delivery, Event

pytestmark = pytest.mark.django_db
URL = "/projects/letters/alarm/"


def test_an_annotator_raises_it_and_everybody_sees_why(as_user, admin, annotator):
    response = as_user(annotator).post(URL, {"note": "Nothing but hearts."}, headers={"HX-Request": "true"})
    assert "Sampling is paused until" in response.content.decode()
    for user in (admin, annotator):
        page = as_user(user).get("/projects/letters/").content.decode()
        assert "Nothing but hearts." in page
        assert f"{annotator} reported a problem with the model" in page
        assert ("Resume sampling" in page) == (user == admin)


def test_it_needs_a_word_of_what_was_seen(as_user, annotator):
    response = as_user(annotator).post(URL, {"note": " "}, headers={"HX-Request": "true"})
    assert response.status_code == 422
    assert "Describe the problem" in response.content.decode()
    assert not Alarm.objects.exists()


def test_the_second_to_raise_it_is_told_that_it_is_known(as_user, admin, annotator):
    as_user(annotator).post(URL, {"note": "Hearts."})
    page = as_user(admin).post(URL, {"note": "Hearts!"}, follow=True).content.decode()
    assert "A model problem is already reported" in page
    assert Alarm.objects.get().note == "Hearts."


def test_an_admin_settles_it_once_and_it_can_be_raised_again(as_user, admin, annotator):
    as_user(annotator).post(URL, {"note": "Hearts."})
    settle = f"{URL}{Alarm.objects.get().pk}/settle/"
    assert as_user(annotator).post(settle).status_code == 403
    assert "Resolved" in as_user(admin).post(settle, follow=True).content.decode()
    assert "This report is already resolved" in as_user(admin).post(settle, follow=True).content.decode()
    assert Alarm.objects.get().settled_by == admin
    as_user(annotator).post(URL, {"note": "Hearts again."})
    assert Alarm.objects.count() == 2


def test_programs_are_told(as_user, admin, annotator, project):
    webhooks.add_webhook(project=project, url="https://hooks.example.org/a", events=[Event.ALARM], by=admin)
    as_user(annotator).post(URL, {"note": "Hearts."})
    body = Delivery.objects.get().body
    told = (json.loads(body) if isinstance(body, str) else body)["data"]
    assert (told["note"], told["raised_by"]) == ("Hearts.", annotator.username)
