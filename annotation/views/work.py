"""The work page: claim an assignment, keep a draft of its answer, submit it, and go on with the next."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import access
from annotation.actions import assignments, judgments, queue, reopening, revisions
from annotation.actions import guidelines as guidelines_actions
from annotation.actions.guidelines import ReadGuidelinesFirst
from annotation.actions.practice import PractiseFirst
from annotation.characters import cleaned
from annotation.errors import NotPossible
from annotation.forms.work import DraftForm, SubmitForm
from annotation.http import UserRequest, refusals_as_messages
from annotation.kinds import KINDS
from annotation.kinds.reference import MAX_CHARACTERS
from annotation.models import Assignment, FlagReason, Project, Purpose, Revision, SeatStatus
from annotation.opaque import uuid_of
from annotation.rendering import markdown
from annotation.views.guidelines import acknowledged, to_read
from annotation.views.practice import to_practice

PAGE = "annotation/work.html"
TO_FINISH = (SeatStatus.HELD, SeatStatus.LAPSED)
OwnView = Callable[[UserRequest, Assignment], HttpResponse]


def own_assignment(view: OwnView) -> Callable[[UserRequest, str, int], HttpResponse]:
    """Decorate a view that gets an assignment of the user's own by POST.

    Where an action raises NotPossible, the page is shown again with the reason, status 409.
    """

    @login_required
    @require_POST
    @wraps(view)
    def wrapped(request: UserRequest, slug: str, pk: int) -> HttpResponse:
        assignment = access.get_assignment(request.user, slug, pk)
        try:
            return view(request, assignment)
        except NotPossible as refusal:
            return _page(request, _context(request, assignment), errors={"": [str(refusal)]}, status=409)

    return wrapped


@login_required
@require_http_methods(["GET", "POST"])
def annotate(request: UserRequest, slug: str) -> HttpResponse:
    """Show the assignment that the user holds; POST claims the next one, and acknowledges the guidelines it names."""
    membership = access.get_membership(request.user, slug)
    project = membership.project
    if request.method == "POST":
        if number := acknowledged(request):
            with refusals_as_messages(request):
                guidelines_actions.acknowledge(membership=membership, number=number)
        return _next_task(request, project)
    held = assignments.held_by(project, request.user)
    return redirect(held) if held else render(request, PAGE, _empty_context(request, project))


@login_required
@require_GET
def show(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Show an assignment of the user's own and renew its lease."""
    assignment = access.get_assignment(request.user, slug, pk)
    if assignment.status in TO_FINISH:
        assignments.renew(assignment=assignment)
    return render(request, PAGE, _context(request, assignment))


