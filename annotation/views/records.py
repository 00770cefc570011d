"""The data browser: lists with search, filters and sort, saved views, bulk actions, files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.http import Http404, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_POST

from annotation import access, audit
from annotation.actions import records as actions
from annotation.characters import cleaned
from annotation.downloads import lines_of, streamed
from annotation.forms.records import BulkForm, SavedViewForm, actions_for
from annotation.http import UserRequest, next_page, problem_of, refusals_as_messages
from annotation.models import AuditAction, Project, Role, SavedView, Split
from annotation.records import selection
from annotation.records.blind import Viewer
from annotation.records.lists import LISTS, RecordList, answer_of
from annotation.records.paging import Query, page_of
from annotation.views.as_made import in_short

COUNTED = 10_000  # records; a page counts no further


def _list(name: str) -> RecordList:
    if name not in LISTS:
        raise Http404(f"There is no list {name}.")
    return LISTS[name]


@login_required
@require_GET
def record_list(request: UserRequest, slug: str, name: str) -> HttpResponse:
    """Show one page of a list of records."""
    membership = access.get_membership(request.user, slug, role=Role.REVIEWER)
    records, viewer, project = _list(name), Viewer(request.user, membership), membership.project
    query = Query.of(records, project, cleaned(request.GET))
    page = page_of(query, viewer, request.GET)
    context: dict[str, Any] = {
        "project": project,
        "membership": membership,
        "viewer": viewer,
        "lists": [(each, reverse("records", args=[slug, each.name])) for each in LISTS.values()],
        "records": records,
        "query": query,
        "page": page,
        "blind": viewer.hidden_among(page.rows) if name == "tasks" else set(),
        "count": None if query.is_narrowed or query.problem else _counted(records, project),
        "asked": _without_position(request.GET),
        "actions": actions_for(name, is_admin=viewer.is_admin),
        "bulk": BulkForm(project, name, is_admin=viewer.is_admin),
        "row_template": f"annotation/records/rows/{records.rows_of or name}.html",
        "views": _views(request, project, name),
        "splits": Split.choices,
    }
    if name == "annotations":
        context["said"] = [(row, in_short(row, answer_of(row))) for row in page.rows]
    return render(request, "annotation/records/list.html", context, status=422 if query.problem else 200)


def _counted(records: RecordList, project: Project) -> int:
    return records.rows(project).order_by().values("pk")[: COUNTED + 1].count()


def _without_position(asked: QueryDict) -> str:
    """Return the search, filters and sort of an address, without the page."""
    kept = asked.copy()
    for name in ("after", "before"):
        kept.pop(name, None)
    return kept.urlencode()


def _views(request: UserRequest, project: Project, name: str) -> list[SavedView]:
    mine = project.saved_views.filter(records=name, owner=request.user)
    shared = project.saved_views.filter(records=name, shared=True)
    return list((mine | shared).select_related("owner"))


@login_required
@require_POST
def change(request: UserRequest, slug: str, name: str) -> HttpResponse:
    """Change the records that were ticked, or all that the list's query finds; then show the list again."""
    membership = access.get_membership(request.user, slug, role=Role.REVIEWER)
    records, viewer, project = _list(name), Viewer(request.user, membership), membership.project
    sent = cleaned(request.POST)
    asked = QueryDict(sent.get("query", ""))
    if request.POST.get("do") not in actions_for(name, is_admin=True):
        messages.error(request, gettext("Choose what to do with the selection."))
        return _back(slug, name, asked, next_page(request))
    if request.POST["do"] not in actions_for(name, is_admin=viewer.is_admin):
        raise PermissionDenied(gettext("Only admins change records."))
    form = BulkForm(project, name, sent, is_admin=viewer.is_admin)
    if not form.is_valid():
        messages.error(request, problem_of(form))
        return _back(slug, name, asked, next_page(request))
    said = form.cleaned_data
    with refusals_as_messages(request):
        query = Query.of(records, project, asked)
        rows = selection.to_change(query, viewer, said["ids"], everything=said["everything"])
        outcome = _do(project, said["do"], rows, said, request.user)
        report = messages.success if outcome.done else messages.warning
        report(request, outcome.in_words(name))
    return _back(slug, name, asked, next_page(request))


def _back(slug: str, name: str, asked: QueryDict, page: str = "") -> HttpResponse:
    """Return to the page that the form names, or to the list as it was."""
    if page:
        return redirect(page)
    address = reverse("records", args=[slug, name])
    return redirect(f"{address}?{asked.urlencode()}" if asked else address)


