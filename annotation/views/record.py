"""The page of one prompt, response, annotation or task; and prompts that are added or edited by hand."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_http_methods

from annotation import access
from annotation.actions import prompt_edits
from annotation.characters import cleaned
from annotation.errors import NotPossible
from annotation.forms.records import BulkForm, MessageFormSet, PromptForm, actions_for, messages_of
from annotation.http import UserRequest
from annotation.kinds import KINDS
from annotation.models import Assignment, Project, Prompt, Role, Split
from annotation.models.task import JUDGED
from annotation.opaque import dice
from annotation.records import history
from annotation.records.blind import Viewer
from annotation.records.lists import answer_of
from annotation.rendering import markdown
from annotation.views.as_made import as_made, in_short, versions_of

SHOWN = 100  # responses, tasks or annotations on the page of another record
PROMPT_PAGE, FORM_PAGE = "annotation/records/prompt.html", "annotation/records/prompt_form.html"


def _viewer(request: UserRequest, slug: str) -> Viewer:
    return Viewer(request.user, access.get_membership(request.user, slug, role=Role.REVIEWER))


def _said(conversation: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"role": message["role"], "html": markdown(str(message["content"]))} for message in conversation]


def _context(viewer: Viewer, records: str, **more: Any) -> dict[str, Any]:
    return {
        "project": viewer.project,
        "membership": viewer.membership,
        "viewer": viewer,
        "actions": actions_for(records, is_admin=viewer.is_admin),
        "bulk": BulkForm(viewer.project, records, is_admin=viewer.is_admin),
        "splits": Split.choices,
        **more,
    }


@login_required
@require_GET
def prompt(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Show a prompt with its responses, tasks and history, without responses that the viewer may still rank."""
    found, viewer = access.get_prompt(request.user, slug, pk), _viewer(request, slug)
    responses = list(found.completions.select_related("policy", "author").order_by("-pk")[: SHOWN + 1])
    hidden = viewer.hidden_responses([response.pk for response in responses])
    tasks = list(found.tasks.prefetch_related("assignments__annotator").order_by("-pk")[:SHOWN])
    context = _context(
        viewer,
        "prompts",
        prompt=found,
        messages_shown=_said(found.messages),
        responses=[response for response in responses[:SHOWN] if response.pk not in hidden],
        hidden=len(hidden),
        more_responses=len(responses) > SHOWN,
        tasks=tasks,
        blind=viewer.hidden_among(tasks),
        newer=Prompt.objects.filter(replaces=found).first(),
        history=history.of_prompt(found),
    )
    return render(request, PROMPT_PAGE, context)


