"""What an account has chosen for its pages: language, time zone and theme.

The session holds a copy from the sign-in on, so that no request has to look it up.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest

from annotation.models import Preferences

IN_SESSION = ("language", "time_zone", "theme")


def remember(sender: Any, request: HttpRequest | None, user: User, **_: Any) -> None:
    """Copy an account's choices into the session that a sign-in begins."""
    if request is not None and (own := Preferences.objects.filter(user_id=user.pk).first()):
        _copy(own, request.session)


def choose(request: HttpRequest, user: User, **chosen: Any) -> None:
    """Store choices of an account; an empty one means that of the browser or the system."""
    own, _ = Preferences.objects.update_or_create(user=user, defaults=chosen)
    _copy(own, request.session)


def _copy(own: Preferences, session: SessionBase) -> None:
    for name in IN_SESSION:
        if value := getattr(own, name):
            session[name] = value
        else:
            session.pop(name, None)
