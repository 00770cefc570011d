"""The first-run page: the first admin of a server is made in the browser.

So that a stranger is not faster than the owner, the page asks for a code from the server's log, unless the request
comes from this machine to a server that has no name or proxy for others.
"""

from __future__ import annotations

import logging
from functools import cache
from ipaddress import ip_address
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port
from django.shortcuts import redirect, render
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_http_methods

from annotation.actions import first_admin
from annotation.errors import NotPossible
from annotation.forms.invitations import NewAccountForm

logger = logging.getLogger(__name__)
LOCAL_NAMES = {"localhost", ".localhost", "127.0.0.1", "[::1]"}
# A proxy on this machine makes every visitor look local; these headers say that there is one.
HEADERS_OF_PROXIES = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP", "HTTP_VIA")


class FirstAdminForm(NewAccountForm):
    """The account, and the set-up code where `needs_code`."""

    code = forms.CharField(
        label=gettext_lazy("Set-up code"),
        max_length=100,
        required=False,
        help_text=gettext_lazy("The server printed it when it started: see its log."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    field_order = ("code", "username", "email", "password1", "password2")

    def __init__(self, *args: Any, needs_code: bool, **values: Any) -> None:
        super().__init__(*args, **values)
        if not needs_code:
            del self.fields["code"]

    def clean_code(self) -> str:
        code: str = self.cleaned_data["code"]
        if not first_admin.is_set_up_code(code):
            raise forms.ValidationError(
                gettext("This is not the set-up code of this server. Its log has the right one.")
            )
        return code


@require_http_methods(["GET", "POST"])
def set_up(request: HttpRequest) -> HttpResponse:
    """Make the first admin and sign them in; once there is an account, lead to the sign-in page."""
    if not settings.PASSWORD_SIGN_IN:
        return redirect("login")  # `manage.py createsuperuser` makes the first one
    if not first_admin.is_open():
        return _closed(request)
    needs_code = not is_from_this_machine(request)
    if needs_code:
        _log_code()
    form = FirstAdminForm(request.POST or None, needs_code=needs_code)
    if request.method == "POST" and form.is_valid():
        try:
            user = first_admin.make_first_admin(user=form.save(commit=False))
        except NotPossible:
            return _closed(request)
        login(request, user, backend=settings.AUTHENTICATION_BACKENDS[-1])
        messages.success(
            request,
            gettext("You are now the admin of this server, %(user)s. Create the first project.") % {"user": user},
        )
        return redirect("project_create")
    return render(request, "accounts/setup.html", {"form": form}, status=422 if form.errors else 200)


def is_from_this_machine(request: HttpRequest) -> bool:
    """Return whether a request comes from this machine to a server that has no name or proxy for others."""
    reachable = settings.PUBLIC_URL or set(settings.ALLOWED_HOSTS) - LOCAL_NAMES
    if reachable or any(request.META.get(header) for header in HEADERS_OF_PROXIES):
        return False
    host, _ = split_domain_port(request.get_host())
    return (host in LOCAL_NAMES or host.endswith(".localhost")) and _is_loopback(request.META.get("REMOTE_ADDR", ""))


def _is_loopback(address: str) -> bool:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)  # IPv4 on a socket of IPv6
    return bool((mapped or found).is_loopback)


@cache
def _log_code() -> None:
    """Write the code into the log, once in a process: further requests for the page add nothing."""
    logger.warning("No account exists yet. Set-up code for the first admin: %s", first_admin.set_up_code())


def _closed(request: HttpRequest) -> HttpResponse:
    messages.error(request, first_admin.TAKEN)
    return redirect("login")
