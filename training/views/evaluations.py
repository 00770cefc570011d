"""The pages of evaluation by people: the ladder with all evaluations, and one of them."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.safestring import mark_safe
from django.utils.translation import gettext, gettext_noop, ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import access as annotation_access
from annotation.actions.evaluations import close_evaluation
from annotation.characters import cleaned
from annotation.http import UserRequest, refusals_as_errors
from annotation.models import Project, Role
from annotation.quality.comparisons import EvaluatedPair, evaluated_pairs, evaluation_report, ladder, win_rate
from training import access
from training.actions import evaluations
from training.actions.rounds import refusal
from training.forms.evaluations import EvaluationForm
from training.methods import InvalidConfig
from training.models import ACTIVE, TrainingRun
from training.reports import ladder as pictures

ON_A_PAGE = 25
SHOW = {"": gettext_noop("All"), "won": gettext_noop("Won"), "tied": gettext_noop("Tied"), "lost": gettext_noop("Lost")}


@login_required
@require_http_methods(["GET", "POST"])
def evaluation_list(request: UserRequest, slug: str) -> HttpResponse:
    """List all evaluations; by POST an admin starts one."""
    role = Role.ADMIN if request.method == "POST" else Role.REVIEWER
    membership = annotation_access.get_membership(request.user, slug, role=role)
    project = membership.project
    form = EvaluationForm(project, cleaned(request.POST) if request.method == "POST" else None)
    if form.is_bound and form.is_valid() and _start(request, project, form):
        return redirect("evaluations", slug)
    every = evaluated_pairs(project, to=annotation_access.blind_reader(request.user, project))
    rungs = ladder(every)
    context = {
        "project": project,
        "is_admin": membership.may_act_as(Role.ADMIN),
        "form": form,
        "cannot_start": refusal(project, [evaluations.METHOD], with_inputs=True),
        "drawing": TrainingRun.objects.filter(
            round__project=project, method=evaluations.METHOD, status__in=ACTIVE, round__status__in=ACTIVE
        ).select_related("round"),
        "rungs": rungs,
        "picture": mark_safe(pictures.svg(rungs)) if rungs else "",
        "rows": _rows(project, every),
    }
    return render(request, "training/evaluations.html", context, status=422 if form.errors else 200)


def _start(request: UserRequest, project: Project, form: EvaluationForm) -> bool:
    version, opponent = form.sides()
    try:
        with refusals_as_errors(form):
            round = evaluations.start_evaluation(
                project=project, by=request.user, version=version, opponent=opponent, settings=form.settings()
            )
    except InvalidConfig as invalid:
        for name, message in invalid.errors_in(gettext).items():
            field = name.removeprefix(f"{evaluations.METHOD}.")
            form.add_error(field if field in form.fields else None, message)
    if form.errors:
        return False
    messages.success(
        request,
        gettext("Round %(number)s generates responses; its comparisons then get priority.") % {"number": round.number},
    )
    return True


def _rows(project: Project, every: list[EvaluatedPair]) -> list[dict[str, Any]]:
    by_evaluation: dict[int, list[EvaluatedPair]] = {}
    for each in every:
        by_evaluation.setdefault(each.evaluation, []).append(each)
    rows = []
    for evaluation in project.evaluations.select_related("version", "opponent", "project"):
        found = by_evaluation.get(evaluation.pk, [])
        judged = sum(each.score is not None for each in found)
        rows.append(
            {"evaluation": evaluation, "comparisons": len(found), "judged": judged, "win_rate": win_rate(found)}
        )
    return rows


@login_required
@require_GET
def evaluation(request: UserRequest, slug: str, number: int) -> HttpResponse:
    found, membership = access.get_evaluation(request.user, slug, number)
    every = evaluated_pairs(found.project, found, to=annotation_access.blind_reader(request.user, found.project))
    show = request.GET.get("show", "")
    show = show if show in SHOW else ""
    page = Paginator(_shown(every, show), ON_A_PAGE).get_page(request.GET.get("page"))
    open_seats = found.open_seats()
    context = {
        "project": found.project,
        "evaluation": found,
        "report": evaluation_report(every),
        "open_seats": open_seats,
        "is_admin": membership.may_act_as(Role.ADMIN),
        # A reviewer, who may be asked to judge, sees whose answer is whose once all comparisons are submitted.
        "may_see": membership.may_act_as(Role.ADMIN) or not open_seats,
        "page": page,
        "show": show,
        "shows": [(name, gettext(label)) for name, label in SHOW.items()],
    }
    return render(request, "training/evaluation.html", context)


@login_required
@require_POST
def close(request: UserRequest, slug: str, number: int) -> HttpResponse:
    found, _ = access.get_evaluation(request.user, slug, number, role=Role.ADMIN)
    closed = close_evaluation(evaluation=found)
    messages.success(
        request,
        ngettext(
            "Collection stopped: %(closed)s open annotation withdrawn.",
            "Collection stopped: %(closed)s open annotations withdrawn.",
            closed,
        )
        % {"closed": closed},
    )
    return redirect(found)


def _shown(every: list[EvaluatedPair], show: str) -> list[EvaluatedPair]:
    judged = [each for each in every if each.score is not None]
    match show:
        case "won":
            return [each for each in judged if (each.score or 0) > 0.5]
        case "lost":
            return [each for each in judged if (each.score or 0) < 0.5]
        case "tied":
            return [each for each in judged if each.score == 0.5]
    return judged
