"""The prompts of a project, and files on their way in: preview, columns, taking, and what was refused."""

from __future__ import annotations

from contextlib import closing
from tempfile import TemporaryFile
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseBadRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import access
from annotation.actions import import_jobs, prompts, upload_contents
from annotation.actions.import_mappings import reading_of
from annotation.downloads import CSV, attachment
from annotation.errors import NotPossible
from annotation.forms.uploads import MappingForm, UploadForm
from annotation.http import UserRequest
from annotation.imports import (
    ParsedPrompts,
    Reading,
    UnknownColumns,
    UnreadableFile,
    columns_of,
    stored,
)
from annotation.imports.batches import parse_first
from annotation.imports.folders import SUFFIXES, TEXTS
from annotation.imports.guesses import guessed
from annotation.models import ImportStatus, Project, PromptUpload, Role
from annotation.uploads import takes_uploads

PREVIEW_ROWS = 10
FILES_SHOWN = 10


@takes_uploads
@login_required
@require_http_methods(["GET", "POST"])
def prompt_list(request: UserRequest, slug: str) -> HttpResponse:
    """List the prompts; POST stores files and redirects to their preview."""
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    form = UploadForm(request.POST, request.FILES) if request.method == "POST" else UploadForm()
    if request.method == "POST" and form.is_valid() and (pk := _kept(request, project, form)):
        return redirect("upload", slug, pk)
    page = Paginator(project.prompts.all(), 50).get_page(request.GET.get("page"))
    files = access.uploads(request.user, project).exclude(status=ImportStatus.PREVIEW)[:FILES_SHOWN]
    context = {"project": project, "form": form, "page": page, "files": files, "suffixes": " ".join(SUFFIXES + TEXTS)}
    return render(request, "annotation/prompts.html", context)


def _kept(request: UserRequest, project: Project, form: UploadForm) -> int | None:
    """Store what was chosen, several files as one archive, and return its number; None with an error on the form."""
    files, labels = form.cleaned_data["files"], form.cleaned_data["labels"]
    parsed = None
    with TemporaryFile() as archive:
        try:
            name, content, left = upload_contents.as_one([(each.name, each.file) for each in files], archive)
            if left:
                messages.info(request, gettext("Not read: %(names)s") % {"names": ", ".join(left[:20])})
            parsed = parse_first(content, name, Reading(labels=labels))
        except UnknownColumns:
            pass  # the preview asks which is which
        except UnreadableFile as refusal:
            form.add_error("file", str(refusal))
            return None
        upload = PromptUpload(
            project=project,
            uploaded_by_id=request.user.pk,
            filename=name[-255:],
            labels=labels,
            parsed=stored.dumps(parsed) if parsed else None,
        )
        upload_contents.keep(upload, content)
    return upload.pk


