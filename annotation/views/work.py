"""The annotator's pages: get a task, work on it, hand it in, see the next one."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import access
from annotation.actions import judgments, queue, seats
from annotation.actions.practice import PractiseFirst
from annotation.characters import cleaned
from annotation.errors import NotPossible
from annotation.forms.work import DraftForm, SubmitForm
from annotation.http import UserRequest
from annotation.kinds import KINDS
from annotation.kinds.reference import MAX_CHARACTERS
from annotation.models import Assignment, FlagReason, Project, Purpose, SeatStatus
from annotation.rendering import markdown
from annotation.views.practice import to_practice

PAGE = "annotation/work.html"


@login_required
@require_http_methods(["GET", "POST"])
def annotate(request: UserRequest, slug: str) -> HttpResponse:
    """POST claims the next seat; GET goes on with the one that is held."""
    project = access.get_project(request.user, slug)
    if request.method == "POST":
        return _next_task(request, project)
    held = seats.held_by(project, request.user)
    return redirect(held) if held else render(request, PAGE, _empty_context(request, project))


@login_required
@require_GET
def assignment(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    seat = access.get_assignment(request.user, slug, pk)
    if seat.status in (SeatStatus.HELD, SeatStatus.LAPSED):
        seats.renew(assignment=seat)
    return render(request, PAGE, _context(request, seat))


@login_required
@require_POST
def save_draft(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    seat = access.get_assignment(request.user, slug, pk)
    form = DraftForm(request.POST)
    if not form.is_valid():
        return JsonResponse({"errors": form.errors}, status=400)
    try:
        seats.save_draft(assignment=seat, **form.cleaned_data)
    except NotPossible as refusal:
        return JsonResponse({"errors": {"draft": [str(refusal)]}}, status=409)
    return JsonResponse(
        {
            "saved_at": seat.draft_saved_at,
            "expires_at": seat.expires_at if seat.status == SeatStatus.HELD else None,
            "status": seat.status,
        }
    )


@login_required
@require_POST
def submit(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    seat = access.get_assignment(request.user, slug, pk)
    answer = cleaned(request.POST)
    envelope, form = SubmitForm(answer), KINDS[seat.task.kind].form(seat, answer)
    if not (envelope.is_valid() & form.is_valid()):
        errors: dict[str, Any] = {**envelope.errors, **form.errors}
        return render(request, _fragment(request), {**_context(request, seat), "errors": errors}, status=422)
    try:
        judgments.submit(assignment=seat, answer=form.cleaned_data, **envelope.cleaned_data)
    except NotPossible as refusal:
        errors = {"": [str(refusal)]}
        return render(request, _fragment(request), {**_context(request, seat), "errors": errors}, status=409)
    if seat.task.purpose == Purpose.PRACTICE:
        return to_practice(request, seat.project)
    return _next_task(request, seat.project)


@login_required
@require_POST
def skip(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    seat = access.get_assignment(request.user, slug, pk)
    try:
        seats.skip(assignment=seat, reason=cleaned(request.POST.get("reason", "")))
    except NotPossible as refusal:
        errors = {"": [str(refusal)]}
        return render(request, _fragment(request), {**_context(request, seat), "errors": errors}, status=409)
    return _next_task(request, seat.project)


@login_required
@require_POST
def undo(request: UserRequest, slug: str) -> HttpResponse:
    """Back to what was submitted last, as it was; or, where that cannot be, on with what is held, and why."""
    project = access.get_project(request.user, slug)
    try:
        seat: Assignment | None = judgments.undo(project=project, by=request.user)
    except NotPossible as refusal:
        seat = seats.held_by(project, request.user)
        context = _context(request, seat) if seat else _empty_context(request, project)
        return render(request, _fragment(request), {**context, "errors": {"": [str(refusal)]}}, status=409)
    return _show(request, project, seat)


@login_required
@require_POST
def preview(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """What the written text will look like."""
    access.get_assignment(request.user, slug, pk)
    return HttpResponse(markdown(request.POST.get("text", "")[:MAX_CHARACTERS]))


@login_required
@require_POST
def first_version(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Keep what was written without knowing the answers, then show them."""
    seat = access.get_assignment(request.user, slug, pk)
    form = DraftForm(request.POST)
    if not form.is_valid():
        return JsonResponse({"errors": form.errors}, status=400)
    try:
        judgments.keep_first_version(assignment=seat, **form.cleaned_data)
    except NotPossible as refusal:
        errors = {"": [str(refusal)]}
        return render(request, _fragment(request), {**_context(request, seat), "errors": errors}, status=409)
    return render(request, _fragment(request), _context(request, seat)) if request.htmx else redirect(seat)


def _next_task(request: UserRequest, project: Project) -> HttpResponse:
    """Claim, then show."""
    try:
        return _show(request, project, seats.claim_next(project=project, by=request.user))
    except PractiseFirst:
        return to_practice(request, project)
    except NotPossible as refusal:
        if not request.htmx and not project.closed_at:
            messages.error(request, str(refusal))
        return _show(request, project, None)


def _show(request: UserRequest, project: Project, seat: Assignment | None) -> HttpResponse:
    """As a fragment with the new address for htmx, as a redirect for everybody else."""
    url = seat.get_absolute_url() if seat else reverse("annotate", args=[project.slug])
    if not request.htmx:
        return redirect(url)
    context = _context(request, seat) if seat else _empty_context(request, project)
    response = render(request, _fragment(request), context)
    response.headers["HX-Push-Url"] = url
    return response


def _fragment(request: UserRequest) -> str:
    return f"{PAGE}#task" if request.htmx else PAGE


def _empty_context(request: UserRequest, project: Project) -> dict[str, Any]:
    return {
        "project": project,
        "assignment": None,
        "own": queue.own_progress(project, request.user),
    }


def _context(request: UserRequest, seat: Assignment) -> dict[str, Any]:
    kind = KINDS[seat.task.kind]
    texts = queue.texts_of(seat.task_id)
    shown = seat.shown_order if kind.shows_candidates(seat) else []
    return {
        **kind.page(seat),
        "project": seat.project,
        "assignment": seat,
        "kind": kind,
        "messages_shown": [
            {"role": message["role"], "html": markdown(message["content"])} for message in seat.task.messages
        ],
        "candidates": [
            # Numbers as text: the template would look at each for its thousands, a fifth of its time.
            {
                "id": str(pk),
                "number": str(number),
                "letter": chr(64 + number),
                "html": markdown(texts[pk]),
                "text": texts[pk],
            }
            for number, pk in enumerate(shown, start=1)
        ],
        "guidelines": markdown(seat.project.guidelines),
        "client_uuid": uuid.uuid5(uuid.NAMESPACE_URL, f"prefloop:assignment:{seat.pk}:{request.user.pk}"),
        "is_open": seat.status in (SeatStatus.HELD, SeatStatus.LAPSED),
        "own": queue.own_progress(seat.project, request.user),
        "flag_reasons": FlagReason.choices,
    }
