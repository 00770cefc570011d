"""How good the judgments are, for those who have to rely on them."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext, ngettext
from django.views.decorators.http import require_http_methods, require_POST

from annotation import access
from annotation.actions import quality as actions
from annotation.actions import quality_figures
from annotation.http import UserRequest, refusals_as_messages
from annotation.models import Role


@login_required
@require_http_methods(["GET", "POST"])
def report(request: UserRequest, slug: str) -> HttpResponse:
    """Show the figures; POST computes cached ones anew."""
    membership = access.get_membership(request.user, slug, role=Role.REVIEWER)
    project = membership.project
    reader = access.blind_reader(request.user, project)
    if request.method == "POST":
        quality_figures.figures_of(project, to=reader, anew=True)
        return redirect("quality", slug)
    figures = quality_figures.figures_of(project, to=reader)
    if figures is None:
        return render(request, "annotation/figures_pending.html", {"project": project, "title": gettext("Quality")})
    context = {
        "project": project,
        "membership": membership,
        "is_admin": membership.may_act_as(Role.ADMIN),
        "report": figures,
        "exclusion": actions.exclusion_rate(project),
        "past_exclusions": project.exclusions.exclude(lifted_at=None).select_related(
            "annotator", "excluded_by", "lifted_by"
        ),
        "plots": {
            "by_policy": [row for row in figures["by_policy"] if row["policy"] is not None],
            "gold_by_week": figures["gold_by_week"],
        },
    }
    return render(request, "annotation/quality.html", context)


@login_required
@require_POST
def weights(request: UserRequest, slug: str) -> HttpResponse:
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    changed = actions.update_weights(project=project)
    messages.success(
        request, ngettext("%(changed)s weight changed.", "%(changed)s weights changed.", changed) % {"changed": changed}
    )
    return redirect("quality", slug)


@login_required
@require_POST
def exclude(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    project, annotator = access.get_annotator(request.user, slug, pk)
    with refusals_as_messages(request):
        actions.exclude(project=project, annotator=annotator, reason=request.POST.get("reason", ""), by=request.user)
        messages.success(
            request, gettext("New snapshots exclude %(annotator)s's annotations.") % {"annotator": annotator}
        )
    return redirect("quality", slug)


@login_required
@require_POST
def lift(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    project, annotator = access.get_annotator(request.user, slug, pk)
    if actions.lift_exclusion(project=project, annotator=annotator, by=request.user):
        messages.success(request, gettext("%(annotator)s's annotations are included again.") % {"annotator": annotator})
    return redirect("quality", slug)
