"""Pages about a project: what it is, and who is in it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST

from annotation import access
from annotation.actions import projects
from annotation.delivery import mail
from annotation.forms.projects import MemberForm, ProjectForm
from annotation.http import UserRequest, refusals_as_errors, refusals_as_messages
from annotation.models import Project, Role


@login_required
@require_http_methods(["GET", "POST"])
def edit(request: UserRequest, slug: str) -> HttpResponse:
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    form = ProjectForm(request.POST or None, instance=project)
    if request.method == "POST" and form.is_valid():
        projects.save_settings(project=form.instance, by=request.user)
        messages.success(
            request,
            gettext(
                "Saved. The number of annotators also applies to open tasks; all other settings apply to new tasks."
            ),
        )
        return redirect(project)
    context = {"form": form, "project": project, "may_create": access.may_create_projects(request.user)}
    return render(request, "annotation/project_form.html", context)


@login_required
@require_POST
def close(request: UserRequest, slug: str) -> HttpResponse:
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    projects.close(project=project, by=request.user)
    messages.success(
        request,
        gettext("%(project)s is closed: no new tasks are assigned. Tasks in progress can still be submitted.")
        % {"project": project},
    )
    return redirect("project_edit", slug)


@login_required
@require_POST
def archive(request: UserRequest, slug: str) -> HttpResponse:
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    projects.archive(project=project, by=request.user)
    messages.success(
        request,
        gettext("%(project)s is archived: closed and hidden from the lists. Nothing is deleted.")
        % {"project": project},
    )
    return redirect("home")


@login_required
@require_POST
def reopen(request: UserRequest, slug: str) -> HttpResponse:
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    projects.reopen(project=project, by=request.user)
    messages.success(request, gettext("%(project)s is open again.") % {"project": project})
    return redirect("project_edit", slug)


@login_required
@require_http_methods(["GET", "POST"])
def members(request: UserRequest, slug: str) -> HttpResponse:
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    form = MemberForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        user, role = form.cleaned_data["username"], Role(form.cleaned_data["role"])
        with refusals_as_errors(form, "role"):
            projects.set_member(project=project, user=user, role=role, by=request.user)
            messages.success(
                request,
                gettext("%(user)s is now %(label)s of %(project)s.")
                % {"user": user, "label": role.label.lower(), "project": project},
            )
            return redirect("members", slug)
    context = {
        "project": project,
        "form": form,
        "memberships": project.memberships.select_related("user").order_by("role", "user__username"),
        "own": project.memberships.get(user=request.user),
        "mail_is_on": mail.mail_is_on(),
        "roles": Role.choices,
        "pending": project.invitations.open(timezone.now()).count(),
    }
    return render(request, "annotation/members.html", context)


@login_required
@require_POST
def mail_about_rounds(request: UserRequest, slug: str) -> HttpResponse:
    """Switch mail about rounds on or off for this admin."""
    membership = access.get_membership(request.user, slug, role=Role.ADMIN)
    wanted = "wanted" in request.POST
    with refusals_as_messages(request):
        mail.subscribe(membership=membership, wanted=wanted)
        messages.success(
            request, gettext("You get mail when a round ends.") if wanted else gettext("You get no mail about rounds.")
        )
    return redirect("members", slug)


@login_required
@require_POST
def remove_member(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    membership = access.get_member(request.user, slug, pk)
    with refusals_as_messages(request):
        projects.remove_member(project=membership.project, user=membership.user, by=request.user)
        messages.success(request, gettext("%(user)s removed. Their annotations stay.") % {"user": membership.user})
    return redirect("members", slug)


def project_context(project: Project) -> dict[str, Any]:
    """Return what the project page shows of annotation."""
    return {
        "policies": project.policies.select_related("parent").order_by("-number"),
        "members": project.memberships.count(),
    }
