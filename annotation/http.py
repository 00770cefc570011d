"""What the views of all layers share about requests and refusals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.forms import BaseForm
from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.middleware import HtmxDetails

from annotation.errors import NotPossible


class UserRequest(HttpRequest):
    """The request of a view behind @login_required: its user is signed in, and django-htmx has read it."""

    user: User
    htmx: HtmxDetails


def public_address(request: HttpRequest, path: str) -> str:
    """Return a path of this server as an address that other people can open."""
    return f"{settings.PUBLIC_URL}{path}" if settings.PUBLIC_URL else request.build_absolute_uri(path)


def next_page(request: HttpRequest) -> str:
    """Return the page of this server that a form asks to come back to; empty where it names none."""
    path = request.POST.get("next", "")
    return path if url_has_allowed_host_and_scheme(path, allowed_hosts=None) and path.startswith("/") else ""


@contextmanager
def refusals_as_messages(request: HttpRequest) -> Iterator[None]:
    """Run an action of a view; where it raises NotPossible, show the reason on the next page and go on after it."""
    try:
        yield
    except NotPossible as refusal:
        messages.error(request, str(refusal))


@contextmanager
def refusals_as_errors(form: BaseForm, field: str | None = None) -> Iterator[None]:
    """Run an action of a view; where it raises NotPossible, add the reason to the form, or to one of its fields."""
    try:
        yield
    except NotPossible as refusal:
        form.add_error(field, str(refusal))


def problem_of(form: BaseForm) -> str:
    """Return the errors of a form as one line; empty where there is none."""
    return " ".join(str(error) for found in form.errors.values() for error in found)
