"""The admin's pages: start a round, watch it, stop it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext, gettext_noop
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import access as annotation_access
from annotation.downloads import CSV, attachment
from annotation.http import UserRequest, refusals_as_errors, refusals_as_messages
from annotation.models import Project, Role
from training import access
from training.actions import rounds
from training.actions.compute import ALL_STAGES
from training.exports import TOOLS
from training.forms.compute import RoundComputeForm
from training.forms.rounds import DescribeRoundForm, StartRoundForm
from training.methods import InvalidConfig
from training.methods.plans import FIRST_ROUND, configs_of
from training.methods.presets import PRESETS, preset_settings
from training.models import Metric, RunStatus, TrainingRound, TrainingRun
from training.products import sections_of
from training.reports import curves
from training.reports.enough_data import enough_data, warning
from training.reports.forecasts import Forecast, forecast
from training.reports.round_comparison import MOST_ROUNDS, compare
from training.reports.stages import stages_of

SUMMARY, CURVES, SAMPLES, SLICES, LOG = "summary", "curves", "samples", "slices", "log"
TABS = {
    SUMMARY: gettext_noop("Summary"),
    CURVES: gettext_noop("Curves"),
    SAMPLES: gettext_noop("Samples"),
    SLICES: gettext_noop("Slices"),
    LOG: gettext_noop("Log"),
}
ON_A_PAGE = 25
EARLIER_SHOWN = 20


@login_required
@require_GET
def round_list(request: UserRequest, slug: str) -> HttpResponse:
    membership = annotation_access.get_membership(request.user, slug, role=Role.REVIEWER)
    project = membership.project
    found = project.rounds.prefetch_related("runs__policy")
    tags = sorted({tag for tags in project.rounds.exclude(tags=[]).values_list("tags", flat=True) for tag in tags})
    if (tag := request.GET.get("tag", "")) in tags:
        found = found.filter(pk__in=[pk for pk, own in project.rounds.values_list("pk", "tags") if tag in own])
    context = {
        "project": project,
        "is_admin": membership.may_act_as(Role.ADMIN),
        "tags": tags,
        "tag": tag,
        "rounds": Paginator(found, ON_A_PAGE).get_page(request.GET.get("page")),
    }
    return render(request, "training/round_list.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def round_new(request: UserRequest, slug: str) -> HttpResponse:
    """Start a round by POST, or show its forecast: whole with `dry_run`, in a few words with `estimate`.

    A round that would stop at its gate for want of data shows its forecast first, and starts with `despite`.
    """
    project = annotation_access.get_project(request.user, slug, role=Role.ADMIN)
    form = StartRoundForm(project, request.POST or None, like=_like(request, project))
    if "estimate" in request.POST:
        return render(request, "training/round_new.html#estimate", {"estimate": _estimate(project, form)})
    compute = RoundComputeForm(project, request.POST or None)
    foreseen = None
    if request.method == "POST" and form.is_valid() and compute.is_valid():
        plan: dict[str, Any] = {"project": project, "methods": form.methods(), "settings": form.settings()}
        with refusals_as_errors(form), form.invalid_settings_as_errors():
            if "dry_run" not in request.POST and ("despite" in request.POST or not _lacks_data(**plan)):
                return redirect(rounds.start_round(**plan, by=request.user, compute={ALL_STAGES: compute.asked}))
            foreseen = forecast(**plan)
    reason = rounds.refusal(project, rounds.next_methods(project))
    context = {
        "project": project,
        "form": form,
        "compute": compute,
        "forecast": foreseen,
        "presets": {name: preset_settings(name) for name in PRESETS},
        "enough": enough_data(project),
        "cannot_start_reason": reason,
        "way_on": _way_on(project) if reason else ("", ""),
    }
    return render(request, "training/round_new.html", context)


def _way_on(project: Project) -> tuple[str, str]:
    """Return address and name of the page that removes what keeps a round from starting; empty where none does."""
    if active := project.rounds.active().first():
        return active.get_absolute_url(), gettext("Round %(number)s") % {"number": active.number}
    if not project.policies.exists():
        return reverse("model", args=[project.slug]), gettext("Prepare the base model")
    if not project.prompts.exists():
        return reverse("prompts", args=[project.slug]), gettext("Import prompts")
    return "", ""


def _estimate(project: Project, form: StartRoundForm) -> Forecast | None:
    """Return the forecast of what is filled in; None where it is not valid."""
    if form.is_valid():
        with suppress(InvalidConfig):
            return forecast(project=project, methods=form.methods(), settings=form.settings())
    return None


@login_required
@require_GET
def compare_rounds(request: UserRequest, slug: str) -> HttpResponse:
    """Show the rounds of ?round=1&round=3 side by side: their settings that differ, figures and curves."""
    project = annotation_access.get_project(request.user, slug, role=Role.REVIEWER)
    numbers = {number for each in request.GET.getlist("round") if (number := _whole_number(each)) is not None}
    chosen = list(project.rounds.filter(number__in=numbers).order_by("number").prefetch_related("runs")[:MOST_ROUNDS])
    baseline = next((round for round in chosen if round.is_baseline), chosen[0] if chosen else None)
    context = {
        "project": project,
        "chosen": chosen,
        "baseline": baseline,
        "parts": compare(chosen, baseline) if baseline else [],
        "most": MOST_ROUNDS,
        "others": project.rounds.exclude(pk__in=[round.pk for round in chosen])[:EARLIER_SHOWN],
        "sources": [
            {
                "name": gettext("round %(number)s") % {"number": round.number},
                "url": reverse("round_metrics", args=[slug, round.number]),
            }
            for round in chosen
        ],
    }
    return render(request, "training/round_compare.html", context)


@login_required
@require_POST
def describe(request: UserRequest, slug: str, number: int) -> HttpResponse:
    """Store notes, tags and the baseline mark of a round."""
    round = access.get_round(request.user, slug, number, role=Role.ADMIN)
    form = DescribeRoundForm(request.POST)
    if form.is_valid():
        rounds.describe_round(round=round, by=request.user, **form.cleaned_data)
        messages.success(request, gettext("Notes of round %(number)s saved.") % {"number": round.number})
    else:
        for errors in form.errors.values():
            messages.error(request, str(errors[0]))
    return redirect(round)


@login_required
@require_POST
def generate(request: UserRequest, slug: str) -> HttpResponse:
    """Start a round that only generates responses to every prompt, as many as a task of the project shows."""
    project = annotation_access.get_project(request.user, slug, role=Role.ADMIN)
    settings = {"sample": {"completions_per_prompt": project.candidates_per_task}}
    with refusals_as_messages(request):
        started = rounds.start_round(project=project, methods=FIRST_ROUND, settings=settings, by=request.user)
        messages.success(
            request,
            gettext("Round %(number)s generates responses. They become tasks when it is done.")
            % {"number": started.number},
        )
    return redirect(project)


def _lacks_data(project: Project, methods: list[str], settings: dict[str, dict[str, Any]]) -> bool:
    """Return whether a round could start but would stop at its gate for want of data."""
    configs = configs_of(methods, settings)
    return not rounds.refusal(project, methods, configs) and bool(warning(project, methods, configs))


def _like(request: UserRequest, project: Project) -> TrainingRound | None:
    """Return the round that ?like= names, whose settings the form starts with."""
    number = _whole_number(request.GET.get("like", ""))
    return None if number is None else project.rounds.filter(number=number).first()


@login_required
@require_GET
def round_detail(request: UserRequest, slug: str, number: int, tab: str = SUMMARY) -> HttpResponse:
    """Show a tab of a round. To htmx: its state, and the summary or the log, which change while it runs."""
    membership = annotation_access.get_membership(request.user, slug, role=Role.REVIEWER)
    round = access.get_round(request.user, slug, number)
    runs = list(round.runs.select_related("policy", "snapshot", "gate_overridden_by"))
    stages = stages_of(round, runs)
    context = {
        "project": round.project,
        "round": round,
        "stages": stages,
        "is_admin": membership.may_act_as(Role.ADMIN),
        "tools": list(TOOLS.values()),
        "tab": tab,
        "tabs": [
            {"name": name, "label": label, "url": _address_of(round, name), "is_here": name == tab}
            for name, label in TABS.items()
        ],
        "metrics_url": reverse("round_metrics", args=[slug, number]),
        **_shown_by(tab, round, runs),
    }
    page = "training/round_detail.html"
    return render(request, f"{page}#progress" if request.htmx else page, context)


def _address_of(round: TrainingRound, tab: str) -> str:
    name = "round" if tab == SUMMARY else f"round_{tab}"
    return reverse(name, args=[round.project.slug, round.number])


def _shown_by(tab: str, round: TrainingRound, runs: list[TrainingRun]) -> dict[str, Any]:
    """Return what one tab needs beside the state of the round."""
    has_curves = tab in (SUMMARY, CURVES) and Metric.objects.filter(run__in=runs).exists()
    if tab == CURVES:
        return {"has_curves": has_curves, "earlier": access.rounds_with_curves(round)[:EARLIER_SHOWN]}
    if tab == LOG:
        return {"log_tail": _log_tail(runs)}
    about = {"tags": ", ".join(round.tags), "notes": round.notes, "is_baseline": round.is_baseline}
    sections = [section for section in sections_of(round.project, runs) if section.tab == tab]
    return {"sections": sections, "has_curves": has_curves, "about": DescribeRoundForm(initial=about)}


@login_required
@require_GET
def metrics(request: UserRequest, slug: str, number: int) -> JsonResponse:
    """Return the curves of a round as JSON; ?first= and ?last= limit the steps, so that fewer are thinned out."""
    round = access.get_round(request.user, slug, number)
    first, last = (_whole_number(request.GET.get(name, "")) for name in ("first", "last"))
    return JsonResponse({"runs": curves.of_round(round, first=first, last=last)})


@login_required
@require_GET
def metrics_csv(request: UserRequest, slug: str, number: int) -> HttpResponseBase:
    round = access.get_round(request.user, slug, number)
    return attachment(round.project, f"{slug}-round-{number}-metrics.csv", curves.as_csv(round), CSV)


def _whole_number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


@login_required
@require_POST
def cancel(request: UserRequest, slug: str, number: int) -> HttpResponse:
    round = access.get_round(request.user, slug, number, role=Role.ADMIN)
    return _done(
        request,
        round,
        lambda: rounds.cancel_round(round=round, by=request.user),
        gettext("Round %(number)s is cancelled."),
    )


@login_required
@require_POST
def go_on(request: UserRequest, slug: str, number: int) -> HttpResponse:
    round = access.get_round(request.user, slug, number, role=Role.ADMIN)
    return _done(
        request,
        round,
        lambda: rounds.go_on(round=round, by=request.user),
        gettext("Round %(number)s continues past its quality gate."),
    )


@login_required
@require_POST
def pause(request: UserRequest, slug: str, number: int) -> HttpResponse:
    round = access.get_round(request.user, slug, number, role=Role.ADMIN)
    return _done(
        request, round, lambda: rounds.pause_round(round=round, by=request.user), gettext("Round %(number)s is paused.")
    )


@login_required
@require_POST
def resume(request: UserRequest, slug: str, number: int) -> HttpResponse:
    round = access.get_round(request.user, slug, number, role=Role.ADMIN)
    return _done(
        request,
        round,
        lambda: rounds.resume_round(round=round),
        gettext("Round %(number)s continues where it stopped."),
    )


@login_required
@require_POST
def retry(request: UserRequest, slug: str, number: int) -> HttpResponse:
    round = access.get_round(request.user, slug, number, role=Role.ADMIN)
    return _done(
        request,
        round,
        lambda: rounds.retry_round(round=round),
        gettext("Round %(number)s is retried from where it failed."),
    )


def _done(request: UserRequest, round: TrainingRound, move: Callable[[], None], outcome: str) -> HttpResponse:
    with refusals_as_messages(request):
        move()
        messages.success(request, outcome % {"number": round.number})
    return redirect(round)


def _log_tail(runs: list[TrainingRun]) -> str:
    """Return the end of the log of the run in progress, or else of the one that started last."""
    started = [run for run in runs if run.started_at]
    running = [run for run in started if run.status == RunStatus.RUNNING]
    chosen = (running or started)[-1:]
    return chosen[0].directory.log_tail() if chosen else ""
