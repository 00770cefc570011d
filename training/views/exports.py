"""A round as a ZIP that repeats it with another tool, written while it is sent."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET

from annotation import audit
from annotation.errors import NotPossible
from annotation.http import UserRequest
from annotation.models import AuditAction, Role
from training import access
from training.archives import zipped
from training.exports import TOOLS, files_of_round


@login_required
@require_GET
def export(request: UserRequest, slug: str, number: int, tool: str) -> HttpResponseBase:
    round = access.get_round(request.user, slug, number, role=Role.ADMIN)
    if tool not in TOOLS:
        raise Http404("No such export")
    try:
        files = files_of_round(round, tool)
    except NotPossible as why:
        messages.error(request, str(why))
        return redirect(round)
    folder = f"{slug}-round-{number}-{tool}"
    audit.record(AuditAction.EXPORTED, by=request.user, project=round.project, what=f"{folder}.zip")
    entries = ((f"{folder}/{name}", source) for name, source in files)
    response = StreamingHttpResponse(zipped(entries), content_type="application/zip")
    response.headers["Content-Disposition"] = (
        content_disposition_header(as_attachment=True, filename=f"{folder}.zip") or ""
    )
    return response