@login_required
@require_http_methods(["GET", "POST"])
def upload(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Show a preview of an import: what is taken, left out and refused; POST maps its columns.

    Once the file was imported the page shows the report.
    """
    pending = access.get_upload(request.user, slug, pk)
    if pending.status not in (ImportStatus.PREVIEW, ImportStatus.TAKEN):
        return _job_page(request, pending)
    if pending.report is not None:
        report = prompts.ImportReport.from_json(pending.report)
        can_undo = pending.status == ImportStatus.TAKEN and import_jobs.brought_anything(pending)
        return _page(request, pending, report=report, taken=True, can_undo=can_undo)
    problem, parsed = "", None
    try:
        parsed = _parsed(pending)
    except UnreadableFile as refusal:
        problem = str(refusal)
    unused = list(parsed.not_used) if parsed else []
    if request.method == "POST":
        form = MappingForm(pending.project, _columns(pending), unused, request.POST)
        if form.is_valid():
            try:
                _read_as(pending, form)
            except UnreadableFile as refusal:
                problem = str(refusal)
            else:
                return redirect("upload", slug, pk)
        return _page(request, pending, mapping=form, problem=problem or "Choose columns of this file.")
    columns = _columns(pending)
    guesses = {} if pending.mapping or (parsed and (parsed.rows or parsed.labels)) else guessed(columns)
    initial = {**guesses, **pending.mapping, "shape": pending.shape, "ignore": pending.ignore}
    form = MappingForm(pending.project, columns, unused, initial=initial)
    if parsed is None:
        return _page(request, pending, mapping=form, problem=problem, guesses=guesses)
    report = prompts.dry_run(pending.project, parsed)
    fresh, _ = prompts.sort_rows(pending.project, parsed)
    return _page(
        request,
        pending,
        report=report,
        kept_days=import_jobs.PREVIEW_KEPT.days,
        mapping=form,
        guesses=guesses,
        preview=[each.row for each in fresh[:PREVIEW_ROWS]],
        labelled=[] if fresh else parsed.labels[:PREVIEW_ROWS],
    )


def _read_as(pending: PromptUpload, form: MappingForm) -> None:
    """Read the file with the form's settings, and store its rows and the settings."""
    reading = reading_of(
        pending.project,
        mapping=form.mapping,
        labels=pending.labels,
        shape=form.cleaned_data["shape"],
        ignore=form.cleaned_data["ignore"],
        name=form.cleaned_data["saved"],
        save_as=form.cleaned_data["save_as"],
    )
    parsed = _first_rows(pending, reading)
    PromptUpload.objects.filter(pk=pending.pk).update(
        error="",
        mapping=dict(reading.mapping),
        shape=reading.shape,
        ignore=list(reading.ignore),
        parsed=stored.dumps(parsed),
    )


@login_required
@require_POST
def take_upload(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Import a file, or hand it to the workers where it has many rows."""
    pending = access.get_upload(request.user, slug, pk)
    try:
        parsed = _parsed(pending)
        if import_jobs.is_large(parsed):
            import_jobs.queue(upload=pending, parsed=parsed)
        else:
            prompts.take_upload(upload=pending, parsed=parsed, by=request.user)
    except UnreadableFile as problem:
        messages.error(request, str(problem))
    return redirect("upload", slug, pk)


@login_required
@require_POST
def upload_job(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Pause an import, let it go on, or undo it."""
    pending = access.get_upload(request.user, slug, pk)
    moves = {"pause": import_jobs.pause, "resume": import_jobs.resume, "undo": import_jobs.undo}
    move = moves.get(request.POST.get("do", ""))
    if move is None:
        return HttpResponseBadRequest("Say what to do: pause, resume or undo.")
    try:
        move(upload=pending)
    except NotPossible as problem:
        messages.error(request, str(problem))
    return redirect("upload", slug, pk)


@login_required
@require_GET
def refused_rows(request: UserRequest, slug: str, pk: int) -> HttpResponseBase:
    """Return every refused row with line and reason, as CSV."""
    pending = access.get_upload(request.user, slug, pk)
    if pending.report is not None:
        report = prompts.ImportReport.from_json(pending.report)
    else:
        report = prompts.dry_run(pending.project, _parsed(pending))
    return attachment(pending.project, f"{pending.filename}-not-taken.csv", report.as_csv(), CSV)


def _job_page(request: UserRequest, pending: PromptUpload) -> HttpResponse:
    """Return the page of an import that a worker does, or that was undone."""
    done = pending.report or pending.so_far
    context = {
        "project": pending.project,
        "upload": pending,
        "reading": pending.chunks.exists(),
        "report": prompts.ImportReport.from_json(done) if done else None,
        "can_pause": import_jobs.can_pause(pending),
        "can_go_on": import_jobs.can_resume(pending),
        "can_undo": import_jobs.can_undo(pending),
    }
    return render(request, "annotation/import_job.html", context)


def _page(request: UserRequest, pending: PromptUpload, **context: Any) -> HttpResponse:
    context |= {"project": pending.project, "upload": pending}
    return render(request, "annotation/upload.html", context)


def _columns(pending: PromptUpload) -> list[str]:
    """Return the columns to map; an empty list for plain text and unreadable files."""
    if pending.filename.lower().removesuffix(".gz").endswith(".txt"):
        return []
    try:
        with closing(upload_contents.opened(pending)) as file:
            return columns_of(file, pending.filename)
    except UnreadableFile:
        return []


def _parsed(pending: PromptUpload) -> ParsedPrompts:
    """Return the rows, of a large file the first, as they were read last: at the upload, or when it was mapped."""
    if pending.report is not None:  # taken already: there is nothing left to read
        return ParsedPrompts(rows=[], refused=[])
    if pending.parsed is not None:
        return stored.loads(bytes(pending.parsed))
    return _first_rows(pending, Reading(pending.mapping, pending.labels, pending.shape, tuple(pending.ignore)))


def _first_rows(pending: PromptUpload, reading: Reading) -> ParsedPrompts:
    """Return the rows of a file, of a large one the first."""
    with closing(upload_contents.opened(pending)) as file:
        return parse_first(file, pending.filename, reading)
