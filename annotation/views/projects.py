"""Pages about a project: what it is, who is in it, which prompts it has."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import access
from annotation.actions import NotPossible, projects, prompts
from annotation.forms import MemberForm, ProjectForm, UploadForm
from annotation.http import UserRequest
from annotation.imports import MAX_FILE_BYTES, ParsedPrompts, UnreadableFile, parse_prompts
from annotation.models import Project, PromptUpload, Role

PREVIEW_ROWS = 10


@login_required
@require_http_methods(["GET", "POST"])
def create(request: UserRequest) -> HttpResponse:
    form = ProjectForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        project = projects.create_project(project=form.save(commit=False), by=request.user)
        messages.success(request, f"{project} is ready. Give it prompts next.")
        return redirect(project)
    return render(request, "annotation/project_form.html", {"form": form})


@login_required
@require_http_methods(["GET", "POST"])
def edit(request: UserRequest, slug: str) -> HttpResponse:
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    form = ProjectForm(request.POST or None, instance=project)
    if request.method == "POST" and form.is_valid():
        projects.save_settings(project=form.instance)
        messages.success(request, "Saved. Open tasks follow the number of people; new ones follow every setting.")
        return redirect(project)
    return render(request, "annotation/project_form.html", {"form": form, "project": project})


@login_required
@require_POST
def close(request: UserRequest, slug: str) -> HttpResponse:
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    projects.close(project=project)
    messages.success(request, f"{project} is closed: nobody gets a new task. What people hold can be handed in.")
    return redirect("project_edit", slug)


@login_required
@require_POST
def reopen(request: UserRequest, slug: str) -> HttpResponse:
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    projects.reopen(project=project)
    messages.success(request, f"{project} is open again.")
    return redirect("project_edit", slug)


@login_required
@require_http_methods(["GET", "POST"])
def members(request: UserRequest, slug: str) -> HttpResponse:
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    form = MemberForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        user, role = form.cleaned_data["username"], Role(form.cleaned_data["role"])
        if user == request.user and role != Role.ADMIN:
            form.add_error("role", "You would lock yourself out. Ask another admin to change your role.")
        else:
            projects.set_member(project=project, user=user, role=role, by=request.user)
            messages.success(request, f"{user} is now {role.label.lower()} of {project}.")
            return redirect("members", slug)
    rows = project.memberships.select_related("user").order_by("role", "user__username")
    return render(request, "annotation/members.html", {"project": project, "form": form, "memberships": rows})


@login_required
@require_POST
def remove_member(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    membership = access.get_member(request.user, slug, pk)
    try:
        projects.remove_member(project=membership.project, user=membership.user, by=request.user)
    except NotPossible as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, f"{membership.user} is no member any more. What they judged stays.")
    return redirect("members", slug)


@login_required
@require_http_methods(["GET", "POST"])
def prompt_list(request: UserRequest, slug: str) -> HttpResponse:
    """The prompts so far; POST takes a file and goes on to its preview."""
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    form = UploadForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        file = form.cleaned_data["file"]
        if file.size > MAX_FILE_BYTES:
            form.add_error("file", f"{file.name} is larger than {MAX_FILE_BYTES // 2**20} MB. Split it.")
        else:
            content = file.read()
            try:
                parse_prompts(content, file.name)
            except UnreadableFile as refusal:
                form.add_error("file", str(refusal))
            else:
                upload = PromptUpload.objects.create(
                    project=project, uploaded_by_id=request.user.pk, filename=file.name[-255:], content=content
                )
                return redirect("upload", slug, upload.pk)
    page = Paginator(project.prompts.all(), 50).get_page(request.GET.get("page"))
    return render(request, "annotation/prompts.html", {"project": project, "form": form, "page": page})


@login_required
@require_GET
def upload(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """What an import of this file would take, leave and refuse."""
    pending = access.get_upload(request.user, slug, pk)
    parsed = _parse(pending)
    fresh, report = prompts.sort_rows(pending.project, parsed)
    context = {
        "project": pending.project,
        "upload": pending,
        "report": report,
        "preview": [row for row, _ in fresh[:PREVIEW_ROWS]],
    }
    return render(request, "annotation/upload.html", context)


@login_required
@require_POST
def take_upload(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    pending = access.get_upload(request.user, slug, pk)
    report = prompts.import_prompts(project=pending.project, parsed=_parse(pending), by=request.user)
    context: dict[str, Any] = {"project": pending.project, "upload": pending, "report": report, "taken": True}
    pending.delete()
    return render(request, "annotation/upload.html", context)


def _parse(pending: PromptUpload) -> ParsedPrompts:
    return parse_prompts(bytes(pending.content), pending.filename)


def project_context(project: Project) -> dict[str, Any]:
    """What the project page shows of annotation."""
    return {
        "prompts": project.prompts.count(),
        "policies": project.policies.select_related("parent").order_by("-number"),
        "members": project.memberships.count(),
    }
