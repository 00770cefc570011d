"""Pages that show annotation and training together."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET
from django.views.defaults import page_not_found

from annotation import access
from annotation.actions import alarms, presence, queue
from annotation.http import UserRequest
from annotation.models import ReviewComment, Role
from annotation.rendering import markdown
from annotation.views.projects import project_context


@login_required
@require_GET
def home(request: UserRequest) -> HttpResponse:
    return render(request, "home.html", {"projects": access.projects_of(request.user)})


@login_required
@require_GET
def project(request: UserRequest, slug: str) -> HttpResponse:
    membership = access.get_membership(request.user, slug)
    project = membership.project
    context = {
        "project": project,
        "membership": membership,
        "is_admin": membership.may_act_as(Role.ADMIN),
        "guidelines": markdown(project.guidelines),
        "alarm": alarms.open_alarm(project),
        "queue": queue.progress(project),
        "at_work": presence.at_work(project),
        "own": queue.own_progress(project, request.user),
        "unread": ReviewComment.objects.filter(
            assignment__project=project, assignment__annotator=request.user, read_at=None
        ).count(),
        "rounds": project.rounds.prefetch_related("runs")[:5],
        **project_context(project),
    }
    return render(request, "project.html#queue" if request.htmx else "project.html", context)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """A program that mistyped an address of the API is not helped by a page."""
    if request.path.startswith("/api/"):
        return JsonResponse({"detail": "There is no such address."}, status=404)
    return page_not_found(request, exception)


@require_GET
def health(request: HttpRequest) -> JsonResponse:
    """For load balancers and start-up scripts: the process answers and reaches its database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"status": "ok"})
