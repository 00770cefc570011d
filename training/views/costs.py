"""The page of costs, and its table as CSV."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.template.defaultfilters import filesizeformat
from django.utils.safestring import mark_safe
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_POST

from annotation import access
from annotation.downloads import CSV, attachment
from annotation.http import UserRequest
from annotation.models import Role
from training.actions import retention
from training.forms.costs import RatesForm
from training.reports import cost_figure
from training.reports.costs import as_csv, per_point, round_costs


@login_required
@require_GET
def costs(request: UserRequest, slug: str) -> HttpResponse:
    membership = access.get_membership(request.user, slug, role=Role.REVIEWER)
    project = membership.project
    form = RatesForm(request.GET or None)
    rates = (0.0, 0.0)
    if form.is_bound and form.is_valid():
        rates = (form.cleaned_data["hour"] or 0.0, form.cleaned_data["machine"] or 0.0)
    rows = round_costs(project, to=access.blind_reader(request.user, project))
    context = {
        "is_admin": membership.may_act_as(Role.ADMIN),
        "leftovers": retention.leftovers(project),
        "project": project,
        "form": form,
        "with_money": any(rates),
        "rows": [
            {
                "cost": row,
                "money": row.money(*rates),
                "minutes_per_point": per_point(row.annotator_minutes, row.points),
                "money_per_point": per_point(row.money(*rates), row.points),
            }
            for row in rows
        ],
        "picture": mark_safe(cost_figure.svg(rows)) if rows else "",
        "total": {
            "minutes": sum(row.annotator_minutes for row in rows),
            "seconds": sum(row.machine_seconds for row in rows),
            "processors": sum(row.processor_seconds for row in rows),
            "tokens": sum(row.tokens for row in rows),
            "bytes": sum(row.disk_bytes for row in rows),
            "money": sum(row.money(*rates) for row in rows),
        },
    }
    return render(request, "training/costs.html", context)


@login_required
@require_POST
def free_space(request: UserRequest, slug: str) -> HttpResponse:
    """Delete what old runs left behind; what a version of the policy needs stays."""
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    freed = sum(leftover.bytes for leftover in retention.prune(project))
    messages.success(request, gettext("%(value)s freed.") % {"value": filesizeformat(freed)})
    return redirect("costs", slug)


@login_required
@require_GET
def costs_csv(request: UserRequest, slug: str) -> HttpResponseBase:
    project = access.get_project(request.user, slug, role=Role.REVIEWER)
    rows = round_costs(project, to=access.blind_reader(request.user, project))
    return attachment(project, f"{slug}-costs.csv", as_csv(rows), CSV)
