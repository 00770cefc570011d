"""The first-run page: one admin is made in the browser, by the owner of the server, once."""

from __future__ import annotations

import logging
import threading

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client

from annotation.actions import first_admin
from annotation.errors import NotPossible
from annotation.models import AuditEvent, ServerSetup

pytestmark = [pytest.mark.django_db, pytest.mark.database]
PASSWORD = "correct horse battery staple"
ACCOUNT = {"username": "olga", "email": "", "password1": PASSWORD, "password2": PASSWORD}
CODE = "Set-up code"


@pytest.fixture(autouse=True)
def _own_machine(settings):
    """The server has no name for others, as `serve` has it by default."""
    settings.ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]


@pytest.fixture
def here() -> Client:
    return Client(headers={"host": "localhost:8000"}, REMOTE_ADDR="127.0.0.1")


def test_from_an_empty_server_to_the_first_admin(here):
    page = here.get("/", follow=True)
    assert page.redirect_chain[-1][0] == "/accounts/setup/"
    assert CODE not in page.content.decode()
    made = here.post("/accounts/setup/", ACCOUNT, follow=True)
    assert made.redirect_chain[-1][0] == "/projects/new/"
    assert made.status_code == 200
    olga = User.objects.get()
    assert (olga.username, olga.is_superuser, olga.is_staff) == ("olga", True, True)
    assert olga.check_password(PASSWORD)
    assert AuditEvent.objects.get(action="first-admin").actor_id == olga.pk


def test_once_there_is_an_account_the_page_is_closed_for_good(here):
    here.post("/accounts/setup/", ACCOUNT)
    stranger = Client(headers={"host": "localhost:8000"})
    for response in (
        stranger.get("/accounts/setup/"),
        stranger.post("/accounts/setup/", ACCOUNT | {"username": "eve"}),
    ):
        assert (response.status_code, response.headers["Location"]) == (302, "/accounts/login/")
    User.objects.all().delete()  # even where every account is deleted later
    assert stranger.post("/accounts/setup/", ACCOUNT | {"username": "eve"}).status_code == 302
    assert stranger.get("/accounts/login/").status_code == 200
    assert not User.objects.exists()


def test_an_account_from_the_command_line_closes_it_too(here):
    User.objects.create_superuser("root", password=PASSWORD)
    assert here.post("/accounts/setup/", ACCOUNT).status_code == 302
    assert User.objects.count() == 1
    with pytest.raises(NotPossible, match="already has an admin"):
        first_admin.make_first_admin(user=User(username="eve"))


ELSEWHERE = [
    ({"REMOTE_ADDR": "203.0.113.7"}, "localhost:8000"),
    ({"REMOTE_ADDR": "::ffff:203.0.113.7"}, "localhost:8000"),
    ({"REMOTE_ADDR": ""}, "localhost:8000"),  # behind a Unix socket
    ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.7"}, "localhost:8000"),
    ({"REMOTE_ADDR": "127.0.0.1", "HTTP_FORWARDED": "for=203.0.113.7"}, "localhost:8000"),
]


@pytest.mark.parametrize(("where", "host"), ELSEWHERE)
def test_from_elsewhere_it_asks_for_the_code(where, host):
    visitor = Client(headers={"host": host}, **where)
    assert CODE in visitor.get("/accounts/setup/").content.decode()
    for code in ("", "AAAA-BBBB-CCCC-DDDD"):
        refused = visitor.post("/accounts/setup/", ACCOUNT | {"code": code})
        assert refused.status_code == 422
        assert "This is not the set-up code of this server." in refused.content.decode()
    assert not User.objects.exists()
    code = first_admin.set_up_code()
    assert visitor.post("/accounts/setup/", ACCOUNT | {"code": f" {code.lower()} "}).status_code == 302
    assert User.objects.get().is_superuser


@pytest.mark.parametrize(
    "public", [{"ALLOWED_HOSTS": ["localhost", "prefloop.example.org"]}, {"PUBLIC_URL": "https://a"}]
)
def test_a_server_with_a_public_name_asks_even_on_its_own_machine(public, settings, here):
    """A proxy there may hide where a request came from."""
    for name, value in public.items():
        setattr(settings, name, value)
    assert CODE in here.get("/accounts/setup/").content.decode()


def test_the_code_is_another_one_in_each_database_and_in_the_log(caplog, settings):
    from frontend.accounts import first_run

    first_run._log_code.cache_clear()
    code = first_admin.set_up_code()
    assert code == first_admin.set_up_code()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            Client(headers={"host": "localhost"}, REMOTE_ADDR="203.0.113.7").get("/accounts/setup/")
    assert [code in record.message for record in caplog.records if "Set-up code" in record.message] == [True]
    ServerSetup.objects.all().delete()
    assert first_admin.set_up_code() != code


def test_a_weak_password_is_refused_in_words(here):
    page = here.post("/accounts/setup/", ACCOUNT | {"password1": "x", "password2": "x"})
    assert page.status_code == 422
    assert "too short" in page.content.decode()
    assert first_admin.is_open()


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_the_database_lets_one_through(here):
    names, barrier = ["olga", "eve"], threading.Barrier(2)
    outcomes: dict[str, str] = {}

    def attempt(name: str) -> None:
        barrier.wait()
        try:
            first_admin.make_first_admin(user=User(username=name))
            outcomes[name] = "made"
        except NotPossible:
            outcomes[name] = "refused"
        finally:
            connections.close_all()

    threads = [threading.Thread(target=attempt, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes.values()) == ["made", "refused"]
    assert User.objects.get().username == next(name for name in names if outcomes[name] == "made")