def _do(project: Project, do: str, rows: Any, said: dict[str, Any], by: Any) -> actions.BulkOutcome:
    """Run the bulk action that a form names, with its value."""
    match do:
        case "split":
            return actions.set_split(project=project, prompts=rows, split=Split(said["split"]), by=by)
        case "category":
            return actions.set_category(project=project, prompts=rows, category=said["category"].strip(), by=by)
        case "priority":
            return actions.set_priority(project=project, tasks=rows, priority=said["priority"], by=by)
        case "assign":
            return actions.assign(project=project, tasks=rows, to=said["to"], by=by)
        case "send_back":
            return actions.send_back(project=project, annotations=rows, reason=said["reason"], by=by)
    return _WITHOUT_VALUE[do](project, rows, by)


_WITHOUT_VALUE: dict[str, Callable[[Project, Any, Any], actions.BulkOutcome]] = {
    "archive": lambda project, rows, by: actions.archive_prompts(project=project, prompts=rows, by=by),
    "unarchive": lambda project, rows, by: actions.restore_prompts(project=project, prompts=rows, by=by),
    "withdraw": lambda project, rows, by: actions.withdraw_responses(project=project, responses=rows, by=by),
    "restore": lambda project, rows, by: actions.restore_responses(project=project, responses=rows, by=by),
    "reopen": lambda project, rows, by: actions.reopen(project=project, tasks=rows, by=by),
    "close": lambda project, rows, by: actions.close_tasks(project=project, tasks=rows, by=by),
}


@login_required
@require_POST
def export(request: UserRequest, slug: str, name: str, kind: str) -> HttpResponseBase:
    """Give the records that were ticked, or all that the list's query finds, as CSV or JSON lines."""
    membership = access.get_membership(request.user, slug, role=Role.REVIEWER)
    records, viewer, project = _list(name), Viewer(request.user, membership), membership.project
    if kind not in ("csv", "jsonl"):
        raise Http404("Files are CSV or JSONL.")
    sent = cleaned(request.POST)
    query = Query.of(records, project, QueryDict(sent.get("query", "")))
    form = BulkForm(project, name, sent, is_admin=viewer.is_admin)
    form.is_valid()
    if query.problem:
        messages.error(request, query.problem)
        return _back(slug, name, QueryDict(sent.get("query", "")))
    ids = form.cleaned_data.get("ids", [])
    rows = selection.to_export(query, viewer, ids, everything="everything" in sent)
    file = f"{project.slug}-{name}.{kind}"
    audit.record(AuditAction.EXPORTED, by=request.user, project=project, what=file, query=sent.get("query", ""))
    first = next(rows, None)
    columns = list(first) if first else ["id"]
    return streamed(file, lines_of(columns, _with(first, rows), kind), kind)


def _with(first: dict[str, Any] | None, rest: Any) -> Any:
    if first is not None:
        yield first
    yield from rest


@login_required
@require_POST
def save_view(request: UserRequest, slug: str, name: str) -> HttpResponse:
    """Keep a list's search, filters and sort under a name; the same name again replaces the view."""
    project = access.get_project(request.user, slug, role=Role.REVIEWER)
    form = SavedViewForm(cleaned(request.POST))
    asked = QueryDict(form.data.get("query", ""))
    if not form.is_valid():
        messages.error(request, problem_of(form))
        return _back(slug, _list(name).name, asked)
    said = form.cleaned_data
    try:
        with transaction.atomic():
            SavedView.objects.update_or_create(
                project=project,
                owner=request.user,
                records=_list(name).name,
                name=said["name"],
                defaults={"query": urlencode(_pairs(asked)), "shared": said["shared"]},
            )
        messages.success(request, gettext("Saved as “%(said)s”.") % {"said": said["name"]})
    except IntegrityError:
        messages.error(request, gettext("A view of this name was saved in the same moment."))
    return _back(slug, name, asked)


def _pairs(asked: QueryDict) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in asked.items() if name not in ("after", "before") and value]


@login_required
@require_POST
def remove_view(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Delete a saved view of the user's own."""
    view = access.get_saved_view(request.user, slug, pk)
    view.delete()
    messages.success(request, gettext("The view “%(name)s” is deleted.") % {"name": view.name})
    return redirect("records", slug, view.records)
