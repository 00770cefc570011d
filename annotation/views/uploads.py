"""The prompts of a project, and files on their way in: preview, columns, taking, and what was refused."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import access
from annotation.actions import prompts
from annotation.forms.uploads import MappingForm, UploadForm
from annotation.http import UserRequest
from annotation.imports import ParsedPrompts, UnknownColumns, UnreadableFile, columns_of, parse_prompts
from annotation.models import PromptUpload, Role
from annotation.uploads import takes_uploads

PREVIEW_ROWS = 10


@takes_uploads
@login_required
@require_http_methods(["GET", "POST"])
def prompt_list(request: UserRequest, slug: str) -> HttpResponse:
    """The prompts so far; POST takes a file and goes on to its preview."""
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    form = UploadForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        file, labels = form.cleaned_data["file"], form.cleaned_data["labels"]
        content = file.read()
        try:
            parse_prompts(content, file.name, labels=labels)
        except UnknownColumns:
            pass  # the preview asks which is which
        except UnreadableFile as refusal:
            form.add_error("file", str(refusal))
        if form.is_valid():
            upload = PromptUpload.objects.create(
                project=project,
                uploaded_by_id=request.user.pk,
                filename=file.name[-255:],
                content=content,
                labels=labels,
            )
            return redirect("upload", slug, upload.pk)
    page = Paginator(project.prompts.all(), 50).get_page(request.GET.get("page"))
    return render(request, "annotation/prompts.html", {"project": project, "form": form, "page": page})


@login_required
@require_http_methods(["GET", "POST"])
def upload(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """What an import of this file would take, leave and refuse; POST says which column is which.

    Once the file was taken: what became of its rows.
    """
    pending = access.get_upload(request.user, slug, pk)
    if pending.report is not None:
        report = prompts.ImportReport.from_json(pending.report)
        return _page(request, pending, report=report, taken=True)
    columns = _columns(pending)
    if request.method == "POST":
        form = MappingForm(columns, request.POST)
        if form.is_valid():
            PromptUpload.objects.filter(pk=pending.pk).update(mapping=form.mapping)
            return redirect("upload", slug, pk)
        return _page(request, pending, mapping=form, problem="Choose columns of this file.")
    mapping = MappingForm(columns, initial=pending.mapping) if columns else None
    try:
        parsed = _parse(pending)
    except UnreadableFile as problem:
        return _page(request, pending, mapping=mapping, problem=str(problem))
    if pending.labels:
        labelled, report = prompts.sort_labels(pending.project, parsed)
        shown = [row for row, _ in labelled[:PREVIEW_ROWS]]
        return _page(request, pending, report=report, labelled=shown, mapping=mapping)
    fresh, report = prompts.sort_rows(pending.project, parsed)
    return _page(request, pending, report=report, preview=[each.row for each in fresh[:PREVIEW_ROWS]], mapping=mapping)


@login_required
@require_POST
def take_upload(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    pending = access.get_upload(request.user, slug, pk)
    try:
        prompts.take_upload(upload=pending, parsed=_parse(pending), by=request.user)
    except UnreadableFile as problem:
        messages.error(request, str(problem))
    return redirect("upload", slug, pk)


@login_required
@require_GET
def refused_rows(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Every row that is not taken, with line and reason, as CSV."""
    pending = access.get_upload(request.user, slug, pk)
    if pending.report is not None:
        report = prompts.ImportReport.from_json(pending.report)
    else:
        report = prompts.dry_run(pending.project, _parse(pending))
    response = HttpResponse(report.as_csv(), content_type="text/csv; charset=utf-8")
    name = f"{pending.filename}-not-taken.csv"
    response.headers["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=name) or ""
    return response


def _page(request: UserRequest, pending: PromptUpload, **context: Any) -> HttpResponse:
    context |= {"project": pending.project, "upload": pending}
    return render(request, "annotation/upload.html", context)


def _columns(pending: PromptUpload) -> list[str]:
    """Plain text has no columns, and a file that cannot be read has none that anybody could choose."""
    if pending.filename.lower().removesuffix(".gz").endswith(".txt"):
        return []
    try:
        return columns_of(bytes(pending.content), pending.filename)
    except UnreadableFile:
        return []


def _parse(pending: PromptUpload) -> ParsedPrompts:
    if pending.report is not None:  # taken already: there is nothing left to read
        return ParsedPrompts(rows=[], refused=[])
    return parse_prompts(bytes(pending.content), pending.filename, pending.mapping, labels=pending.labels)
