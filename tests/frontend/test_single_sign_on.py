"""Sign-in through a real OpenID Connect provider on this machine: who gets in, and what is refused in words."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import requests
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from annotation import outgoing
from annotation.actions import invitations
from annotation.actions.tokens import make_token
from annotation.models import AuditEvent, Role, Scope
from frontend.accounts import people
from frontend.accounts.single_sign_on import adapters, configuration
from frontend.accounts.single_sign_on.provider import ProviderSession
from tests.conftest import PASSWORD
from tests.identity_provider import CLIENT_ID, SECRET

pytestmark = [pytest.mark.django_db, pytest.mark.xdist_group("identity provider")]
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.identity_provider"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def environment(issuer: str, tmp_path: Path, **more: str) -> dict[str, str]:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    named = {f"PREFLOOP_OIDC_{name}": value for name, value in more.items()}
    return {
        "PREFLOOP_OIDC_ISSUER": issuer,
        "PREFLOOP_OIDC_CLIENT_ID": CLIENT_ID,
        "PREFLOOP_OIDC_SECRET_FILE": str(file),
        "PREFLOOP_OIDC_LABEL": "Example University",
        **named,
    }


@pytest.fixture
def configure(issuer, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(adapters, "REFUSED_PER_MINUTE", 10_000)  # all tests come from one address

    def set_up(**more: str) -> None:
        settings.OIDC = configuration.from_environment(environment(issuer, tmp_path, **more))
        cache.delete(f"oidc:{issuer}")

    set_up()
    return set_up


@pytest.fixture
def sign_in(issuer, configure):
    """Press the button, follow the browser's way to the provider and back; return the last answer."""

    def press(client: Client | None = None, next_page: str = "", sub: str = "s-1", **said: Any):
        requests.post(f"{issuer}/next", json={"sub": sub, **said}, timeout=10)
        client = client or Client()
        there = client.post("/accounts/single-sign-on/", {"next": next_page})
        if there.status_code != 302:
            return there
        answer = requests.get(there.headers["Location"], allow_redirects=False, timeout=10)
        path = answer.headers["Location"].removeprefix("http://testserver")
        return client.get(path)

    return press


def person(address: str = "bob@example.org", verified: bool = True, **more: Any) -> dict[str, Any]:
    return {"userinfo": {"email": address, "email_verified": verified, "preferred_username": "bob.b", **more}}


def words(answer) -> str:
    return unescape(answer.content.decode())


