"""Checks of the setting `server`, the address of an OpenAI-compatible server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from annotation.outgoing import NotAllowed, checked_url, model_server
from training.methods.settings import InvalidConfig, idle
from training.phrases import phrase


def check_server(server: str) -> None:
    """Raise InvalidConfig where the setting is no address."""
    if server:
        try:
            checked_url(server)
        except NotAllowed as why:
            raise InvalidConfig({"server": str(why)}) from None


def check_listed(config: Any) -> None:
    """Raise InvalidConfig where a method's settings name a server that the operator does not list.

    Only of new runs: the settings of earlier ones stay readable when a server leaves the list.
    """
    if server := getattr(config, "server", ""):
        try:
            model_server(server, os.environ)
        except NotAllowed as why:
            raise InvalidConfig({"server": str(why)}) from None


def server_errors(server: str, names: str) -> Iterator[tuple[str, str]]:
    """Yield the settings `names` of a server where none is asked."""
    if not server:
        yield from idle(names, phrase("does nothing without a server: set server, or leave it out"))
