"""Checks of the setting `server`, the address of an OpenAI-compatible server."""

from __future__ import annotations

from urllib.parse import urlsplit

from training.methods.settings import InvalidConfig


def check_server(server: str) -> None:
    if server and not _is_address(server):
        raise InvalidConfig({"server": f"should be an address such as http://localhost:8000/v1, not {server}"})
    if "@" in server:
        raise InvalidConfig({"server": "should hold no password: settings are shown on pages"})


def _is_address(text: str) -> bool:
    try:
        address = urlsplit(text)
    except ValueError:
        return False
    return address.scheme in ("http", "https") and bool(address.hostname)
