"""Accounts: wrong passwords are limited, a changed password ends tokens, mail resets one, pages are not kept."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.core import mail as outbox
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from annotation.actions import projects
from annotation.actions.tokens import make_token
from annotation.delivery import mail
from annotation.errors import NotPossible
from annotation.models import AuditEvent, MailMessage, Membership, Role, Scope, Token

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery staple"
ROOT = Path(__file__).resolve().parent.parent.parent
NEW = "another long passphrase"


def sign_in(client, password: str, username: str = "bob", address: str = "192.0.2.1"):
    return client.post("/accounts/login/", {"username": username, "password": password}, REMOTE_ADDR=address)


def bearer(user: User) -> Client:
    _, value = make_token(user=user, name="script", scopes=[Scope.READ])
    return Client(headers={"Authorization": f"Bearer {value}"})


# --- wrong passwords -----------------------------------------------------------------------------------------------


def test_after_ten_wrong_passwords_the_right_one_waits_too(client, annotator):
    assert [sign_in(client, "wrong").status_code for _ in range(9)] == [200] * 9
    locked = sign_in(client, "wrong")
    assert locked.status_code == 429
    assert "Too many attempts" in locked.content.decode()
    assert "script-src 'self'" in locked.headers["Content-Security-Policy"]
    assert sign_in(client, PASSWORD).status_code == 429
    assert AuditEvent.objects.filter(action="sign-in-locked", subject=annotator).count() == 1
    assert AuditEvent.objects.filter(action="sign-in-failed").count() <= 10
    # Neither the account elsewhere, nor others at the same address, nor its programs wait.
    assert sign_in(Client(), PASSWORD, address="192.0.2.2").status_code == 302
    assert sign_in(Client(), PASSWORD, username="nobody-such").status_code == 200
    assert bearer(annotator).get("/api/v1/projects/").status_code == 200


def test_the_sign_in_of_admin_counts_as_well(client):
    User.objects.create_superuser("olga", password=PASSWORD)
    form = {"username": "olga", "password": "wrong"}
    answers = [client.post("/admin/login/", form).status_code for _ in range(10)]
    assert answers[-1] == 429
    assert sign_in(client, PASSWORD, username="olga", address="127.0.0.1").status_code == 429


def test_an_old_password_is_not_guessed_where_it_is_changed_either(bob, client, annotator):
    """At a browser that was left open, on the page of the account; that of the administration leads there."""
    form = {"new_password1": NEW, "new_password2": NEW}
    page = "/accounts/password_change/"
    answers = [bob.post(page, form | {"old_password": "wrong"}).status_code for _ in range(10)]
    assert answers == [200] * 9 + [429]
    assert bob.post(page, form | {"old_password": PASSWORD}).status_code == 429
    assert sign_in(client, PASSWORD, address="127.0.0.1").status_code == 429
    User.objects.filter(pk=annotator.pk).update(is_staff=True)
    assert bob.post("/admin/password_change/", form | {"old_password": "wrong"}).headers["Location"] == page
    call_command("axes_reset_username", "bob")
    assert bob.post(page, form | {"old_password": PASSWORD}).status_code == 302
    assert sign_in(client, NEW).status_code == 302


def test_the_wait_ends_after_a_quarter_of_an_hour_and_by_the_operator(client, annotator):
    for _ in range(10):
        sign_in(client, "wrong")
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert sign_in(client, PASSWORD).status_code == 302
    for _ in range(10):
        sign_in(client, "wrong", address="192.0.2.3")
    call_command("axes_reset_username", "bob")
    assert sign_in(client, PASSWORD, address="192.0.2.3").status_code == 302


def test_a_right_password_forgets_the_wrong_ones(client, annotator):
    for _ in range(3):
        for _ in range(6):
            sign_in(client, "wrong")
        assert sign_in(client, PASSWORD).status_code == 302


# --- an address as a whole -----------------------------------------------------------------------------------------


def spray(address: str, count: int) -> None:
    """Wrong passwords for so many accounts, one each."""
    for number in range(count):
        sign_in(Client(), "wrong", username=f"person-{number}", address=address)


def test_an_address_that_tries_many_accounts_waits_as_a_whole(annotator, stranger, settings):
    settings.SIGN_IN_FAILURES_PER_ADDRESS = 20
    here, elsewhere = "192.0.2.7", "192.0.2.8"
    assert sign_in(Client(), PASSWORD, address=here).status_code == 302  # bob works from here
    spray(here, 20)
    waits = sign_in(Client(), PASSWORD, username="charlie", address=here)
    assert waits.status_code == 429
    assert waits.headers["Retry-After"] == "900"
    assert "Wait 15 minutes" in waits.content.decode()
    assert sign_in(Client(), "wrong", username="charlie", address=here).status_code == 429
    # Who has signed in from there before still can, and anybody from elsewhere.
    assert sign_in(Client(), PASSWORD, address=here).status_code == 302
    assert sign_in(Client(), PASSWORD, username="charlie", address=elsewhere).status_code == 302
    assert AuditEvent.objects.filter(action="sign-in-locked", address=here).exists()


def test_addresses_of_one_ipv6_network_are_one(annotator, settings):
    settings.SIGN_IN_FAILURES_PER_ADDRESS = 20
    for number in range(20):
        sign_in(Client(), "wrong", username=f"person-{number}", address=f"2001:db8:1:2::{number:x}")
    assert sign_in(Client(), PASSWORD, address="2001:db8:1:2:ffff::1").status_code == 429
    assert sign_in(Client(), PASSWORD, address="2001:db8:1:3::1").status_code == 302


def guess(number: int, address: str = "192.0.2.9") -> Any:
    value = f"pf_{number:043}"
    return Client().get("/api/v1/projects/", headers={"Authorization": f"Bearer {value}"}, REMOTE_ADDR=address)


def test_unknown_tokens_are_counted_and_wait_and_known_ones_do_not(annotator, settings, monkeypatch):
    settings.UNKNOWN_TOKENS_PER_MINUTE = 5
    moment = timezone.now().replace(second=40, microsecond=0)
    monkeypatch.setattr("annotation.actions.attempts.timezone.now", lambda: moment)
    assert [guess(number).status_code for number in range(5)] == [401] * 5
    waits = guess(6)
    assert waits.status_code == 429
    assert waits.headers["Retry-After"] == "20"
    assert "unknown tokens" in waits.json()["detail"]
    known = bearer(annotator)
    assert known.get("/api/v1/projects/", REMOTE_ADDR="192.0.2.9").status_code == 200  # behind the same proxy
    assert guess(7, address="192.0.2.10").status_code == 401
    assert guess(8).status_code == 429
    assert AuditEvent.objects.filter(action="tokens-refused", address="192.0.2.9").count() == 1
    moment += timedelta(minutes=1)
    assert guess(9).status_code == 401


# --- what ends with a password -------------------------------------------------------------------------------------


def test_tokens_and_other_sessions_end_with_a_password(client, annotator, as_user):
    program, elsewhere = bearer(annotator), as_user(annotator)
    assert program.get("/api/v1/projects/").status_code == 200
    assert sign_in(client, PASSWORD).status_code == 302
    form = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
    assert client.post("/accounts/password_change/", form).status_code == 302
    assert program.get("/api/v1/projects/").status_code == 401
    assert elsewhere.get("/").status_code == 302
    assert client.get("/").status_code == 200
    kept = AuditEvent.objects.filter(subject=annotator).values_list("action", flat=True)
    assert {"password-set", "token-revoked"} <= set(kept)


def test_a_password_that_the_operator_sets_ends_them_too(client, annotator):
    program = bearer(annotator)
    client.force_login(User.objects.create_superuser("olga"))
    form = {"password1": NEW, "password2": NEW, "usable_password": "true", "set-password": "1"}
    assert client.post(f"/admin/auth/user/{annotator.pk}/password/", form).status_code == 302
    assert program.get("/api/v1/projects/").status_code == 401


def test_a_refused_password_ends_nothing(client, annotator):
    program = bearer(annotator)
    client.force_login(annotator)
    form = {"old_password": "wrong", "new_password1": NEW, "new_password2": NEW}
    assert client.post("/accounts/password_change/", form).status_code == 200
    assert program.get("/api/v1/projects/").status_code == 200
    assert Token.objects.count() == 1


# --- a forgotten password ------------------------------------------------------------------------------------------


def test_without_a_mail_server_there_is_no_reset(client, settings):
    settings.EMAIL_HOST = ""
    for address in ("password_reset/", "password_reset/done/", "reset/MQ/abc/", "reset/done/"):
        assert client.get(f"/accounts/{address}").status_code == 404
    assert client.post("/accounts/password_reset/", {"email": "bob@example.org"}).status_code == 404
    assert "password_reset" not in client.get("/accounts/login/").content.decode()


def test_a_password_is_reset_by_mail(client, annotator, settings):
    settings.EMAIL_HOST, settings.PUBLIC_URL = "mail.example.org", "https://prefloop.example.org"
    program = bearer(annotator)
    User.objects.filter(pk=annotator.pk).update(email="bob@example.org")
    assert "/accounts/password_reset/" in client.get("/accounts/login/").content.decode()
    for _ in range(2):  # asking again at once sends no second mail
        assert client.post("/accounts/password_reset/", {"email": "bob@example.org"}).status_code == 302
    assert outbox.outbox == []  # not in the request
    assert mail.send_next()
    assert not mail.send_next()
    (sent,) = outbox.outbox
    path = re.search(r"https://prefloop\.example\.org(/accounts/reset/\S+)", sent.body)[1]
    assert MailMessage.objects.get().body == ""
    form = client.get(path, follow=True)
    address = form.redirect_chain[-1][0]
    assert client.post(address, {"new_password1": NEW, "new_password2": NEW}).status_code == 302
    assert sign_in(client, NEW).status_code == 302
    assert program.get("/api/v1/projects/").status_code == 401
    assert "This link has expired" in Client().get(path, follow=True).content.decode()


def test_an_unknown_address_is_answered_the_same_way(client, annotator, settings):
    settings.EMAIL_HOST = "mail.example.org"
    User.objects.filter(pk=annotator.pk).update(email="bob@example.org")
    known = client.post("/accounts/password_reset/", {"email": "bob@example.org"})
    unknown = client.post("/accounts/password_reset/", {"email": "nobody@example.org"})
    assert (known.status_code, known.headers["Location"]) == (unknown.status_code, unknown.headers["Location"])
    assert MailMessage.objects.count() == 1


# --- pages that are not kept, and the documented deployment --------------------------------------------------------


@pytest.mark.parametrize("address", ["/", "/projects/letters/", "/api/v1/projects/", "/accounts/password_change/"])
def test_private_pages_are_kept_by_no_browser(address, admin, as_user):
    assert "no-store" in as_user(admin).get(address).headers["Cache-Control"]


@pytest.mark.slow
@pytest.mark.parametrize("with_single_sign_on", [False, True])
def test_the_documented_deployment_passes_djangos_own_check(tmp_path, with_single_sign_on):
    """As docs/guides/accounts.md and sign-in.md say: PREFLOOP_HTTPS and PREFLOOP_HOSTS are set, and the provider."""
    unset = {"PREFLOOP_DEBUG", "PREFLOOP_SECRET_KEY", "DJANGO_SETTINGS_MODULE"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {"PREFLOOP_HOME": str(tmp_path), "PREFLOOP_HTTPS": "1", "PREFLOOP_HOSTS": "prefloop.example.org"}
    if with_single_sign_on:
        (tmp_path / "oidc-secret").write_text("a secret")
        environment |= {"PREFLOOP_OIDC_ISSUER": "https://login.example.org/realms/people", "PREFLOOP_PASSWORDS": "off"}
        environment |= {"PREFLOOP_OIDC_CLIENT_ID": "prefloop"}
        environment |= {"PREFLOOP_OIDC_SECRET_FILE": str(tmp_path / "oidc-secret")}
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- the last admin ------------------------------------------------------------------------------------------------


def test_two_admins_cannot_both_go(project, admin, stranger, as_user):
    """The second request is one that was decided on while there still were two."""
    Membership.objects.create(project=project, user=stranger, role=Role.ADMIN)
    projects.set_member(project=project, user=stranger, role=Role.ANNOTATOR, by=admin)
    with pytest.raises(NotPossible, match="alice is the only admin of Letters"):
        projects.set_member(project=project, user=admin, role=Role.ANNOTATOR, by=stranger)
    with pytest.raises(NotPossible, match="only admin"):
        projects.remove_member(project=project, user=admin, by=stranger)
    assert project.memberships.get(role=Role.ADMIN).user == admin


def test_an_admin_with_a_closed_account_does_not_count(project, admin, stranger, as_user):
    stranger.is_active = False
    stranger.save()
    Membership.objects.create(project=project, user=stranger, role=Role.ADMIN)
    with pytest.raises(NotPossible, match="only admin"):
        projects.set_member(project=project, user=admin, role=Role.REVIEWER, by=stranger)


def test_the_account_of_the_only_admin_is_not_closed(client, project, admin):
    client.force_login(User.objects.create_superuser("olga"))
    address = f"/admin/auth/user/{admin.pk}/change/"
    form = {"username": "alice", "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    page = client.post(address, form).content.decode()
    assert "alice is the only admin of Letters" in page
    admin.refresh_from_db()
    assert admin.is_active
    Membership.objects.create(project=project, user=User.objects.create_user("dora"), role=Role.ADMIN)
    assert client.post(address, form).status_code == 302
    admin.refresh_from_db()
    assert not admin.is_active
    assert client.get(f"/admin/auth/user/{admin.pk}/delete/").status_code == 403
