"""The playground: ask a version, or two blind; read the replies as they are written; say which is better."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import access as annotation_access
from annotation import clock
from annotation.characters import cleaned
from annotation.http import UserRequest, refusals_as_errors, refusals_as_messages
from annotation.models import Role
from training import access
from training.actions import playground as actions
from training.forms.playground import AskForm, settings_of
from training.models import WRITING, Exchange, Outcome, Reply, ReplyStatus

SHOWN = 30
NOBODY_WRITES = timedelta(seconds=8)


@login_required
@require_http_methods(["GET", "POST"])
def playground(request: UserRequest, slug: str) -> HttpResponse:
    """Show a form for a new conversation and list the user's earlier ones."""
    project = annotation_access.get_project(request.user, slug, role=Role.REVIEWER)
    form = AskForm(project, cleaned(request.POST) if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        with refusals_as_errors(form):
            return redirect(actions.ask(project=project, by=request.user, **form.asked()))
    own = project.exchanges.filter(asked_by_id=request.user.pk).select_related("left", "right")
    context = {"project": project, "form": form, "own": own[:SHOWN], "has_policy": bool(form.versions)}
    return render(request, "training/playground.html", context, status=422 if form.errors else 200)


@login_required
@require_http_methods(["GET", "POST"])
def exchange(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Show a conversation up to this question; POST asks the next one."""
    found = access.get_exchange(request.user, slug, pk)
    form = _follow_up(found, cleaned(request.POST) if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        with refusals_as_errors(form):
            return redirect(actions.ask(project=found.project, by=request.user, follows=found, **form.asked()))
    context = {"project": found.project, "form": form, **_shown(found)}
    return render(request, "training/exchange.html", context, status=422 if form.errors else 200)


@login_required
@require_GET
def replies(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Return what is written so far: the page polls until no reply is being written."""
    found = access.get_exchange(request.user, slug, pk)
    context = {"project": found.project, "form": _follow_up(found), **_shown(found)}
    return render(request, "training/exchange.html#replies", context)


@login_required
@require_POST
def judge(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    found = access.get_exchange(request.user, slug, pk)
    outcome = request.POST.get("outcome", "")
    if outcome not in Outcome.values:
        messages.error(request, gettext("outcome should be one of %(names)s.") % {"names": ", ".join(Outcome.values)})
        return redirect(found)
    with refusals_as_messages(request):
        actions.judge(exchange=found, outcome=Outcome(outcome), by=request.user)
    return redirect(found)


@login_required
@require_POST
def cancel(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    found = access.get_exchange(request.user, slug, pk)
    actions.cancel(exchange=found)
    return redirect(found)


def _follow_up(found: Exchange, data: Any = None) -> AskForm:
    """Return a form with the versions and settings of the question before."""
    versions = [found.left, *([found.right] if found.right else [])]
    return AskForm(found.project, data, settings_of(versions, found.max_new_tokens, found.temperature))


def _shown(found: Exchange) -> dict[str, Any]:
    own = list(found.replies.all())
    waiting = [reply for reply in own if reply.status == ReplyStatus.QUEUED]
    late = clock.now() - NOBODY_WRITES
    others = Reply.objects.filter(status=ReplyStatus.RUNNING, heartbeat_at__gt=late).exists()
    return {
        "exchange": found,
        "replies": own,
        "is_writing": any(reply.status in WRITING for reply in own),
        "all_done": all(reply.status == ReplyStatus.DONE for reply in own),
        "nobody_writes": bool(waiting) and waiting[0].created_at < late and not others,
        "outcomes": Outcome.choices,
    }
