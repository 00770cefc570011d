"""Tokens: made on the account's page, seen once, good for their scopes and no longer than they should be."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import URLPattern, get_resolver
from django.utils import timezone

from annotation.api.authentication import HasScope
from annotation.models import Membership, Role, Scope, Token
from frontend.api import urls

pytestmark = pytest.mark.django_db
PROJECT = "/api/v1/projects/letters"
OPEN_TO_ALL = {"schema", "api_docs"}


def make(client, *scopes: str, **fields) -> str:
    """Over the account's page, as a person does; gives what the page shows."""
    page = client.post("/accounts/tokens/", {"name": "nightly", "scopes": scopes, **fields}).content.decode()
    found = re.search(r'value="(pf_[\w-]+)"', page)
    assert found is not None, page
    return found[1]


def with_token(value: str, scheme: str = "Bearer") -> Client:
    return Client(enforce_csrf_checks=True, headers={"Authorization": f"{scheme} {value}"})


def test_the_value_is_shown_once_and_only_its_hash_is_kept(alice, admin):
    value = make(alice, "read", "data", days="7")
    token = Token.objects.get()
    assert token.user == admin
    assert token.scopes == "read data"
    assert token.digest == hashlib.sha256(value.encode()).hexdigest()
    assert value.startswith(token.prefix)
    assert len(token.prefix) < 12 < len(value)
    assert timedelta(days=6) < token.expires_at - timezone.now() <= timedelta(days=7)
    again = alice.get("/accounts/tokens/").content.decode()
    assert value not in again
    assert token.prefix in again


def test_a_token_that_may_do_nothing_is_refused_in_words(alice):
    page = alice.post("/accounts/tokens/", {"name": "idle"}).content.decode()
    assert "Choose at least one" in page
    assert not Token.objects.exists()


def test_the_page_that_shows_a_value_is_kept_by_no_cache(alice):
    response = alice.post("/accounts/tokens/", {"name": "nightly", "scopes": ["read"]})
    assert "no-store" in response.headers["Cache-Control"]


def test_a_program_with_a_token_acts_as_its_owner_without_a_session(alice, project):
    program = with_token(make(alice, "read"))
    assert [row["slug"] for row in program.get("/api/v1/projects/").json()["results"]] == ["letters"]
    assert program.get("/api/v1/projects/").cookies == {}


@pytest.mark.parametrize(
    ("scope", "allowed", "refused"),
    [
        ("read", [("get", "/prompts/"), ("get", "/rounds/")], [("post", "/tasks/claim/"), ("post", "/prompts/")]),
        ("annotate", [("post", "/tasks/claim/")], [("get", "/prompts/"), ("post", "/snapshots/")]),
        ("data", [("post", "/snapshots/"), ("post", "/prompts/")], [("get", "/snapshots/"), ("post", "/rounds/")]),
        ("train", [("post", "/rounds/")], [("get", "/rounds/"), ("post", "/snapshots/withdraw/")]),
    ],
)
def test_a_token_is_good_for_its_scopes_alone(alice, scope, allowed, refused):
    program = with_token(make(alice, scope))
    for method, path in allowed:
        assert getattr(program, method)(PROJECT + path).status_code not in (401, 403), path
    for method, path in refused:
        response = getattr(program, method)(PROJECT + path)
        assert response.status_code == 403
        assert "lacks the scope" in response.json()["detail"]


def test_a_scope_gives_nobody_a_larger_role(project, annotator, stranger, as_user):
    everything = [scope.value for scope in Scope]
    bobs, charlies = (with_token(make(as_user(user), *everything)) for user in (annotator, stranger))
    assert bobs.get(f"{PROJECT}/prompts/").status_code == 403
    assert bobs.post(f"{PROJECT}/rounds/").status_code == 403
    assert charlies.get(f"{PROJECT}/").status_code == 404


def test_losing_the_membership_is_felt_at_once(alice, project, admin):
    program = with_token(make(alice, "read"))
    assert program.get(f"{PROJECT}/prompts/").status_code == 200
    Membership.objects.filter(user=admin).update(role=Role.ANNOTATOR)
    assert program.get(f"{PROJECT}/prompts/").status_code == 403


