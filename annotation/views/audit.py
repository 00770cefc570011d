"""The audit log: for a project's admins what happened in it, for staff everything."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from annotation import access, audit
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
        raise PermissionDenied("The audit log of the whole server is for its operators.")
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
    lines = _csv(rows) if wanted == "csv" else (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    media_type = "text/csv; charset=utf-8" if wanted == "csv" else "application/x-ndjson"
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(lines, content_type=media_type, headers=disposition)


def _page(
    request: UserRequest, project: Project | None, form: AuditFilterForm, events: Any, *, status: int = 200
) -> HttpResponse:
    page: Any = Paginator(events, ROWS_A_PAGE).get_page(request.GET.get("page"))
    context = {"project": project, "form": form, "page": page, "is_filtered": any(request.GET.dict().values())}
    return render(request, "annotation/audit.html", context, status=status)


def _csv(rows: Iterator[dict[str, object]]) -> Iterator[str]:
    """Yield lines of CSV in which no cell begins like a formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for row in rows:
        detail = json.dumps(row["detail"], ensure_ascii=False) if row["detail"] else ""
        cells = [detail if name == "detail" else row[name] for name in COLUMNS]
        writer.writerow(f"'{cell}" if str(cell).startswith(("=", "+", "-", "@", "\t")) else cell for cell in cells)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()
