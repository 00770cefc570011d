"""What a person was told: a list, and the way from each to its page."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from annotation import access
from annotation.actions import notifications as actions
from annotation.http import UserRequest

A_PAGE = 50


@login_required
@require_GET
def notification_list(request: UserRequest) -> HttpResponse:
    """Show what the user was told, the newest first."""
    page = Paginator(actions.of(request.user), A_PAGE).get_page(request.GET.get("page"))
    return render(request, "annotation/notifications.html", {"page": page})


@login_required
@require_GET
def open_notification(request: UserRequest, pk: int) -> HttpResponse:
    """Go to the page that a notification is about; it is read from then on."""
    found = access.get_notification(request.user, pk)
    actions.read(actions.of(request.user).filter(pk=found.pk))
    return redirect(found.url)


@login_required
@require_POST
def read_all(request: UserRequest) -> HttpResponse:
    """Note that everything was read."""
    actions.read(actions.of(request.user))
    return redirect("notifications")
