"""The Methods page: what each method costs and comes to in this project."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_GET

from annotation import access as annotation_access
from annotation.downloads import CSV, attachment
from annotation.http import UserRequest
from annotation.models import Project, Role
from training.prompt_tuning.approach_rows import WATTS_PER_CORE, recommendation
from training.reports import figure
from training.reports.labelling_time import policy_rows
from training.reports.methods import MethodTable, as_csv, tables


@login_required
@require_GET
def methods(request: UserRequest, slug: str) -> HttpResponse:
    project = annotation_access.get_project(request.user, slug, role=Role.REVIEWER)
    shown = [
        {
            "table": table,
            "said": recommendation(table.rows),
            "figure": mark_safe(figure.svg(table.rows, majority=table.majority)),
        }
        for table in tables(project)
    ]
    context = {"project": project, "tables": shown, "policies": policy_rows(project), "watts": WATTS_PER_CORE}
    return render(request, "training/methods.html", context)


@login_required
@require_GET
def methods_csv(request: UserRequest, slug: str, number: int) -> HttpResponseBase:
    """Return the table of a snapshot as CSV."""
    project = annotation_access.get_project(request.user, slug, role=Role.REVIEWER)
    table = _table(project, number)
    return attachment(project, f"{slug}-methods-{number}.csv", as_csv(table), CSV)


@login_required
@require_GET
def methods_figure(request: UserRequest, slug: str, number: int) -> HttpResponseBase:
    project = annotation_access.get_project(request.user, slug, role=Role.REVIEWER)
    table = _table(project, number)
    picture = figure.svg(table.rows, majority=table.majority)
    return attachment(project, f"{slug}-methods-{number}.svg", picture, "image/svg+xml")


def _table(project: Project, number: int) -> MethodTable:
    """Return the newest table of this snapshot."""
    for table in tables(project):
        if table.snapshot.number == number:
            return table
    raise Http404("No such table")
