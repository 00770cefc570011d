"""Record sign-ins, also those that failed, and end what a changed password should end."""

from __future__ import annotations

from typing import Any

from axes.signals import user_locked_out
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.utils import timezone
from django.utils.translation import gettext

from annotation import audit, origin
from annotation.actions import tokens
from annotation.models import AuditAction, AuditEvent


class TokensEnd:
    """One of Django's password validators: refuses no password, and is told of each that is set.

    Django calls it wherever a password changes (page, /admin/, command), but not where it only hashes one anew.
    Sessions need nothing: Django ends all others itself.
    """

    def validate(self, password: str, user: Any = None) -> None:
        pass

    def get_help_text(self) -> str:
        return gettext("A new password ends the account's other sessions and its API tokens.")

    def password_changed(self, password: str, user: User | None = None) -> None:  # noqa: ARG002
        if user is None or user.pk is None:
            return
        audit.record(AuditAction.PASSWORD_SET, subject=user)
        tokens.revoke_all(user=user, why="password changed")


def connect() -> None:
    """Let Django's and django-axes' signals write the audit log."""
    user_logged_in.connect(_signed_in, dispatch_uid="audit")
    user_logged_out.connect(_signed_out, dispatch_uid="audit")
    user_login_failed.connect(_failed, dispatch_uid="audit")
    user_locked_out.connect(_locked, dispatch_uid="audit")


def _signed_in(user: User, request: Any = None, **_: Any) -> None:
    """Record a sign-in, and by what where it was no password."""
    audit.record(AuditAction.SIGNED_IN, by=user, subject=user, what=getattr(request, "sign_in_by", ""))


def _signed_out(user: User | None, **_: Any) -> None:
    if user is not None:
        audit.record(AuditAction.SIGNED_OUT, by=user, subject=user)


def _failed(credentials: dict[str, Any], request: Any = None, **_: Any) -> None:
    """Record a failed sign-in, by account: a name that is none may be a password in the wrong field."""
    if getattr(request, "axes_locked_out", False):
        return  # the lock is recorded, once
    audit.record(AuditAction.SIGN_IN_FAILED, subject=_account(credentials.get("username")))


def _locked(username: str | None, **_: Any) -> None:
    """Record the beginning of a lock; further tries meanwhile must not fill the log."""
    subject, since = _account(username), timezone.now() - settings.AXES_COOLOFF_TIME
    earlier = AuditEvent.objects.filter(action=AuditAction.SIGN_IN_LOCKED, subject_id=subject, at__gte=since)
    if not earlier.filter(address=origin.current().address).exists():
        audit.record(AuditAction.SIGN_IN_LOCKED, subject=subject)


def _account(username: object) -> int | None:
    return User.objects.filter(username=str(username or "")[:150]).values_list("pk", flat=True).first()
