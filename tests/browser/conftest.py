"""A real Chromium against a live server. Nothing on a page may write an error to the console."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from tests.programs import free_port

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# The live server speaks no WebSocket; pages are made to live with that, but the browser itself remarks on it.
NO_SOCKET = "WebSocket connection to"

expect.set_options(timeout=30_000)  # reached only where something is wrong; a busy machine is slow


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """One for this folder: while it is open an event loop runs in this thread, which other tests could not bear."""
    if CHROMIUM is None:
        reason = "no Chromium on this machine (looked for chromium, chromium-browser, google-chrome)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


class Visitor:
    """Somebody at a browser. `expected` are parts of console errors that the test provokes itself."""

    def __init__(self, context: BrowserContext, base: str) -> None:
        self.context, self.base = context, base
        self.page: Page = context.new_page()
        self.page.set_default_timeout(60_000)  # only where something is wrong; a busy machine is slow
        self.errors: list[str] = []
        self.expected = [NO_SOCKET]
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def goto(self, path: str) -> None:
        self.page.goto(self.base + path)

    def unexpected_errors(self) -> list[str]:
        return [error for error in self.errors if not any(part in error for part in self.expected)]


@pytest.fixture
def unused_port() -> int:
    return free_port()


@pytest.fixture
def visit(chromium: Browser, live_server: LiveServer) -> Iterator[Callable[..., Visitor]]:
    """A visitor who is signed in as `user`, with whatever `browser.new_context` takes."""
    visitors: list[Visitor] = []

    def open_browser(user: User | None = None, **options: Any) -> Visitor:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        if user is not None:
            client = Client()
            client.force_login(user)
            context.add_cookies(
                [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
            )
        visitors.append(Visitor(context, live_server.url))
        return visitors[-1]

    yield open_browser
    errors = [error for visitor in visitors for error in visitor.unexpected_errors()]
    for visitor in visitors:
        visitor.context.close()
    assert errors == []
