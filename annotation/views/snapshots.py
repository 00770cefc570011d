from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from annotation import access
from annotation.actions import NotPossible, snapshots
from annotation.forms import TakeSnapshotForm
from annotation.http import UserRequest
from annotation.models import Role


@login_required
@require_http_methods(["GET", "POST"])
def snapshot_list(request: UserRequest, slug: str) -> HttpResponse:
    """GET lists; POST takes a new one, of the type that is asked for."""
    project = access.get_project(request.user, slug, role=Role.REVIEWER)
    form = TakeSnapshotForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            snapshot = snapshots.take_snapshot(project=project, by=request.user, type=form.cleaned_data["type"])
        except NotPossible as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, f"Took snapshot {snapshot.number}: {snapshot.rows} {snapshot.unit}.")
        return redirect("snapshots", slug)
    rows = project.snapshots.select_related("taken_by")
    return render(request, "annotation/snapshots.html", {"project": project, "snapshots": rows, "form": form})


@login_required
@require_GET
def download(request: UserRequest, slug: str, number: int) -> FileResponse:
    snapshot = access.get_snapshot(request.user, slug, number)
    return FileResponse(
        snapshot.path.open("rb"),
        as_attachment=True,
        filename=f"{slug}-{snapshot.type}-{snapshot.number}.jsonl",
        content_type="application/x-ndjson",
    )