def test_who_is_linked_signs_in_again_by_who_they_are_and_not_by_their_address(sign_in, annotator, client):
    User.objects.filter(pk=annotator.pk).update(email="Bob@example.org")
    _, token = make_token(user=annotator, name="script", scopes=[Scope.READ])
    assert sign_in(client, **person()).headers["Location"] == "/"
    assert client.get("/").context["user"] == annotator
    # Anybody could have made the account with this address: what they had of it ends.
    annotator.refresh_from_db()
    assert not annotator.has_usable_password()
    assert Client().get("/api/v1/projects/", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert SocialAccount.objects.get().extra_data == {}
    later = Client()
    sign_in(later, **person("bob@elsewhere.example"))
    assert later.get("/").context["user"] == annotator
    found = AuditEvent.objects.filter(subject=annotator).order_by("id").values_list("action", "what")
    assert [row for row in found if row[1] == "single sign-on"] == [
        ("sign-in-linked", "single sign-on"),
        ("signed-in", "single sign-on"),
        ("signed-in", "single sign-on"),
    ]


def test_an_address_that_is_not_verified_links_nothing(sign_in, annotator):
    User.objects.filter(pk=annotator.pk).update(email="bob@example.org")
    answer = sign_in(**person(verified=False))
    assert answer.status_code == 403
    assert "has not verified that it is yours" in words(answer)
    assert not SocialAccount.objects.exists()
    annotator.refresh_from_db()
    assert annotator.has_usable_password()


HOUR = 3600


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"claims": {"nonce": "another"}}, "answers another sign-in than yours"),
        ({"claims": {"nonce": None}}, "answers another sign-in than yours"),
        ({"claims": {"aud": "another application"}}, "for another application"),
        ({"claims": {"aud": [CLIENT_ID, "another"], "azp": "another"}}, "for another application"),
        ({"claims": {"iss": "https://issuer.example"}}, "from another issuer"),
        ({"claims": {"exp": int(time.time()) - HOUR}}, "has expired"),
        ({"claims": {"iat": int(time.time()) + HOUR}}, "not yet valid"),
        ({"claims": {"sub": None}}, "is not valid"),
        ({"fault": "other_key"}, "not signed by the provider"),
        ({"fault": "no_token"}, "sent no ID token"),
        ({"fault": "other_sub"}, "two different people"),
        ({"fault": "redirect"}, "no usable response"),
        ({"fault": "large"}, "no usable response"),
        ({"described": {"issuer": "https://issuer.example"}}, "calls itself 'https://issuer.example'"),
        ({"described": {"token_endpoint": "http://127.0.0.1:9/token"}}, "is not the identity provider"),
        ({"described": {"jwks_uri": "http://169.254.169.254/latest"}}, "is not the identity provider"),
        ({"described": {"authorization_endpoint": None}}, "authorization_endpoint"),
    ],
)
def test_what_is_wrong_with_the_answer_is_refused_in_words(sign_in, annotator, said, why):
    User.objects.filter(pk=annotator.pk).update(email="bob@example.org")
    client = Client()
    answer = sign_in(client, **{**person(), **said})
    assert answer.status_code == 403, answer.content
    assert why in words(answer)
    assert client.get("/").status_code == 302
    assert not SocialAccount.objects.exists()
    assert why in AuditEvent.objects.get(action="sign-in-failed").detail["why"]


def test_a_way_back_that_was_not_begun_here_is_refused_and_many_wait(configure, client, monkeypatch):
    address = "/accounts/single-sign-on/back/?code=made-up&state=made-up"
    answer = client.get(address)
    assert answer.status_code == 403
    assert "was not started in this browser" in words(answer)
    moment = timezone.now()
    monkeypatch.setattr("annotation.actions.attempts.timezone.now", lambda: moment)
    monkeypatch.setattr(adapters, "REFUSED_PER_MINUTE", 3)
    answers = [client.get(address, REMOTE_ADDR="192.0.2.8").status_code for _ in range(5)]
    assert answers == [403, 403, 403, 429, 429]
    assert client.get(address, REMOTE_ADDR="192.0.2.9").status_code == 403
    assert AuditEvent.objects.filter(action="sign-in-failed", address="192.0.2.8").count() == 3


def test_unknown_people_need_an_invitation_to_their_verified_address(sign_in, configure, project, admin):
    answer = sign_in(**person("dora@example.org"))
    assert "no invitation to your verified address is open" in words(answer)
    assert not User.objects.filter(email="dora@example.org").exists()
    invitations.invite(project=project, role=Role.REVIEWER, by=admin, days=1, notes=["dora@example.org"])
    unverified = sign_in(**person("dora@example.org", verified=False))
    assert unverified.status_code == 403
    assert sign_in(**person("Dora@example.org", preferred_username="alice")).status_code == 302
    dora = User.objects.get(email="Dora@example.org")
    assert dora.username == "alice-2"
    assert not dora.has_usable_password()
    assert project.memberships.get(user=dora).role == Role.REVIEWER
    assert AuditEvent.objects.filter(action="account-created", subject=dora).exists()
    assert AuditEvent.objects.filter(action="joined", subject=dora).exists()


def test_who_holds_a_link_joins_with_it(sign_in, configure, project, admin):
    ((_, key),) = invitations.invite(project=project, role=Role.ANNOTATOR, by=admin, days=1)
    client, page = Client(), reverse("invitation", args=[key])
    assert "Sign in with Example University" in words(client.get(page))
    assert sign_in(client, next_page=page, **person("erin@example.org")).headers["Location"] == page
    assert client.post(page).status_code == 302
    assert project.memberships.filter(user__email="erin@example.org").exists()


