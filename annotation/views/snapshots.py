from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext, ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import access, pseudonyms
from annotation.actions import snapshots
from annotation.downloads import snapshot_response
from annotation.errors import NotPossible
from annotation.exports.diff import diff
from annotation.exports.writers import NoParquet
from annotation.forms.snapshots import DownloadForm, TakeSnapshotForm
from annotation.forms.uploads import WithdrawForm
from annotation.http import UserRequest, refusals_as_messages
from annotation.models import DatasetSnapshot, Project, Role

GROUPS_SHOWN = 200


@login_required
@require_http_methods(["GET", "POST"])
def snapshot_list(request: UserRequest, slug: str) -> HttpResponse:
    """List the snapshots; POST takes a new one of the wanted type and judgments."""
    membership = access.get_membership(request.user, slug, role=Role.REVIEWER)
    project = membership.project
    form = TakeSnapshotForm(project, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        with refusals_as_messages(request):
            taken = snapshots.take_snapshot(
                project=project, by=request.user, type=form.cleaned_data["type"], wanted=form.wanted
            )
            messages.success(
                request,
                gettext("Snapshot %(number)s created: %(rows)s %(unit)s.")
                % {"number": taken.number, "rows": taken.rows, "unit": gettext(taken.unit)},
            )
        return redirect("snapshots", slug)
    return _list_page(request, project, form, WithdrawForm() if membership.may_act_as(Role.ADMIN) else None)


def _list_page(
    request: HttpRequest, project: Project, form: TakeSnapshotForm, withdraw_form: WithdrawForm | None
) -> HttpResponse:
    rows = project.snapshots.select_related("taken_by")
    context = {"project": project, "snapshots": rows, "form": form, "withdraw_form": withdraw_form}
    return render(request, "annotation/snapshots.html", context)


@login_required
@require_POST
def withdraw(request: UserRequest, slug: str) -> HttpResponse:
    """Stop counting a person's judgments until now, and mark the snapshots that hold some."""
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    form = WithdrawForm(request.POST)
    if not form.is_valid():
        return _list_page(request, project, TakeSnapshotForm(project), form)
    person = form.cleaned_data["username"]
    touched = snapshots.withdraw(project=project, person=person, by=request.user)
    said = ngettext("%(count)s snapshot marked.", "%(count)s snapshots marked.", len(touched)) % {"count": len(touched)}
    marked = said if touched else gettext("No snapshot contains any.")
    messages.success(request, gettext("%(person)s's data excluded. %(marked)s") % {"person": person, "marked": marked})
    return redirect("snapshots", slug)


@login_required
@require_GET
def snapshot(request: UserRequest, slug: str, number: int) -> HttpResponse:
    """Show the data card, the downloads, and the snapshots to compare it with."""
    found = access.get_snapshot(request.user, slug, number)
    return _snapshot_page(request, found, DownloadForm(found))


def _snapshot_page(
    request: HttpRequest, found: DatasetSnapshot, form: DownloadForm, *, status: int = 200
) -> HttpResponse:
    earlier = found.project.snapshots.filter(type=found.type, number__lt=found.number)
    context = {
        "project": found.project,
        "snapshot": found,
        "form": form,
        "earlier": earlier,
        "people": pseudonyms.people_of(found),
    }
    return render(request, "annotation/snapshot.html", context, status=status)


@login_required
@require_GET
def card(request: UserRequest, slug: str, number: int) -> JsonResponse:
    return JsonResponse(snapshots.data_card(access.get_snapshot(request.user, slug, number)))


@login_required
@require_GET
def changes(request: UserRequest, slug: str, number: int, earlier: int) -> HttpResponse:
    """Show rows added, removed and changed since an earlier snapshot, by group."""
    with refusals_as_messages(request):
        later, before = (access.get_snapshot_rows(request.user, slug, each) for each in (number, earlier))
        return _changes_page(request, later, before)
    return redirect("snapshot", slug, number)


def _changes_page(request: UserRequest, later: DatasetSnapshot, before: DatasetSnapshot) -> HttpResponse:
    if later.type != before.type:
        messages.error(request, gettext("Only snapshots of the same type can be compared."))
        return redirect(later)
    found = diff(before, later)
    context = {
        "project": later.project,
        "diff": found,
        "shown": found.groups[:GROUPS_SHOWN],
        "total": len(found.groups),
    }
    return render(request, "annotation/snapshot_changes.html", context)


@login_required
@require_GET
def download(request: UserRequest, slug: str, number: int) -> HttpResponseBase:
    try:
        found = access.get_snapshot_rows(request.user, slug, number)
    except NotPossible as refusal:
        messages.error(request, str(refusal))
        return redirect("snapshot", slug, number)
    form = DownloadForm(found, request.GET)
    if not form.is_valid():
        return _snapshot_page(request, found, form, status=422)
    try:
        return snapshot_response(request, found, form.cleaned_data["options"])
    except NoParquet as missing:
        form.add_error("file", str(missing))
        return _snapshot_page(request, found, form, status=422)
