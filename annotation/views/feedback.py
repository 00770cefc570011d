"""Feedback of end users, for admins: a list, counts by version and day, and files of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.db.models.functions import TruncDate
from django.http import HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.views.decorators.http import require_GET, require_POST

from annotation import access, audit
from annotation.actions import feedback, feedback_erasure, feedback_tasks
from annotation.actions.feedback_tasks import FeedbackTask, OpenedTasks
from annotation.characters import cleaned
from annotation.downloads import lines_of, streamed
from annotation.forms.feedback import ACCEPT, EndUserForm, FeedbackFilterForm, FeedbackTasksForm
from annotation.http import UserRequest, problem_of, public_address, refusals_as_messages
from annotation.models import AuditAction, Feedback, Role

ROWS_A_PAGE = 50
DAYS = 14  # that are counted
ROWS_OF_COUNTS = 100
LONGEST_ID = 18  # digits
COLUMNS = (
    *("id", "key", "prompt_id", "prompt", "response_id", "response", "thumb", "score", "score_min", "score_max"),
    *("alternative", "chosen", "edit", "comment", "user", "version", "metadata", "updates", "changes"),
    *("created_at", "updated_at"),
)
TEXTS = ("prompt", "completion", "alternative", "edit")


@login_required
@require_GET
def feedback_list(request: UserRequest, slug: str) -> HttpResponseBase:
    """Show feedback to admins, the newest first; ?as=csv or ?as=jsonl gives all that fits the filter as a file."""
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    form = FeedbackFilterForm(request.GET)
    context: dict[str, Any] = {"project": project, "form": form, "days": DAYS}
    if not form.is_valid():
        return render(request, "annotation/feedback.html", context, status=422)
    found = feedback.find(project=project, **form.cleaned_data)
    wanted = request.GET.get("as", "")
    if wanted in ("csv", "jsonl"):
        name = f"{project.slug}-feedback.{wanted}"
        audit.record(AuditAction.DOWNLOADED, by=request.user, project=project, what=name)
        return streamed(name, lines_of(COLUMNS, _rows(found), wanted), wanted)
    before = request.GET.get("before", "")
    older = (
        found.filter(pk__lt=int(before))
        if before.isascii() and before.isdigit() and len(before) <= LONGEST_ID
        else found
    )
    rows = list(older.select_related(*TEXTS).prefetch_related("changes")[: ROWS_A_PAGE + 1])
    context |= {
        "rows": rows[:ROWS_A_PAGE],
        "next": rows[ROWS_A_PAGE - 1].pk if len(rows) > ROWS_A_PAGE else None,
        "is_first": older is found,
        "is_filtered": any(form.cleaned_data.values()),
        "counts": _counts(found),
        "tasks": FeedbackTask.choices,
        "asked": _without_position(request.GET),
        "end_user": form.cleaned_data["user"],
        "server": public_address(request, "/").rstrip("/"),
    }
    return render(request, "annotation/feedback.html", context)


def _without_position(asked: QueryDict) -> str:
    """Return the filter of an address, without the page."""
    kept = asked.copy()
    kept.pop("before", None)
    return kept.urlencode()


@login_required
@require_POST
def erase(request: UserRequest, slug: str) -> HttpResponse:
    """Erase all feedback of an end user, who is named by the hash that the product sent."""
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    form = EndUserForm(request.POST)
    if not form.is_valid():
        messages.error(request, problem_of(form))
        return redirect("feedback", slug)
    erased = feedback_erasure.erase_user(project=project, user=form.cleaned_data["user"], by=request.user)
    if not erased.feedback:
        messages.warning(request, gettext("There is no feedback of this end user."))
        return redirect("feedback", slug)
    said = gettext("Erased: %(feedback)s feedback. Texts: %(deleted)s deleted, %(emptied)s emptied.") % {
        "feedback": f"{erased.feedback:,}",
        "deleted": f"{erased.deleted:,}",
        "emptied": f"{erased.emptied:,}",
    }
    if erased.snapshots:
        numbers = ", ".join(map(str, erased.snapshots))
        said += " " + gettext("Snapshots that may still hold them: %(numbers)s.") % {"numbers": numbers}
    messages.success(request, said)
    return redirect("feedback", slug)


@login_required
@require_POST
def queue(request: UserRequest, slug: str) -> HttpResponse:
    """Open tasks over the feedback that was ticked, or over all that the filter finds; or accept its edits."""
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    asked = QueryDict(cleaned(request.POST).get("query", ""))
    back = redirect(
        f"{reverse('feedback', args=[slug])}?{asked.urlencode()}" if asked else reverse("feedback", args=[slug])
    )
    form, narrowed = FeedbackTasksForm(cleaned(request.POST)), FeedbackFilterForm(asked)
    if not form.is_valid() or not narrowed.is_valid():
        messages.error(request, problem_of(form) or problem_of(narrowed))
        return back
    said = form.cleaned_data
    found = feedback.find(project=project, **narrowed.cleaned_data)
    if not said["everything"]:
        found = project.feedback.filter(pk__in=said["ids"])
    with refusals_as_messages(request):
        if said["do"] == ACCEPT:
            count = feedback_tasks.accept_edits(project=project, found=found, by=request.user)
            accepted = ngettext("%(count)s edit accepted.", "%(count)s edits accepted.", count)
            messages.success(request, accepted % {"count": f"{count:,}"})
            return back
        kind, priority = FeedbackTask(said["do"]), said["priority"] or 0
        opened = feedback_tasks.open_tasks(project=project, found=found, kind=kind, by=request.user, priority=priority)
        (messages.success if opened.opened else messages.warning)(request, _in_words(opened))
    return back


def _in_words(opened: OpenedTasks) -> str:
    """Return how many tasks there are now, and for which feedback there is none."""
    tasks = ngettext("%(count)s task created.", "%(count)s tasks created.", opened.opened)
    said = [tasks % {"count": f"{opened.opened:,}"}]
    without = gettext("%(count)s feedback without a task: %(why)s.")
    said += [without % {"count": f"{count:,}", "why": why} for why, count in opened.left.items()]
    if opened.more:
        said.append(gettext("More match: do the same again to create the next tasks."))
    return " ".join(said)


def _counts(found: Any) -> list[dict[str, Any]]:
    """Return how much of the feedback of the last days says what, by day and version, the newest day first."""
    since = timezone.now() - timedelta(days=DAYS)
    by_day = found.filter(created_at__gte=since).order_by().annotate(day=TruncDate("created_at"))
    counted = by_day.values("day", "version").annotate(
        all=Count("id"),
        up=Count("id", filter=Q(thumb="up")),
        down=Count("id", filter=Q(thumb="down")),
        edits=Count("id", filter=Q(edit__isnull=False)),
        comments=Count("id", filter=~Q(comment="")),
    )
    return list(counted.order_by("-day", "version")[:ROWS_OF_COUNTS])


def _rows(found: Any) -> Iterator[dict[str, Any]]:
    for each in found.select_related(*TEXTS).prefetch_related("changes").iterator(500):
        yield _as_row(each)


def _as_row(each: Feedback) -> dict[str, Any]:
    derived = ("prompt", "response", "response_id", "changes", *TEXTS)
    own = {name: getattr(each, name) for name in COLUMNS if name not in derived}
    row = own | {
        "prompt": each.prompt.messages,
        "response_id": each.completion_id,
        "response": each.completion.text,
        "alternative": each.alternative.text if each.alternative else None,
        "edit": each.edit.text if each.edit else None,
        "changes": [{"at": change.created_at, "before": change.before} for change in each.changes.all()],
    }
    return {name: row[name] for name in COLUMNS}