@login_required
@require_GET
def response(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Show a response with its author, its annotations and its history; only its prompt while the viewer is blind.

    Its number says when it was made, so that the text beside it would tell whose it is.
    """
    found, viewer = access.get_response(request.user, slug, pk), _viewer(request, slug)
    hidden = bool(viewer.hidden_responses([found.pk]))
    at = Assignment.objects.filter(task__candidates=found, status__in=JUDGED)
    rows = [] if hidden else _annotations(viewer, at.order_by("-finished_at")[:SHOWN])
    context = _context(
        viewer,
        "responses",
        response=found,
        html=markdown(found.text),
        messages_shown=_said(found.prompt.messages),
        hidden=hidden,
        annotations=rows,
        sampling=[] if hidden else sorted(found.sampling.items()),
        history=[] if hidden else history.of_response(found),
    )
    return render(request, "annotation/records/response.html", context)


@login_required
@require_GET
def annotation(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Show an annotation as it was made, with its comments and former versions; nothing while the viewer is blind."""
    found, viewer = access.get_judged_assignment(request.user, slug, pk), _viewer(request, slug)
    hidden = bool(viewer.hidden_tasks([found.task_id]))
    context = _context(viewer, "annotations", assignment=found, hidden=hidden, kind=KINDS[found.task.kind])
    if not hidden:
        context |= {
            "made": as_made(found),
            "versions": versions_of(found),
            "comments": found.comments.select_related("author"),
        }
    return render(request, "annotation/records/annotation.html", context)


@login_required
@require_GET
def task(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Show a task: candidates, who has which seat, annotations, history; no author and no annotation while blind."""
    found, viewer = access.get_task(request.user, slug, pk), _viewer(request, slug)
    hidden = bool(viewer.hidden_tasks([found.pk]))
    seats = found.assignments.select_related("annotator").order_by("seat_number", "pk")
    done = found.assignments.filter(status__in=JUDGED).order_by("-finished_at")
    candidates = list(found.candidates.select_related("policy", "author").order_by("pk"))
    if hidden:  # their order by number would tell which of two versions wrote which
        dice("candidates on a page", found.pk).shuffle(candidates)
    context = _context(
        viewer,
        "tasks",
        task=found,
        kind=KINDS[found.kind],
        hidden=hidden,
        messages_shown=_said(found.messages),
        candidates=[(each, markdown(each.text)) for each in candidates],
        wanted=found.planned_seats if hidden else found.seats,
        seats=[] if hidden else seats,
        annotations=[] if hidden else _annotations(viewer, done[:SHOWN]),
        history=history.of_task(found),
    )
    return render(request, "annotation/records/task.html", context)


def _annotations(viewer: Viewer, rows: Any) -> list[tuple[Assignment, dict[str, str]]]:
    """Return annotations with what each says in short, without those that the viewer must not see yet."""
    said = [kind.judgment._meta.model_name or "" for kind in KINDS.values()]
    found = list(rows.select_related("annotator", "task", *said, "referenceanswer__completion"))
    hidden = viewer.hidden_tasks({row.task_id for row in found})
    return [(row, in_short(row, answer_of(row))) for row in found if row.task_id not in hidden]


@login_required
@require_http_methods(["GET", "POST"])
def add_prompt(request: UserRequest, slug: str) -> HttpResponse:
    """Show an empty prompt; POST stores it."""
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    first = [{"role": "system", "content": ""}, {"role": "user", "content": ""}]
    return _prompt_form(request, project, None, first)


@login_required
@require_http_methods(["GET", "POST"])
def edit_prompt(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Show a prompt for editing; POST stores it as a new version and archives the old one."""
    found = access.get_prompt(request.user, slug, pk, role=Role.ADMIN)
    return _prompt_form(request, found.project, found, found.messages)


def _prompt_form(
    request: UserRequest, project: Project, old: Prompt | None, conversation: list[dict[str, str]]
) -> HttpResponse:
    sent = cleaned(request.POST) if request.method == "POST" else None
    form, formset = PromptForm(sent, prompt=old), MessageFormSet(sent, initial=conversation)
    if sent is not None and "add-message" in sent:  # without a script: the form comes back with one more message
        return _more_messages(request, project, old, sent)
    if sent is not None and form.is_valid() and formset.is_valid():
        try:
            if old:
                stored = prompt_edits.edit_prompt(
                    prompt=old, messages=messages_of(formset), by=request.user, **form.cleaned_data
                )
            else:
                stored = prompt_edits.add_prompt(
                    project=project, messages=messages_of(formset), by=request.user, **form.cleaned_data
                )
        except NotPossible as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(
                request, gettext("Saved.") if old and stored.pk == old.pk else gettext("Stored as a new prompt.")
            )
            return redirect("record_prompt", project.slug, stored.pk)
    context = {"project": project, "prompt": old, "form": form, "formset": formset}
    return render(request, FORM_PAGE, context, status=422 if sent is not None else 200)


def _more_messages(request: UserRequest, project: Project, old: Prompt | None, sent: Any) -> HttpResponse:
    given = MessageFormSet(sent)
    written = [
        {"role": form["role"].value() or "user", "content": form["content"].value() or ""} for form in given.forms
    ]
    follows = "assistant" if written and written[-1]["role"] == "user" else "user"
    formset = MessageFormSet(initial=[*written, {"role": follows, "content": ""}])
    form = PromptForm(prompt=old)
    form.initial = {name: sent.get(name, "") for name in form.fields}
    context = {"project": project, "prompt": old, "form": form, "formset": formset}
    return render(request, FORM_PAGE, context)