@login_required
@require_POST
def save_draft(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Store a draft; answer with JSON, as the page's script asks for it."""
    assignment = access.get_assignment(request.user, slug, pk)
    form = DraftForm(request.POST)
    if not form.is_valid():
        return JsonResponse({"errors": form.errors}, status=400)
    try:
        assignments.save_draft(assignment=assignment, **form.cleaned_data)
    except NotPossible as refusal:
        return JsonResponse({"errors": {"draft": [str(refusal)]}}, status=409)
    return JsonResponse(
        {
            "saved_at": assignment.draft_saved_at,
            "expires_at": assignment.expires_at if assignment.status == SeatStatus.HELD else None,
            "status": assignment.status,
        }
    )


@own_assignment
def submit(request: UserRequest, assignment: Assignment) -> HttpResponse:
    """Store the judgment, then show the next task; after a practice task, the practice page."""
    answer = cleaned(request.POST)
    envelope, form = SubmitForm(answer), KINDS[assignment.task.kind].form(assignment, answer)
    if not (envelope.is_valid() & form.is_valid()):
        errors: dict[str, Any] = {**envelope.errors, **form.errors}
        return _page(request, _context(request, assignment), errors=errors, status=422)
    judgments.submit(assignment=assignment, answer=form.cleaned_data, **envelope.cleaned_data)
    if assignment.task.purpose == Purpose.PRACTICE:
        return to_practice(request, assignment.project)
    return _next_task(request, assignment.project)


@own_assignment
def skip(request: UserRequest, assignment: Assignment) -> HttpResponse:
    """Give the task back with a reason, then show the next one."""
    assignments.skip(assignment=assignment, reason=cleaned(request.POST.get("reason", "")))
    return _next_task(request, assignment.project)


@login_required
@require_POST
def undo(request: UserRequest, slug: str) -> HttpResponse:
    """Take back what was submitted last and show it; where that cannot be, show what the user holds, and why."""
    project = access.get_project(request.user, slug)
    try:
        return _show(request, project, reopening.undo(project=project, by=request.user))
    except NotPossible as refusal:
        held = assignments.held_by(project, request.user)
        context = _context(request, held) if held else _empty_context(request, project)
        return _page(request, context, errors={"": [str(refusal)]}, status=409)


@own_assignment
def redo(request: UserRequest, assignment: Assignment) -> HttpResponse:
    """Submit again, unchanged, what the user has just undone, then show the next task."""
    reopening.redo(assignment=assignment)
    return _next_task(request, assignment.project)


@own_assignment
def preview(request: UserRequest, assignment: Assignment) -> HttpResponse:
    """Render the written text as Markdown."""
    return HttpResponse(markdown(request.POST.get("text", "")[:MAX_CHARACTERS]))


@own_assignment
def first_version(request: UserRequest, assignment: Assignment) -> HttpResponse:
    """Keep what was written without knowing the answers, then show them."""
    form = DraftForm(request.POST)
    if not form.is_valid():
        return JsonResponse({"errors": form.errors}, status=400)
    judgments.keep_first_version(assignment=assignment, **form.cleaned_data)
    return _page(request, _context(request, assignment)) if request.htmx else redirect(assignment)


def _next_task(request: UserRequest, project: Project) -> HttpResponse:
    """Claim the next assignment and show it, or the empty page with the reason."""
    try:
        return _show(request, project, queue.claim_next(project=project, by=request.user))
    except PractiseFirst:
        return to_practice(request, project)
    except ReadGuidelinesFirst:
        return _show(request, project, None)
    except NotPossible as refusal:
        if not request.htmx and not project.closed_at:
            messages.error(request, str(refusal))
        return _show(request, project, None)


def _show(request: UserRequest, project: Project, assignment: Assignment | None) -> HttpResponse:
    """Return a fragment with the new address for htmx, a redirect for everything else."""
    url = assignment.get_absolute_url() if assignment else f"{reverse('annotate', args=[project.slug])}?looked"
    if not request.htmx:
        return redirect(url)
    context = _context(request, assignment) if assignment else _empty_context(request, project, has_looked=True)
    response = _page(request, context)
    response.headers["HX-Push-Url"] = url
    return response


def _page(
    request: UserRequest, context: dict[str, Any], *, errors: dict[str, Any] | None = None, status: int = 200
) -> HttpResponse:
    """Render the task for htmx, and the whole page for everything else."""
    template = f"{PAGE}#task" if request.htmx else PAGE
    return render(request, template, {**context, "errors": errors} if errors else context, status=status)


def _reopened(assignment: Assignment) -> Revision | None:
    """Return what a reopened assignment said before; None for others, which have no draft as they are claimed."""
    return revisions.open_one(assignment) if assignment.draft and assignment.status in TO_FINISH else None


def _empty_context(request: UserRequest, project: Project, *, has_looked: bool = False) -> dict[str, Any]:
    """Return what the page shows while the user holds no assignment; `has_looked`: nothing open was for them."""
    return {
        "must_read": to_read(project, access.get_membership(request.user, project.slug)),
        "has_looked": has_looked or "looked" in request.GET,
        "guidelines": markdown(project.guidelines),
        "project": project,
        "assignment": None,
        "own": queue.own_progress(project, request.user),
    }


def _context(request: UserRequest, assignment: Assignment) -> dict[str, Any]:
    """Return what the page shows of an assignment: conversation, candidates as HTML, draft and progress."""
    kind = KINDS[assignment.task.kind]
    responses = queue.responses_of(assignment.task_id)
    shown = assignment.shown_order if kind.shows_candidates(assignment) else []
    return {
        **kind.page(assignment),
        "project": assignment.project,
        "assignment": assignment,
        "kind": kind,
        "messages_shown": assignment.task.messages,
        "conversation": _conversation(assignment.task.messages),
        "candidates": [
            # Numbers as text: the template would look at each for its thousands, a fifth of its time.
            {
                "id": str(number),  # the row's own would tell who wrote the answer
                "number": str(number),
                "letter": chr(64 + number),
                "html": markdown(responses[pk].text),
                "text": responses[pk].text,
                "is_cut": not responses[pk].finished,
            }
            for number, pk in enumerate(shown, start=1)
        ],
        "guidelines": markdown(assignment.project.guidelines),
        "client_uuid": uuid_of("submit", assignment.pk, request.user.pk),
        "is_open": assignment.status in TO_FINISH,
        "own": queue.own_progress(assignment.project, request.user),
        "flag_reasons": FlagReason.choices,
        "reopened": _reopened(assignment),
    }


def _conversation(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a prompt's messages: those of the system that it begins with, the last one, and those between them."""
    shown = [{"role": each["role"], "html": markdown(each["content"])} for each in messages]
    last = len(shown) - 1
    systems = next((at for at, each in enumerate(shown) if each["role"] != "system" or at == last), 0)
    for message, each in zip(shown[:systems], messages, strict=False):
        message["start"] = " ".join(each["content"][:500].split())[:200]
    return {"system": shown[:systems], "earlier": shown[systems:last], "last": shown[-1] if shown else None}
