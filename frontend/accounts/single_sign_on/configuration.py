"""What the operator sets about the identity provider, in the environment; nothing of it is in the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import Http404

from annotation.outgoing import NotAllowed, checked_url, origin_of

NEW_ACCOUNTS = ("invited", "all", "none")
LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Configuration:
    """`origins` are the addresses that may be asked; `claim` is (name, value), both empty where none is required."""

    issuer: str
    client_id: str
    secret: str
    label: str = "single sign-on"
    domains: tuple[str, ...] = ()
    claim: tuple[str, str] = ("", "")
    new_accounts: str = "invited"
    origins: tuple[str, ...] = ()


def from_environment(environment: Mapping[str, str]) -> Configuration | None:
    """Return the provider that is set, None where none is. Raises ImproperlyConfigured with what to put right."""
    issuer = environment.get("PREFLOOP_OIDC_ISSUER", "").rstrip("/")
    if not issuer:
        return None
    client_id = environment.get("PREFLOOP_OIDC_CLIENT_ID", "")
    if not client_id:
        raise ImproperlyConfigured("PREFLOOP_OIDC_CLIENT_ID is missing: the identity provider gives it.")
    new_accounts = environment.get("PREFLOOP_OIDC_NEW_ACCOUNTS") or "invited"
    if new_accounts not in NEW_ACCOUNTS:
        raise ImproperlyConfigured(f"PREFLOOP_OIDC_NEW_ACCOUNTS is one of {', '.join(NEW_ACCOUNTS)}.")
    name, equals, value = environment.get("PREFLOOP_OIDC_CLAIM", "").partition("=")
    if name and not (equals and value):
        raise ImproperlyConfigured("PREFLOOP_OIDC_CLAIM is name=value, such as groups=annotators.")
    further = _listed(environment.get("PREFLOOP_OIDC_HOSTS", ""))
    return Configuration(
        issuer=issuer,
        client_id=client_id,
        secret=_secret(environment.get("PREFLOOP_OIDC_SECRET_FILE", "")),
        label=environment.get("PREFLOOP_OIDC_LABEL") or "single sign-on",
        domains=tuple(part.lower().removeprefix("@") for part in _listed(environment.get("PREFLOOP_OIDC_DOMAINS", ""))),
        claim=(name, value),
        new_accounts=new_accounts,
        origins=(_safe_origin(issuer), *(_safe_origin(f"https://{host}") for host in further)),
    )


def configured() -> Configuration:
    """Return the provider of this server. Raises Http404 where it has none."""
    found: Configuration | None = settings.OIDC
    if found is None:
        raise Http404("This server has no single sign-on.")
    return found


def _listed(text: str) -> list[str]:
    return [part for part in (part.strip() for part in text.split(",")) if part]


def _secret(path: str) -> str:
    if not path:
        raise ImproperlyConfigured("PREFLOOP_OIDC_SECRET_FILE is missing: the file that holds the client's secret.")
    try:
        secret = Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as why:
        raise ImproperlyConfigured(f"PREFLOOP_OIDC_SECRET_FILE: {path} cannot be read: {why}") from why
    if not secret:
        raise ImproperlyConfigured(f"PREFLOOP_OIDC_SECRET_FILE: {path} is empty.")
    return secret


def _safe_origin(address: str) -> str:
    """Return the origin of an address: with TLS, unless it is on this machine."""
    try:
        parts = checked_url(address)
    except NotAllowed as why:
        raise ImproperlyConfigured(f"PREFLOOP_OIDC_ISSUER or PREFLOOP_OIDC_HOSTS: {why}") from why
    if parts.scheme != "https" and parts.hostname not in LOCAL:
        raise ImproperlyConfigured(f"PREFLOOP_OIDC_ISSUER: {address} should begin with https://")
    return origin_of(address)
