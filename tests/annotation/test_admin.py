"""/admin/ for an operator: makes accounts, shows members and what waits; changes no project, shows no secret."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from annotation.actions.tokens import make_token
from annotation.delivery import webhooks
from annotation.models import Event, Scope, Token

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client):
    client.force_login(User.objects.create_superuser("olga"))
    return client


def test_the_operator_makes_an_account(operator):
    form = {"username": "dora", "password1": "a-long-passphrase", "password2": "a-long-passphrase"}
    assert operator.post("/admin/auth/user/add/", {**form, "usable_password": "true"}).status_code == 302
    assert User.objects.get(username="dora").check_password("a-long-passphrase")


def test_projects_and_members_are_shown_and_not_changed(operator, project, admin):
    membership = project.memberships.get(user=admin)
    assert "Letters" in operator.get("/admin/annotation/project/").content.decode()
    assert "alice" in operator.get("/admin/annotation/membership/").content.decode()
    page = f"/admin/annotation/membership/{membership.pk}/change/"
    assert operator.get(page).status_code == 200
    assert operator.post(page, {"role": "annotator"}).status_code == 403
    assert operator.get("/admin/annotation/project/add/").status_code == 403
    membership.refresh_from_db()
    assert membership.role == "admin"


def test_a_key_is_revoked_and_no_secret_is_shown(operator, project, admin):
    hook = webhooks.add_webhook(project=project, url="https://example.org/", events=[Event.SNAPSHOT], by=admin)
    webhooks.send_test(webhook=hook, by=admin)
    shown = operator.get(f"/admin/annotation/webhook/{hook.pk}/change/").content.decode()
    assert "https://example.org/" in shown
    assert hook.secret not in shown
    assert "Waiting" in operator.get("/admin/annotation/delivery/").content.decode()
    token, _ = make_token(user=admin, name="script", scopes=[Scope.READ], days=1)
    shown = operator.get(f"/admin/annotation/token/{token.pk}/change/").content.decode()
    assert token.digest not in shown
    operator.post(f"/admin/annotation/token/{token.pk}/delete/", {"post": "yes"})
    assert not Token.objects.exists()


def test_nobody_else_gets_in(client, as_user, admin):
    assert as_user(admin).get("/admin/annotation/project/").status_code == 302
    assert client.get("/admin/annotation/token/").status_code == 302