def test_new_accounts_for_all_or_for_nobody(sign_in, configure):
    configure(NEW_ACCOUNTS="none")
    assert "An administrator can make one" in words(sign_in(**person()))
    configure(NEW_ACCOUNTS="all")
    assert sign_in(**person()).status_code == 302
    assert sign_in(sub="s-2", **person("x@example.org", verified=False)).status_code == 302
    assert list(User.objects.order_by("pk").values_list("username", "email")) == [
        ("bob.b", "bob@example.org"),
        ("bob.b-2", ""),
    ]


def test_only_the_domains_and_the_claim_that_are_set_get_in(sign_in, configure):
    configure(NEW_ACCOUNTS="all", DOMAINS="example.org, @sub.example.com")
    assert "addresses of example.org, sub.example.com only" in words(sign_in(**person("eve@example.net")))
    assert sign_in(**person("eve@notexample.org")).status_code == 403
    assert sign_in(**person("eve@example.org", verified=False)).status_code == 403
    assert sign_in(**person("fay@sub.example.com")).status_code == 302
    configure(NEW_ACCOUNTS="all", CLAIM="groups=raters")
    assert "with groups raters only" in words(sign_in(sub="s-2", **person("gus@example.org")))
    assert sign_in(sub="s-2", **person("gus@example.org", groups=["others"])).status_code == 403
    assert sign_in(sub="s-2", **person("gus@example.org", groups=["others", "raters"])).status_code == 302
    # Who has an account and is in the group no more is out as well.
    assert sign_in(sub="s-2", **person("gus@example.org", groups=["others"])).status_code == 403


def test_a_closed_account_and_an_address_of_two_accounts_stay_out(sign_in, annotator, stranger):
    User.objects.filter(pk=annotator.pk).update(email="bob@example.org")
    assert sign_in(**person()).status_code == 302
    User.objects.filter(pk=annotator.pk).update(is_active=False)
    assert "Your account on this server is closed" in words(sign_in(**person()))
    User.objects.filter(pk__in=[annotator.pk, stranger.pk]).update(email="both@example.org")
    assert "Several accounts here" in words(sign_in(sub="s-3", **person("both@example.org")))


def test_the_page_leads_nowhere_else(sign_in, configure):
    configure(NEW_ACCOUNTS="all")
    assert sign_in(next_page="https://elsewhere.example/", **person()).headers["Location"] == "/"
    page = Client().get("/accounts/login/")
    assert "Sign in with Example University" in words(page)
    assert Client().get("/accounts/single-sign-on/").status_code == 405
    assert Client(enforce_csrf_checks=True).post("/accounts/single-sign-on/").status_code == 403


def test_the_forms_may_lead_to_the_provider_and_signing_out_ends_there_too(sign_in, configure, issuer):
    configure(NEW_ACCOUNTS="all")
    client = Client()
    sign_in(client, **person())
    assert f"form-action 'self' {issuer};" in client.get("/").headers["Content-Security-Policy"]
    left = client.post("/accounts/logout/")
    assert left.headers["Location"].startswith(f"{issuer}/end?client_id=prefloop&id_token_hint=ey")
    assert client.get("/").status_code == 302
    assert AuditEvent.objects.filter(action="signed-out").exists()
    other = Client()
    other.force_login(User.objects.get())
    assert other.post("/accounts/logout/").headers["Location"] == "/accounts/login/"


@pytest.mark.parametrize(
    "name",
    ["account_signup", "account_email", "account_login", "socialaccount_connections", "socialaccount_signup"],
)
def test_no_page_of_allauth_is_there(name):
    with pytest.raises(NoReverseMatch):
        reverse(name)


def test_without_a_provider_there_is_neither_button_nor_address(client, settings):
    settings.OIDC = None
    assert "single-sign-on" not in client.get("/accounts/login/").content.decode()
    assert client.post("/accounts/single-sign-on/").status_code == 404
    assert client.get("/accounts/single-sign-on/back/").status_code == 404


