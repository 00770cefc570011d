"""Make API tokens and find them again. A value is returned once, when it is made, and never stored."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from annotation import audit
from annotation.models import AuditAction, Scope, Token

MARK = "pf_"  # so that a scanner for leaked secrets, and a person, know it when they see one
SHOWN = len(MARK) + 6
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


def find_token(value: str) -> Token | None:
    """Return the token of an active account and note its use; None where it was revoked or has expired."""
    now = timezone.now()
    token = Token.objects.select_related("user").filter(digest=_digest(value), user__is_active=True).first()
    if token is None or token.is_over(now):
        return None
    if token.last_used_at is None or token.last_used_at < now - USED_EVERY:
        Token.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


def _digest(value: str) -> str:
    """Return the hash of a token. Unsalted and fast is enough for 256 random bits: there is nothing to guess."""
    return hashlib.sha256(value.encode()).hexdigest()
