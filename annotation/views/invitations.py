"""Invitations by link: made and revoked by admins, accepted by whoever has one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from annotation import access
from annotation.actions import invitations
from annotation.errors import NotPossible
from annotation.forms.invitations import InviteForm, NewAccountForm
from annotation.http import UserRequest, public_address, refusals_as_errors
from annotation.models import Invitation, Membership, Role


@login_required
@require_http_methods(["GET", "POST"])
def invite(request: UserRequest, slug: str) -> HttpResponse:
    """GET lists what is open; POST makes links, and its answer is the only page that ever shows them."""
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    form, made = InviteForm(request.POST or None), []
    if request.method == "POST" and form.is_valid():
        with refusals_as_errors(form, "notes"):
            rows = invitations.invite(project=project, by=request.user, **_wanted(form))
            made = [(each, public_address(request, reverse("invitation", args=[key]))) for each, key in rows]
            form = InviteForm()
    context = {
        "project": project,
        "form": form,
        "made": made,
        "invitations": project.invitations.open(timezone.now()).select_related("created_by"),
    }
    return render(request, "annotation/invitations.html", context)


def _wanted(form: InviteForm) -> dict[str, Any]:
    return form.cleaned_data | {"role": Role(form.cleaned_data["role"])}


@login_required
@require_POST
def revoke(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    found = access.get_invitation(request.user, slug, pk)
    invitations.revoke(invitation=found, by=request.user)
    messages.success(request, "Revoked: nobody can join by this link any more.")
    return redirect("invitations", slug)


@require_http_methods(["GET", "POST"])
def accept(request: HttpRequest, key: str) -> HttpResponse:
    """Let the holder of a link join: with the account they are signed in to, or with one that they make here."""
    found = invitations.find(key)
    if found is None:
        return render(request, "annotation/invitation_over.html", {"why": invitations.OVER}, status=404)
    signed_in = request.user if isinstance(request.user, User) or request.user.is_authenticated else None
    form = NewAccountForm(request.POST if request.method == "POST" and signed_in is None else None)
    try:
        if request.method == "POST" and signed_in is not None:
            return _joined(request, invitations.accept(invitation=found, user=signed_in))
        if request.method == "POST" and form.is_valid():
            return _joined(request, _join_with_a_new_account(request, found, form))
    except NotPossible as over:
        return render(request, "annotation/invitation_over.html", {"why": str(over)}, status=409)
    context = {"invitation": found, "role": Role(found.role).label.lower(), "form": form}
    return render(request, "annotation/invitation.html", context, status=422 if form.errors else 200)


def _join_with_a_new_account(request: HttpRequest, invitation: Invitation, form: NewAccountForm) -> Membership:
    """Make the account and the membership, or neither."""
    with transaction.atomic():
        user = form.save()
        membership = invitations.accept(invitation=invitation, user=user)
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return membership


def _joined(request: HttpRequest, membership: Membership) -> HttpResponse:
    messages.success(request, f"Welcome: you are {Role(membership.role).label.lower()} of {membership.project}.")
    return redirect(membership.project)
