"""Pages that show annotation and training together."""

from __future__ import annotations

import sys
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import mark_safe
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_http_methods
from django.views.defaults import page_not_found, server_error

from annotation import access
from annotation.actions import alarms, presence, queue
from annotation.errors import NotPossible
from annotation.http import UserRequest
from annotation.models import Membership, Project, ReviewComment, Role
from annotation.quality import comparisons
from annotation.rendering import markdown
from annotation.views.projects import project_context
from frontend import deletion
from frontend.home.checklist import checklist
from frontend.home.my_work import my_work
from frontend.home.next_step import next_step
from frontend.home.stages import project_state, stages
from frontend.navigation import pages_of
from frontend.serving.storage_errors import storage_refusal
from training.reports import ladder

MOST_PROJECTS = 500  # that the palette lists
PLAIN_TEXT = "text/plain; charset=utf-8"


@login_required
@require_GET
def palette(request: UserRequest) -> JsonResponse:
    """Return where a person can go: the pages of the project that is named, their projects, their own pages."""
    entries: list[tuple[str, str, str]] = []
    memberships = request.user.memberships.select_related("project").order_by("project__name")
    for membership in memberships.filter(project__slug=request.GET.get("project", "")):
        entries += pages_of(membership.project, membership)
    own = {"home": "All projects", "tokens": "API tokens", "own_data": "Your data", "help": "Help"}
    entries += [(label, "", reverse(name)) for name, label in own.items()]
    found = memberships.filter(project__archived_at=None)[:MOST_PROJECTS]
    entries += [(each.project.name, "Project", each.project.get_absolute_url()) for each in found]
    return JsonResponse({"entries": [dict(zip(("label", "group", "url"), each, strict=True)) for each in entries]})


@login_required
@require_GET
def home(request: UserRequest) -> HttpResponse:
    """List every project of this person: their own work in it, and for its admin what to do next."""
    everything = access.projects_of(request.user)
    found, archived = everything.filter(archived_at=None), everything.exclude(archived_at=None)
    roles = {membership.project_id: membership for membership in request.user.memberships.filter(project__in=found)}
    context = {
        "rows": [_row(request.user, each, roles[each.pk]) for each in found],
        "archived": archived,
        "may_create": access.may_create_projects(request.user),
    }
    return render(request, "home.html", context)


def _row(user: User, project: Project, membership: Membership) -> dict[str, Any]:
    is_admin = membership.may_act_as(Role.ADMIN)
    newest = project.rounds.order_by("-number").first() if is_admin else None
    return {
        "project": project,
        "role": membership.get_role_display(),
        "own": queue.own_progress(project, user),
        "unread": _unread(user, project),
        "newest": newest,
        "step": next_step(project_state(project, queue.progress(project), newest)) if is_admin else None,
    }


def _unread(user: User, project: Project) -> int:
    """Return how many comments of reviewers this person has not read."""
    about = ReviewComment.objects.filter(assignment__project=project, assignment__annotator_id=user.pk)
    return about.filter(read_at=None).exclude(author=user).count()


@login_required
@require_GET
def project(request: UserRequest, slug: str) -> HttpResponse:
    membership = access.get_membership(request.user, slug)
    project, is_admin = membership.project, membership.may_act_as(Role.ADMIN)
    in_queue = queue.progress(project) if is_admin else queue.roughly(queue.progress(project))
    newest = project.rounds.order_by("-number").first()
    step = next_step(project_state(project, in_queue, newest)) if is_admin else None
    steps = checklist(project, in_queue, newest) if is_admin else None
    context = {
        "project": project,
        "membership": membership,
        "is_admin": is_admin,
        "guidelines": markdown(project.guidelines),
        "alarm": alarms.open_alarm(project),
        "queue": in_queue,
        "stages": stages(project, membership, in_queue),
        "checklist": steps,
        # What the checklist says already is not said twice.
        "step": step if not steps or (newest and step and step.page == "round" and not newest.is_active) else None,
        "at_work": presence.at_work(project),
        "own": queue.own_progress(project, request.user),
        "mine": my_work(project, membership, request.user),
        "unread": _unread(request.user, project),
        "headline": "" if request.htmx else _headline(project, membership),
        "rounds": project.rounds.prefetch_related("runs")[:5],
        **project_context(project),
    }
    return render(request, "project.html#queue" if request.htmx else "project.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def delete(request: UserRequest, slug: str) -> HttpResponse:
    """GET shows what would go; POST with the slug deletes the project."""
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    problem = ""
    if request.method == "POST" and request.POST.get("slug") != slug:
        problem = "Type the short name exactly as shown: deleting cannot be undone."
    elif request.method == "POST":
        try:
            deletion.delete_project(project, by=request.user)
        except NotPossible as why:
            problem = str(why)
        else:
            messages.success(request, gettext("%(name)s is deleted.") % {"name": project.name})
            return redirect("home")
    context = {"project": project, "found": deletion.look(project), "problem": problem}
    return render(request, "project_delete.html", context, status=422 if problem else 200)


def _headline(project: Project, membership: Membership) -> str:
    """Return the ladder of versions as SVG once two are compared; not for annotators, who judge blind."""
    if not membership.may_act_as(Role.REVIEWER):
        return ""
    found = comparisons.evaluated_pairs(project, to=None if membership.may_act_as(Role.ADMIN) else membership.user)
    if not any(each.outcomes for each in found):
        return ""
    return mark_safe(ladder.svg(comparisons.ladder(found)))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an unknown address: with JSON under /api/, with a page elsewhere."""
    if request.path.startswith("/api/"):
        return JsonResponse({"detail": "There is no such page."}, status=404)
    return page_not_found(request, exception)


def broken(request: HttpRequest) -> HttpResponse:
    """Answer a request that ended with an error: where disk or database are at fault, say so (507, 503).

    A program gets JSON, a part of a page plain text that the page shows, everything else a page.
    """
    refusal = storage_refusal(sys.exc_info()[1])
    is_api = request.path.startswith("/api/")
    if refusal is None:
        if is_api:
            return JsonResponse(
                {"detail": "The server could not complete the request; the error is in its log."}, status=500
            )
        return server_error(request)
    said = {"title": refusal.title, "words": refusal.words}
    response: HttpResponse
    if is_api:
        response = JsonResponse({"detail": f"{refusal.title}. {refusal.words}"}, status=refusal.status)
    elif "HX-Request" in request.headers or request.path.endswith("/draft/"):
        response = HttpResponse(f"{refusal.title}. {refusal.words}", content_type=PLAIN_TEXT, status=refusal.status)
    else:
        response = HttpResponse(render_to_string("storage.html", said), status=refusal.status)
    response.headers["Retry-After"] = str(refusal.retry_after)
    return response


@require_GET
def health(request: HttpRequest) -> JsonResponse:
    """Answer that the process is alive; where `manage.py serve` runs, its event loop answers before this is asked."""
    return JsonResponse({"status": "ok"})
