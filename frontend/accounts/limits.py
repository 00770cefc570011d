"""Limits on wrong passwords: for an account from one address, and for an address whatever the account."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.helpers import get_client_username
from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from annotation.delivery import mail
from annotation.models import AuditAction, AuditEvent
from annotation.origin import network_of

KNOWN_FOR = timedelta(days=30)


def client_network(request: HttpRequest) -> str | None:
    """Return the address that tries are counted by."""
    return network_of(request.META.get("REMOTE_ADDR"))


class SignInAttempts(AxesDatabaseHandler):  # type: ignore[misc]
    """Counts as django-axes does, and over all accounts of an address besides.

    The address as a whole waits after SIGN_IN_FAILURES_PER_ADDRESS wrong passwords. Many people may share it, behind a
    router or a proxy that names no client: who has signed in from there before still can.
    """

    def is_locked(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> bool:
        if super().is_locked(request, credentials):
            return True
        if self._failures_of_address(request) < settings.SIGN_IN_FAILURES_PER_ADDRESS:
            return False
        return not self._is_known_here(request, credentials)

    def _failures_of_address(self, request: Any) -> int:
        since = timezone.now() - settings.AXES_COOLOFF_TIME
        tries = AccessAttempt.objects.filter(ip_address=request.axes_ip_address, attempt_time__gte=since)
        return tries.aggregate(count=Sum("failures_since_start"))["count"] or 0

    def _is_known_here(self, request: HttpRequest, credentials: dict[str, Any] | None) -> bool:
        """Return whether the account has signed in from this very address lately."""
        name = str(get_client_username(request, credentials) or "")[:150]
        address = request.META.get("REMOTE_ADDR", "").partition("%")[0]
        earlier = AuditEvent.objects.filter(
            action=AuditAction.SIGNED_IN, subject__username=name, at__gte=timezone.now() - KNOWN_FOR
        )
        return bool(name) and earlier.filter(address=address).exists()


def locked_response(request: HttpRequest, _response: HttpResponse, _credentials: Any) -> HttpResponse:
    """Return the page for who has to wait, with the header that says how long to a program."""
    context = {"mail_is_on": mail.mail_is_on(), "minutes": int(settings.AXES_COOLOFF_TIME.total_seconds() // 60)}
    page = render(request, "registration/locked.html", context, status=429)
    page.headers["Retry-After"] = str(int(settings.AXES_COOLOFF_TIME.total_seconds()))
    return page
