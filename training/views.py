"""The admin's pages: start a round, watch it, stop it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import access as annotation_access
from annotation.actions import NotPossible
from annotation.http import UserRequest
from annotation.models import Prompt, Role
from training import access, curves
from training.actions import rounds
from training.forms import StartRoundForm
from training.methods import InvalidConfig
from training.models import RunStatus, TrainingRound

SAMPLES_SHOWN = 20


@login_required
@require_http_methods(["GET", "POST"])
def round_list(request: UserRequest, slug: str) -> HttpResponse:
    """GET lists; POST, by an admin, starts a round."""
    role = Role.ADMIN if request.method == "POST" else Role.REVIEWER
    membership = annotation_access.get_membership(request.user, slug, role=role)
    project = membership.project
    form = StartRoundForm(project, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            started = rounds.start_round(
                project=project, methods=form.methods(), settings=form.settings(), by=request.user
            )  # fmt: skip
        except InvalidConfig as invalid:
            form.add_errors(invalid.errors)
        except NotPossible as why:
            form.add_error(None, str(why))
        else:
            return redirect(started)
    reason = rounds.refusal(project, rounds.next_methods(project))
    context = {
        "project": project,
        "is_admin": membership.may_act_as(Role.ADMIN),
        "rounds": project.rounds.prefetch_related("runs"),
        "form": form,
        "can_start": not reason,
        "cannot_start_reason": reason,
    }
    return render(request, "training/round_list.html", context)


@login_required
@require_GET
def round_detail(request: UserRequest, slug: str, number: int) -> HttpResponse:
    membership = annotation_access.get_membership(request.user, slug, role=Role.REVIEWER)
    round = access.get_round(request.user, slug, number)
    context = {
        "project": round.project,
        "round": round,
        "runs": list(round.runs.select_related("policy", "snapshot", "let_through_by")),
        "is_admin": membership.may_act_as(Role.ADMIN),
        "log_tail": _log_tail(round),
        "samples": _samples(round),
        "metrics_url": reverse("round_metrics", args=[slug, number]),
    }
    page = "training/round_detail.html"
    return render(request, f"{page}#progress" if request.htmx else page, context)


@login_required
@require_GET
def metrics(request: UserRequest, slug: str, number: int) -> JsonResponse:
    return JsonResponse({"runs": curves.of_round(access.get_round(request.user, slug, number))})


@login_required
@require_POST
def cancel(request: UserRequest, slug: str, number: int) -> HttpResponse:
    round = access.get_round(request.user, slug, number, role=Role.ADMIN)
    try:
        rounds.cancel_round(round=round, by=request.user)
    except NotPossible as why:
        messages.error(request, str(why))
    else:
        messages.success(request, f"Round {number} is cancelled.")
    return redirect(round)


@login_required
@require_POST
def go_on(request: UserRequest, slug: str, number: int) -> HttpResponse:
    round = access.get_round(request.user, slug, number, role=Role.ADMIN)
    try:
        rounds.go_on(round=round, by=request.user)
    except NotPossible as why:
        messages.error(request, str(why))
    else:
        messages.success(request, f"Round {number} goes on past its gate.")
    return redirect(round)


def _log_tail(round: TrainingRound) -> str:
    """Of the run that says most about where the round stands: the running one, or else the last that started."""
    started = [run for run in round.runs.all() if run.started_at]
    running = [run for run in started if run.status == RunStatus.RUNNING]
    chosen = (running or started)[-1:]
    return chosen[0].directory.log_tail() if chosen else ""


def _samples(round: TrainingRound) -> list[dict[str, Any]]:
    """Answers to eval prompts before and after PPO, evenly picked from the largest gain to the largest loss."""
    run = round.runs.filter(method="ppo", status=RunStatus.SUCCEEDED).first()
    if run is None:
        return []
    rows = sorted(run.directory.samples(), key=lambda row: row["score_before"] - row["score_after"])
    chosen = [rows[place * len(rows) // SAMPLES_SHOWN] for place in range(SAMPLES_SHOWN)] if rows else []
    chosen = list({id(row): row for row in chosen}.values())  # fewer rows than places: each only once
    prompts = Prompt.objects.in_bulk([row["prompt_id"] for row in chosen])
    return [{**row, "prompt": prompts.get(row["prompt_id"], "(deleted)")} for row in chosen]
