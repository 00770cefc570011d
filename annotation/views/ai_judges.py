"""AI judges of a project, for admins: versions, runs, and how far each version agrees with people."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST

from annotation import access
from annotation.actions import ai_judges
from annotation.forms.ai_judges import AIJudgeForm, AIJudgeVersionForm, PricesForm, StartRunForm, TakeOverForm
from annotation.http import UserRequest, problem_of, refusals_as_errors, refusals_as_messages
from annotation.models import AIJudge, AIJudgeRun, AIJudgeVersion, Role
from annotation.models.ai_judge import VERSION_FIELDS
from annotation.quality.calibration import calibration
from annotation.quality.judge_trust import FEWEST_PAIRS, FEWEST_PROMPTS, MARGIN, rows_of

RUNS_SHOWN = 20


@login_required
@require_http_methods(["GET", "POST"])
def judge_list(request: UserRequest, slug: str) -> HttpResponse:
    """List the judges with the figures of their newest versions; POST makes one."""
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    form = AIJudgeForm(request.POST or None, initial={"rubric": project.guidelines} if project.guidelines else None)
    if request.method == "POST" and form.is_valid():
        with refusals_as_errors(form):
            made = ai_judges.make_judge(project=project, by=request.user, **form.cleaned_data)
            messages.success(request, gettext("Judge created. Calibrate it before you rely on it."))
            return redirect(made)
    judges = [
        {"judge": judge, "version": version, "calibration": calibration(version) if version else None}
        for judge in project.ai_judges.all()
        for version in [judge.versions.newest()]
    ]
    context = {"project": project, "form": form, "judges": judges, "servers": ai_judges.servers()}
    return render(request, "annotation/judges.html", context, status=422 if form.errors else 200)


@login_required
@require_http_methods(["GET", "POST"])
def judge(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Show the newest version of a judge, or ?version=; POST saves a new version.

    With ?dimension= and &value= of a slice on which it is reliable, the page has the form that takes the slice over.
    """
    found = access.get_judge(request.user, slug, pk)
    if request.method == "POST":
        form = AIJudgeVersionForm(request.POST)
        if form.is_valid():
            with refusals_as_errors(form):
                saved = ai_judges.save_version(judge=found, by=request.user, **form.cleaned_data)
                messages.success(request, gettext("%(judge)s %(saved)s saved.") % {"judge": found, "saved": saved})
                return redirect(found)
        return render(request, "annotation/judge.html", _context(found, found.versions.newest(), form), status=422)
    wanted = request.GET.get("version", "")
    version = found.versions.newest()
    if wanted.isascii() and wanted.isdigit() and len(wanted) < 10:
        version = access.get_judge_version(request.user, slug, pk, int(wanted))
    context = _context(found, version)
    asked = {name: request.GET.get(name) for name in ("dimension", "value")}
    for row in context["rows"]:
        if row.trust.may and {"dimension": row.dimension, "value": row.value} == asked:
            context |= {"taking_over": row, "takeover_form": TakeOverForm(initial=asked, auto_id="takeover_%s")}
    return render(request, "annotation/judge.html", context)


def _context(judge: AIJudge, version: AIJudgeVersion | None, form: AIJudgeVersionForm | None = None) -> dict[str, Any]:
    assert version is not None  # made with the judge
    runs = AIJudgeRun.objects.filter(version__judge=judge).select_related("version", "started_by")
    counted = runs.annotate(
        pairs=Count("judgments"),
        done=Count("judgments", filter=Q(judgments__settled_at__isnull=False)),
        unusable=Count("judgments", filter=~Q(judgments__problem="")),
    )
    shown = list(counted.order_by("-pk")[:RUNS_SHOWN])  # a query with counts has not the order of its model
    figures = calibration(version)
    return {
        "project": judge.project,
        "judge": judge,
        "version": version,
        "versions": judge.versions.select_related("created_by"),
        "form": form or AIJudgeVersionForm(initial={name: getattr(version, name) for name in VERSION_FIELDS}),
        "prices": PricesForm(instance=judge),
        "run_form": StartRunForm(),
        "runs": shown,
        "is_working": any(run.is_active for run in shown),
        "calibration": figures,
        "rows": rows_of(figures),
        "margin": MARGIN,
        "fewest": {"pairs": FEWEST_PAIRS, "prompts": FEWEST_PROMPTS},
        "is_listed": version.server in ai_judges.servers(),
    }


@login_required
@require_POST
def prices(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Set what a judge's tokens cost."""
    found = access.get_judge(request.user, slug, pk)
    form = PricesForm(request.POST, instance=access.get_judge(request.user, slug, pk))
    if form.is_valid():
        ai_judges.set_prices(judge=found, by=request.user, **form.cleaned_data)
        messages.success(request, gettext("Prices saved."))
    else:
        messages.error(request, problem_of(form))
    return redirect(found)


@login_required
@require_POST
def calibrate(request: UserRequest, slug: str, pk: int, number: int) -> HttpResponse:
    """Let a version judge pairs that people judged."""
    version = access.get_judge_version(request.user, slug, pk, number)
    form = StartRunForm(request.POST)
    if form.is_valid():
        with refusals_as_messages(request):
            ai_judges.start_run(version=version, by=request.user, **form.cleaned_data)
            messages.success(request, gettext("A worker asks the judge now."))
    else:
        messages.error(request, problem_of(form))
    return redirect(version.judge)


@login_required
@require_POST
def take_over(request: UserRequest, slug: str, pk: int, number: int) -> HttpResponse:
    """Let a version judge pairs of a slice that nobody has judged."""
    version = access.get_judge_version(request.user, slug, pk, number)
    form = TakeOverForm(request.POST)
    if form.is_valid():
        with refusals_as_messages(request):
            ai_judges.take_over(version=version, by=request.user, **form.cleaned_data)
            messages.success(request, gettext("A worker asks the judge now."))
    else:
        messages.error(request, problem_of(form))
    return redirect(version.judge)


@login_required
@require_POST
def cancel_run(request: UserRequest, slug: str, pk: int, run: int) -> HttpResponse:
    found = access.get_judge_run(request.user, slug, pk, run)
    ai_judges.cancel(run=found, by=request.user)
    return redirect(found.version.judge)


@login_required
@require_POST
def resume_run(request: UserRequest, slug: str, pk: int, run: int) -> HttpResponse:
    found = access.get_judge_run(request.user, slug, pk, run)
    with refusals_as_messages(request):
        ai_judges.resume(run=found, by=request.user)
    return redirect(found.version.judge)
