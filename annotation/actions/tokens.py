"""Make API tokens and find them again. A value is returned once, when it is made, and never stored."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from annotation import audit
from annotation.actions import attempts
from annotation.models import AuditAction, Scope, Token
from annotation.models.prepared import Prepared

MARK = "pf_"  # so that a scanner for leaked secrets, and a person, know it when they see one
SHOWN = len(MARK) + 6
FORM = re.compile(rf"{MARK}[A-Za-z0-9_-]{{43}}")
USED_EVERY = timedelta(minutes=1)  # a write for every request would cost more than knowing the second is worth


@transaction.atomic
def make_token(*, user: User, name: str, scopes: Iterable[Scope], days: int | None = None) -> tuple[Token, str]:
    """Create a token and return it with its value, which is not stored."""
    value = MARK + secrets.token_urlsafe(32)
    token = Token.objects.create(
        user_id=user.pk,
        name=name,
        prefix=value[:SHOWN],
        digest=_digest(value),
        scopes=" ".join(scope.value for scope in Scope if scope in set(scopes)),
        expires_at=timezone.now() + timedelta(days=days) if days is not None else None,
    )
    audit.record(AuditAction.TOKEN_MADE, subject=user, what=str(token), scopes=token.scopes)
    return token, value


@transaction.atomic
def revoke(*, token: Token, by: User) -> None:
    """Delete a token: what uses it is refused from now on."""
    audit.record(AuditAction.TOKEN_REVOKED, by=by, subject=token.user_id, what=str(token))
    token.delete()


@transaction.atomic
def revoke_all(*, user: User, why: str) -> int:
    """Delete all tokens of a person; return how many there were."""
    found = list(Token.objects.filter(user_id=user.pk))
    for token in found:
        audit.record(AuditAction.TOKEN_REVOKED, subject=user, what=str(token), why=why)
        token.delete()
    return len(found)


_by_digest = Prepared(
    lambda digest: Token.objects.select_related("user").filter(digest=digest, user__is_active=True).order_by(),
    digest=str,
)


def find_token(value: str) -> Token | None:
    """Return the token of an active account and note its use; None where it was revoked or has expired."""
    now = timezone.now()
    if not FORM.fullmatch(value):
        return None
    token = _by_digest.first(digest=_digest(value))
    if token is None or token.is_over(now):
        return None
    if token.last_used_at is None or token.last_used_at < now - USED_EVERY:
        Token.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


def count_unknown(address: str | None) -> int:
    """Count a request with an unknown token; return for how many seconds its address is to wait, 0 for not at all.

    Known tokens of the same address are not kept waiting: others may share it, and none of them can be guessed.
    """
    count, seconds = attempts.count("unknown tokens", address, settings.UNKNOWN_TOKENS_PER_MINUTE)
    if count == settings.UNKNOWN_TOKENS_PER_MINUTE + 1:
        audit.record(AuditAction.TOKENS_REFUSED, what=f"more than {count - 1} in a minute")
    return seconds


def _digest(value: str) -> str:
    """Return the hash of a token. Unsalted and fast is enough for 256 random bits: there is nothing to guess."""
    return hashlib.sha256(value.encode()).hexdigest()
