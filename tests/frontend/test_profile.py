"""What an account chooses for its pages besides the language: time zone and theme."""

from __future__ import annotations

import re

import pytest
from django.db import IntegrityError, transaction

from annotation.models import Preferences

pytestmark = pytest.mark.django_db

PROFILE = "/accounts/profile/"


def root_of(page: str) -> str:
    return re.search(r"<html[^>]*>", page)[0]


def test_an_account_has_a_time_zone_and_a_theme_on_every_machine(as_user, annotator):
    bob = as_user(annotator)
    assert root_of(bob.get("/").content.decode()) == '<html lang="en">'
    page = bob.get(PROFILE).content.decode()
    assert re.search(r'<option value="Asia/Kolkata">Asia/Kolkata \(UTC\+05:30\)</option>', page)
    saved = bob.post(PROFILE, {"theme": "dark", "time_zone": "Asia/Kolkata"}, follow=True).content.decode()
    assert "Saved." in saved
    chosen = '<html lang="en" data-theme="dark" data-time-zone="Asia/Kolkata">'
    assert root_of(saved) == chosen
    assert root_of(as_user(annotator).get("/").content.decode()) == chosen  # another browser, by its sign-in
    assert '<option value="Asia/Kolkata" selected>' in bob.get(PROFILE).content.decode()
    bob.post(PROFILE, {})
    assert root_of(bob.get("/").content.decode()) == '<html lang="en">'


@pytest.mark.parametrize("sent", [{"theme": "sepia"}, {"time_zone": "Mars/Olympus"}, {"time_zone": "../../etc/passwd"}])
def test_what_there_is_not_is_refused(bob, sent):
    assert bob.post(PROFILE, sent).status_code == 422
    assert not Preferences.objects.exists()


@pytest.mark.database
def test_the_database_knows_the_themes(annotator):
    with pytest.raises(IntegrityError), transaction.atomic():
        Preferences.objects.create(user=annotator, theme="sepia")