def test_a_revoked_token_an_old_one_and_a_made_up_one_are_refused_alike(alice, admin):
    revoked, old = make(alice, "read"), make(alice, "read", days="1")
    alice.post(f"/accounts/tokens/{Token.objects.get(expires_at=None).pk}/revoke/")
    Token.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    answers = [with_token(value).get("/api/v1/projects/") for value in (revoked, old, "pf_made-up", "", "pf_ü")]
    assert {response.status_code for response in answers} == {401}
    assert len({response.content for response in answers}) == 1
    assert {response.headers["WWW-Authenticate"] for response in answers} == {"Bearer"}


def test_the_token_of_an_account_that_is_closed_is_refused(alice, admin):
    value = make(alice, "read")
    admin.is_active = False
    admin.save()
    assert with_token(value).get("/api/v1/projects/").status_code == 401


def test_nobody_revokes_the_token_of_somebody_else(alice, annotator, as_user):
    value = make(alice, "read")
    pk = Token.objects.get().pk
    assert as_user(annotator).post(f"/accounts/tokens/{pk}/revoke/").status_code == 404
    assert with_token(value).get("/api/v1/projects/").status_code == 200


def test_the_last_use_is_noted_but_not_written_for_every_request(alice, project, django_assert_num_queries):
    value = make(alice, "read")
    assert Token.objects.get().last_used_at is None
    with_token(value).get("/api/v1/projects/")
    first = Token.objects.get().last_used_at
    assert timezone.now() - first < timedelta(seconds=20)
    with django_assert_num_queries(2):  # the token with its owner, the projects
        with_token(value).get("/api/v1/projects/")
    assert Token.objects.get().last_used_at == first
    Token.objects.update(last_used_at=first - timedelta(minutes=2))
    with_token(value).get("/api/v1/projects/")
    assert Token.objects.get().last_used_at >= first


def test_a_session_still_needs_its_csrf_token_and_another_scheme_is_not_ours(alice, admin, project):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(admin)
    assert browser.get(f"{PROJECT}/prompts/").status_code == 200
    assert browser.post(f"{PROJECT}/tasks/claim/").status_code == 403
    assert with_token(make(alice, "read"), scheme="Token").get("/api/v1/projects/").status_code == 401


def test_a_method_that_is_not_there_is_405_whatever_the_token_is_for(alice, project):
    assert with_token(make(alice, "annotate")).delete(f"{PROJECT}/prompts/").status_code == 405


def test_every_endpoint_declares_a_scope_and_checks_it():
    checked = 0
    for pattern in _patterns(urls.urlpatterns):
        if pattern.name in OPEN_TO_ALL:
            continue
        view = pattern.callback.cls
        assert HasScope in view.permission_classes, view
        for action in pattern.callback.actions.values():
            assert isinstance(view.scopes.get(action), Scope), f"{view.__name__}.{action} declares no scope"
            checked += 1
    assert checked > 20
    assert get_resolver("frontend.api.urls").url_patterns == urls.urlpatterns


def _patterns(entries):
    for entry in entries:
        if isinstance(entry, URLPattern):
            yield entry
        else:
            yield from _patterns(entry.url_patterns)


def test_the_description_names_the_scope_of_each_operation(client):
    document = client.get("/api/v1/schema/", headers={"Accept": "application/vnd.oai.openapi+json"}).json()
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    operations = [each for path in document["paths"].values() for each in path.values()]
    assert len(operations) > 20
    for operation in operations:
        assert "Scope of a token: `" in operation["description"], operation["operationId"]
        assert {"token": []} in operation["security"]


def test_the_command_prints_a_token_that_works(annotator, project):
    out = StringIO()
    call_command("make_token", "bob", "--scopes", "annotate", "--name", "robot", stdout=out)
    assert with_token(out.getvalue().strip()).post(f"{PROJECT}/tasks/claim/").status_code == 204
    assert Token.objects.get().name == "robot"
    with pytest.raises(CommandError, match="There is no user"):
        call_command("make_token", "nobody")
