"""A link that signs a superuser in once: printed by a command on the server, for when nothing else works."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods


class OneTime(PasswordResetTokenGenerator):
    """Its tokens end with the next sign-in, with a new password, and after PASSWORD_RESET_TIMEOUT seconds."""

    key_salt = "prefloop.one_time_sign_in"


def key_of(user: User) -> str:
    """Return what stands in the link."""
    return f"{user.pk}-{OneTime().make_token(user)}"


def find(key: str) -> User | None:
    """Return the superuser whose link this is; None where it was used, is too old or was made up."""
    number, _, token = key.partition("-")
    if not number.isdecimal() or len(number) > 18:
        return None
    user = User.objects.filter(pk=int(number), is_superuser=True, is_active=True).first()
    return user if user is not None and OneTime().check_token(user, token) else None


@require_http_methods(["GET", "POST"])
def sign_in(request: HttpRequest, key: str) -> HttpResponse:
    """GET asks, so that nothing that only looks at the link uses it up; POST signs in."""
    user = find(key)
    if user is not None and request.method == "POST":
        request.sign_in_by = "one-time link"  # type: ignore[attr-defined]
        login(request, user, backend=settings.AUTHENTICATION_BACKENDS[-1])
        return redirect("home")
    return render(request, "registration/one_time.html", {"found": user}, status=200 if user else 404)