def test_passwords_can_be_off_and_a_superuser_still_gets_in_from_the_shell(
    sign_in, configure, settings, annotator, client, capsys
):
    settings.PASSWORD_SIGN_IN = False
    settings.AUTHENTICATION_BACKENDS = [
        settings.AUTHENTICATION_BACKENDS[0],
        "frontend.accounts.backend.WithoutPasswords",
    ]
    assert 'name="password"' not in client.get("/accounts/login/").content.decode()
    form = {"username": "bob", "password": PASSWORD}
    assert client.post("/accounts/login/", form).status_code == 403
    assert client.post("/admin/login/", form).status_code == 302
    assert client.get("/").status_code == 302
    for address in ("password_change/", "password_reset/"):
        assert client.get(f"/accounts/{address}").status_code == 404
    olga = User.objects.create_superuser("olga", password=PASSWORD)
    with pytest.raises(CommandError, match="no superuser called 'bob'"):
        call_command("sign_in_link", "bob")
    call_command("sign_in_link", "olga")
    link = capsys.readouterr().out.strip()
    assert "Sign in as olga" in client.get(link).content.decode()
    assert client.post(link).status_code == 302
    assert client.get("/admin/").status_code == 200
    assert Client().post(link).status_code == 404  # once
    assert AuditEvent.objects.get(action="signed-in", subject=olga).what == "one-time link"
    User.objects.filter(pk=annotator.pk).update(email="bob@example.org")
    member = Client()
    assert sign_in(member, **person()).status_code == 302
    assert member.get("/projects/letters/").status_code == 200


def test_what_is_stored_about_a_persons_sign_in_goes_with_them(sign_in, configure):
    configure(NEW_ACCOUNTS="all")
    sign_in(**person())
    user = User.objects.get()
    assert "socialaccount" in dict(people.rows_about(user))
    people.erase(user, by=None)
    assert not SocialAccount.objects.exists()


def test_requests_go_to_the_provider_and_nowhere_else(issuer):
    origins = (issuer,)
    outgoing.of_identity_provider(f"{issuer}/token", origins)
    port = int(issuer.rpartition(":")[2])
    for other in (f"http://localhost:{port}/", f"http://127.0.0.1:{port + 1}/", f"https://127.0.0.1:{port}/"):
        with pytest.raises(outgoing.NotAllowed, match="PREFLOOP_OIDC_HOSTS"):
            outgoing.of_identity_provider(other, origins)
        with pytest.raises(requests.RequestException):
            ProviderSession(origins).get(other)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"PREFLOOP_OIDC_ISSUER": "http://issuer.example"}, "https://"),
        ({"PREFLOOP_OIDC_ISSUER": "issuer.example"}, "should be an address"),
        ({"PREFLOOP_OIDC_CLIENT_ID": ""}, "CLIENT_ID is missing"),
        ({"PREFLOOP_OIDC_SECRET_FILE": ""}, "SECRET_FILE is missing"),
        ({"PREFLOOP_OIDC_SECRET_FILE": "/no/such/file"}, "cannot be read"),
        ({"PREFLOOP_OIDC_CLAIM": "groups"}, "name=value"),
        ({"PREFLOOP_OIDC_NEW_ACCOUNTS": "some"}, "invited, all, none"),
    ],
)
def test_settings_that_cannot_be_are_named(tmp_path, change, why):
    with pytest.raises(ImproperlyConfigured, match=why):
        configuration.from_environment(environment("https://issuer.example", tmp_path) | change)


def test_the_secret_is_a_files_content(tmp_path):
    found = configuration.from_environment(environment("https://issuer.example/realm/", tmp_path, HOSTS="keys.example"))
    assert found is not None
    assert (found.secret, found.issuer) == (SECRET, "https://issuer.example/realm")
    assert found.origins == ("https://issuer.example", "https://keys.example")
    assert configuration.from_environment({}) is None
