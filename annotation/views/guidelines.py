"""The guidelines of a project: the newest version, what changed, and who has acknowledged it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_POST

from annotation import access
from annotation.actions import guidelines as actions
from annotation.http import UserRequest, refusals_as_messages
from annotation.models import Membership, Project, Role
from annotation.rendering import markdown
from annotation.rendering.difference import difference


@login_required
@require_GET
def guidelines(request: UserRequest, slug: str) -> HttpResponse:
    """Show a version of the guidelines, what it changed of an earlier one, and all versions.

    Admins also see who has acknowledged which.
    """
    membership = access.get_membership(request.user, slug)
    project, is_admin = membership.project, membership.may_act_as(Role.ADMIN)
    versions = list(project.guidelines_versions.select_related("written_by"))
    by_number = {version.number: version for version in versions}
    shown = by_number.get(_number(request.GET, "version"), versions[0] if versions else None)
    against = by_number.get(_number(request.GET, "against")) or (by_number.get(shown.number - 1) if shown else None)
    context: dict[str, Any] = {
        "project": project,
        "membership": membership,
        "is_admin": is_admin,
        "versions": versions,
        "shown": shown,
        "against": against,
        "html": markdown(shown.text) if shown else "",
        "lines": difference(against.text, shown.text) if shown and against else [],
        "must_read": actions.must_read(project, read=membership.guidelines_read),
    }
    if is_admin:
        context["members"] = project.memberships.select_related("user").order_by("guidelines_read", "user__username")
    return render(request, "annotation/guidelines.html", context)


def _number(sent: QueryDict, name: str) -> int:
    """Return the number of a version that was sent; 0, which no version has, where there is none."""
    given = sent.get(name, "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0


@login_required
@require_POST
def acknowledge(request: UserRequest, slug: str) -> HttpResponse:
    """Store that this member has read the newest version."""
    membership = access.get_membership(request.user, slug)
    with refusals_as_messages(request):
        actions.acknowledge(membership=membership, number=acknowledged(request))
        messages.success(request, gettext("Thank you. New tasks follow this version."))
    return redirect("guidelines", slug)


def acknowledged(request: HttpRequest) -> int:
    """Return the number of the version that a form acknowledges; 0 where it names none."""
    return _number(request.POST, "guidelines")


def to_read(project: Project, membership: Membership) -> dict[str, Any] | None:
    """Return the version that a member has to acknowledge before the next task, and what changed; None if none."""
    if not actions.must_read(project, read=membership.guidelines_read):
        return None
    before = project.guidelines_versions.filter(number=membership.guidelines_read).first()
    return {
        "number": project.guidelines_number,
        "before": membership.guidelines_read,
        "html": markdown(project.guidelines),
        "lines": difference(before.text, project.guidelines) if before else [],
    }
