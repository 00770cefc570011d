"""Invitations by link or mail: created and revoked by admins, accepted by the people invited."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST

from annotation import access, audit
from annotation.actions import invitations
from annotation.delivery import mail
from annotation.errors import NotPossible
from annotation.forms.invitations import InviteForm, NewAccountForm, address_of
from annotation.http import UserRequest, public_address, refusals_as_errors
from annotation.models import AuditAction, Invitation, Membership, Project, Role


@login_required
@require_http_methods(["GET", "POST"])
def invite(request: UserRequest, slug: str) -> HttpResponse:
    """GET lists what is open; POST makes links, and its answer is the only page that ever shows them."""
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    can_mail = mail.mail_is_on()
    form, made = InviteForm(request.POST or None, can_mail=can_mail), []
    if request.method == "POST" and form.is_valid():
        with refusals_as_errors(form, "notes"):
            made = _invite(request, project, form)
            form = InviteForm(can_mail=can_mail)
    context = {
        "project": project,
        "form": form,
        "made": made,
        "invitations": project.invitations.open(timezone.now()).select_related("created_by"),
    }
    return render(request, "annotation/invitations.html", context)


@transaction.atomic
def _invite(request: UserRequest, project: Project, form: InviteForm) -> list[tuple[Invitation, str]]:
    """Make the invitations, mail those that have an address where that is wanted, and return each with its link."""
    wanted = dict(form.cleaned_data)
    send_mail = wanted.pop("send_mail", False)
    wanted["role"] = Role(wanted["role"])
    made = []
    for invitation, key in invitations.invite(project=project, by=request.user, **wanted):
        link = public_address(request, reverse("invitation", args=[key]))
        if send_mail and (address := address_of(invitation.note)):
            invitations.mail_link(invitation=invitation, link=link, address=address)
            invitation.address = address
        made.append((invitation, link))
    return made


@login_required
@require_POST
def revoke(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    found = access.get_invitation(request.user, slug, pk)
    invitations.revoke(invitation=found, by=request.user)
    messages.success(request, gettext("Invitation revoked; its link no longer works."))
    return redirect("invitations", slug)


@require_http_methods(["GET", "POST"])
def accept(request: HttpRequest, key: str) -> HttpResponse:
    """Let the holder of a link join: with the account they are signed in to, or with one that they make here."""
    found = invitations.find(key)
    if found is None:
        return render(request, "annotation/invitation_over.html", {"why": gettext(invitations.OVER)}, status=404)
    signed_in = request.user if isinstance(request.user, User) or request.user.is_authenticated else None
    filled_in = request.POST if request.method == "POST" and signed_in is None else None
    form = NewAccountForm(filled_in, initial={"email": found.address or address_of(found.note)})
    try:
        if request.method == "POST" and signed_in is not None:
            return _joined(request, invitations.accept(invitation=found, user=signed_in))
        if request.method == "POST" and settings.PASSWORD_SIGN_IN and form.is_valid():
            return _joined(request, _join_with_a_new_account(request, found, form))
    except NotPossible as over:
        return render(request, "annotation/invitation_over.html", {"why": str(over)}, status=409)
    context = {"invitation": found, "role": Role(found.role).label.lower(), "form": form}
    context |= {"passwords": settings.PASSWORD_SIGN_IN, "oidc": settings.OIDC}
    return render(request, "annotation/invitation.html", context, status=422 if form.errors else 200)


def _join_with_a_new_account(request: HttpRequest, invitation: Invitation, form: NewAccountForm) -> Membership:
    """Make the account and the membership, or neither."""
    with transaction.atomic():
        user = form.save()
        audit.record(AuditAction.ACCOUNT_CREATED, by=user, subject=user, what=f"invitation {invitation.pk}")
        membership = invitations.accept(invitation=invitation, user=user)
    login(request, user, backend=settings.AUTHENTICATION_BACKENDS[-1])
    return membership


def _joined(request: HttpRequest, membership: Membership) -> HttpResponse:
    messages.success(
        request,
        gettext("Welcome: you are %(label)s of %(project)s.")
        % {"label": Role(membership.role).label.lower(), "project": membership.project},
    )
    return redirect(membership.project)
