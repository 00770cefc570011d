"""Nothing that somebody did is ever lost: not by a dead or slow server, an expired login, a reload or a second tab."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from playwright.sync_api import Route, expect

from annotation.models import Ranking, ReferenceAnswer
from tests.browser.steps import get_task, press, ready, saved, submit
from tests.conftest import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_draft_survives_a_reload(visit, annotator, open_ranking_task):
    open_ranking_task()
    visitor = visit(annotator)
    page = visitor.page
    seat = get_task(visitor)
    press(page, "2 x 3")
    page.locator("#rationale").fill("Two is kind.")
    saved(page)
    kept = "Object.keys(localStorage).filter((key) => key.startsWith('prefloop.draft.'))"
    assert page.evaluate(kept) == []  # the next person at this machine finds nothing
    page.evaluate("localStorage.clear()")  # as on another device
    page.reload()
    ready(page)
    a, b, c, d = seat.shown_order
    expect(page.locator("#tiers")).to_have_value("[[2],[3]]")
    expect(page.locator("#rationale")).to_have_value("Two is kind.")
    expect(page.locator("#placed > :not(.gap)")).to_have_count(3)
    press(page, "1")
    submit(page, seat)
    ranking = Ranking.objects.get()
    assert ranking.tiers == [[b], [c], [a], [d]]
    assert ranking.unacceptable == sorted([a, c, d])


def test_work_done_offline_is_kept_and_sent_when_the_server_is_back(visit, annotator, open_ranking_task):
    open_ranking_task(["A", "B"], kind="reference")
    visitor = visit(annotator)
    visitor.expected += ["net::ERR_INTERNET_DISCONNECTED", "htmx:sendError", "htmx:afterRequest"]
    page = visitor.page
    seat = get_task(visitor)
    visitor.context.set_offline(True)
    page.get_by_label("Your response").fill("Written on a train.")
    expect(page.locator("#save-state")).to_have_text("Not saved – kept in this browser")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("alert").filter(has_text="cannot be reached")).to_be_visible()
    expect(page.get_by_label("Your response")).to_have_value("Written on a train.")
    visitor.context.set_offline(False)
    expect(page.get_by_text("Connected again")).to_be_visible(timeout=20_000)
    saved(page)
    seat.refresh_from_db()
    assert seat.draft["text"] == "Written on a train."
    submit(page, seat)
    assert ReferenceAnswer.objects.get().completion.text == "Written on a train."


def test_what_never_reached_the_server_is_there_after_a_reload(visit, annotator, open_ranking_task):
    open_ranking_task(["A", "B"], kind="reference")
    visitor = visit(annotator)
    visitor.expected += ["net::ERR_FAILED"]
    page = visitor.page
    seat = get_task(visitor)
    page.get_by_label("Your response").fill("First.")
    saved(page)

    def refuse(route: Route) -> None:
        route.abort()

    page.route("**/draft/", refuse)
    page.get_by_label("Your response").fill("Second.")
    expect(page.locator("#save-state")).to_have_text("Not saved – kept in this browser")
    page.unroute("**/draft/", refuse)
    page.reload()
    ready(page)
    expect(page.get_by_label("Your response")).to_have_value("Second.")
    saved(page)
    seat.refresh_from_db()
    assert seat.draft["text"] == "Second."


def test_an_expired_login_takes_nothing_away(visit, annotator, open_ranking_task):
    open_ranking_task()
    visitor = visit(annotator)
    visitor.expected += ["403 (Forbidden)", "Response Status Error Code 403"]
    page = visitor.page
    seat = get_task(visitor)
    a, b, c, d = seat.shown_order
    press(page, "4 3 2")
    saved(page)
    page.locator("#rationale").fill("Worth keeping.")
    Session.objects.all().delete()
    page.get_by_role("button", name="Submit").click()
    alert = page.get_by_role("alert").filter(has_text="You are signed out")
    expect(alert).to_be_visible()
    expect(page.locator("#tiers")).to_have_value("[[4],[3],[2],[1]]")

    with visitor.context.expect_page() as opened:
        alert.get_by_role("link").click()
    tab = opened.value
    tab.get_by_label("Username").fill("bob")
    tab.get_by_label("Password").fill(PASSWORD)
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#task[data-ready]")
    tab.close()

    expect(page.get_by_text("Connected again")).to_be_visible(timeout=20_000)
    expect(page.locator("#rationale")).to_have_value("Worth keeping.")
    submit(page, seat)
    ranking = Ranking.objects.get()
    assert ranking.tiers == [[d], [c], [b], [a]]
    assert ranking.rationale == "Worth keeping."


def test_a_refused_submit_says_why_and_keeps_everything(visit, annotator, open_ranking_task):
    open_ranking_task()
    visitor = visit(annotator)
    visitor.expected += ["422 (Unprocessable", "Response Status Error Code 422"]
    page = visitor.page
    seat = get_task(visitor)
    press(page, "1 2 3")
    page.locator("#rationale").fill("Because.")
    page.evaluate("document.querySelector('#tiers').value = '[[0]]'")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("alert").filter(has_text="not in this task")).to_be_visible()
    expect(page.locator("#rationale")).to_have_value("Because.")
    expect(page.locator("#placed .answer")).to_have_count(4)
    submit(page, seat)
    assert Ranking.objects.get().rationale == "Because."


def test_a_task_finished_in_another_tab_is_not_answered_twice(visit, annotator, open_ranking_task):
    open_ranking_task()
    visitor = visit(annotator)
    visitor.expected += ["409 (Conflict)"]
    page = visitor.page
    seat = get_task(visitor)
    tab = visitor.context.new_page()
    tab.goto(page.url)
    ready(tab)
    press(tab, "1 2 3")
    submit(tab, seat)
    press(page, "4 3 2")
    expect(page.get_by_role("alert").filter(has_text="finished in another tab")).to_be_visible()
    assert Ranking.objects.get().tiers == [[pk] for pk in seat.shown_order]


def test_it_says_how_long_ago_the_work_was_saved(visit, annotator, open_ranking_task):
    open_ranking_task()
    visitor = visit(annotator)
    get_task(visitor)
    press(visitor.page, "1")
    expect(visitor.page.locator("#save-state")).to_have_text("Saved 2 s ago")
    expect(visitor.page.locator("#save-state")).to_have_text("Saved 3 s ago")


def test_a_slow_server_costs_no_keystroke(visit, annotator, open_ranking_task):
    """The first save takes two seconds; what is typed meanwhile is saved by the next one."""
    open_ranking_task(["A", "B"], kind="reference")
    visitor = visit(annotator)
    page = visitor.page
    seat = get_task(visitor)
    waits = [2, 0, 0, 0, 0, 0]

    def slowly(route: Route) -> None:
        time.sleep(waits.pop(0) if waits else 0)
        route.continue_()

    page.route("**/draft/", slowly)
    page.get_by_label("Your response").press_sequentially("Written at leisure, letter by letter.", delay=40)
    expect(page.get_by_label("Your response")).to_have_value("Written at leisure, letter by letter.")
    saved(page)
    seat.refresh_from_db()
    assert seat.draft["text"] == "Written at leisure, letter by letter."


def test_a_failing_server_is_tried_again(visit, annotator, open_ranking_task):
    open_ranking_task(["A", "B"], kind="reference")
    visitor = visit(annotator)
    visitor.expected += ["500 (Internal Server Error)"]
    page = visitor.page
    seat = get_task(visitor)
    failures = [1, 1]

    def fail_twice(route: Route) -> None:
        if failures:
            failures.pop()
            route.fulfill(status=500, body="no")
        else:
            route.continue_()

    page.route("**/draft/", fail_twice)
    page.get_by_label("Your response").fill("Through two failures.")
    expect(page.locator("#save-state")).to_have_text("Not saved – kept in this browser")
    expect(page.locator("#save-state")).to_have_attribute("data-state", "saved", timeout=15_000)
    seat.refresh_from_db()
    assert seat.draft["text"] == "Through two failures."


def test_a_save_after_the_login_has_expired_is_made_up_for(visit, annotator, open_ranking_task):
    open_ranking_task(["A", "B"], kind="reference")
    visitor = visit(annotator)
    page = visitor.page
    seat = get_task(visitor)
    Session.objects.all().delete()
    page.get_by_label("Your response").fill("Typed while signed out.")
    expect(page.locator("#save-state")).to_have_text("Signed out – kept in this browser")
    client = Client()
    client.force_login(annotator)
    session = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": visitor.base}
    visitor.context.add_cookies([session])
    page.get_by_label("Your response").press_sequentially(" And on.")
    saved(page)
    seat.refresh_from_db()
    assert seat.draft["text"] == "Typed while signed out. And on."


class Server:
    """A real server process on the tests' database, which can be stopped and started again at its address."""

    def __init__(self, port: int) -> None:
        self.url = f"http://localhost:{port}"
        self.command = [
            sys.executable,
            "-m",
            "uvicorn",
            "frontend.asgi:application",
            "--port",
            str(port),
            "--lifespan",
            "off",
            "--log-level",
            "error",
        ]

    def start(self) -> None:
        database = f"sqlite:///{connection.settings_dict['NAME']}"
        settings_of_tests = {"DATABASE_URL": database, "PREFLOOP_SECRET_KEY": settings.SECRET_KEY}  # signs sessions
        environment = {**os.environ, **settings_of_tests, "PREFLOOP_DEBUG": "1"}
        self.process = subprocess.Popen(self.command, env=environment)
        for _ in range(1200):
            try:
                urllib.request.urlopen(f"{self.url}/accounts/login/", timeout=1)
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("The server did not start.")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(15)


@pytest.fixture
def server(unused_port: int) -> Iterator[Server]:
    if connection.vendor != "sqlite":
        pytest.skip("the second process finds a database that is a file")
    server = Server(unused_port)
    server.start()
    yield server
    server.stop()


def test_a_server_that_is_restarted_costs_no_keystroke(visit, annotator, open_ranking_task, server):
    open_ranking_task(["A", "B"], kind="reference")
    visitor = visit(annotator)
    visitor.expected += ["net::ERR_CONNECTION_REFUSED", "net::ERR_EMPTY_RESPONSE", "net::ERR_CONNECTION_RESET"]
    visitor.base = server.url
    page = visitor.page
    seat = get_task(visitor)
    text = page.get_by_label("Your response")
    text.press_sequentially("Before. ")
    saved(page)
    server.stop()
    text.press_sequentially("While it was down. ")
    expect(page.locator("#save-state")).to_have_text("Not saved – kept in this browser")
    server.start()
    text.press_sequentially("After.")
    saved(page)
    seat.refresh_from_db()
    assert seat.draft["text"] == "Before. While it was down. After."
    submit(page, seat)
    assert ReferenceAnswer.objects.get().completion.text == "Before. While it was down. After."
