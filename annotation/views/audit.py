"""The audit log: for a project's admins what happened in it, for staff everything."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext
from django.views.decorators.http import require_GET

from annotation import access, audit
from annotation.downloads import lines_of, streamed
from annotation.forms.audit import AuditFilterForm
from annotation.http import UserRequest
from annotation.models import AuditAction, Project, Role

ROWS_A_PAGE = 100
COLUMNS = ("id", "at", "action", "actor_id", "subject_id", "project_id", "what", "address", "via", "detail")


@login_required
@require_GET
def of_project(request: UserRequest, slug: str) -> HttpResponseBase:
    """Show what happened in a project to its admins, newest first; ?as=csv or ?as=jsonl gives all of it as a file."""
    return _answer(request, access.get_project(request.user, slug, role=Role.ADMIN))


@login_required
@require_GET
def of_server(request: UserRequest) -> HttpResponseBase:
    """Show everything that happened, sign-ins too, to staff."""
    if not request.user.is_staff:
        raise PermissionDenied(gettext("Only operators can view the audit log of the server."))
    return _answer(request, None)


def _answer(request: UserRequest, project: Project | None) -> HttpResponseBase:
    form = AuditFilterForm(request.GET)
    if not form.is_valid():
        return _page(request, project, form, [], status=422)
    events = audit.find(project=project, **form.cleaned_data)
    wanted = request.GET.get("as", "")
    if wanted not in ("csv", "jsonl"):
        return _page(request, project, form, events)
    name = f"{project.slug if project else 'server'}-audit.{wanted}"
    audit.record(AuditAction.DOWNLOADED, by=request.user, project=project, what=name)
    rows = (audit.as_row(event) for event in events.select_related(None).iterator(2000))
    return streamed(name, lines_of(COLUMNS, rows, wanted), wanted)


def _page(
    request: UserRequest, project: Project | None, form: AuditFilterForm, events: Any, *, status: int = 200
) -> HttpResponse:
    page: Any = Paginator(events, ROWS_A_PAGE).get_page(request.GET.get("page"))
    context = {"project": project, "form": form, "page": page, "is_filtered": any(request.GET.dict().values())}
    return render(request, "annotation/audit.html", context, status=status)
