"""The reviewer's pages: contested tasks, what people said about each, a decision, a comment; and the known tasks."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import access, pseudonyms
from annotation.actions import quality as actions
from annotation.actions import quality_figures, reopening
from annotation.forms.review import AdjudicationForm, KnownForm, UnaryAdjudicationForm
from annotation.http import UserRequest, next_page, refusals_as_messages
from annotation.judged.preferences import places
from annotation.models import Adjudication, GoldAnswer, Ranking, Role, Task, UnaryJudgment
from annotation.rendering import markdown

TASKS_A_PAGE = 25


@login_required
@require_GET
def task_list(request: UserRequest, slug: str) -> HttpResponse:
    """List judged tasks, least agreement first."""
    project = access.get_project(request.user, slug, role=Role.REVIEWER)
    reader = access.blind_reader(request.user, project)
    figures = quality_figures.figures_of(project, to=reader)
    if figures is None:
        return render(request, "annotation/figures_pending.html", {"project": project, "title": gettext("Review")})
    contested = figures["contested"]
    if reader:  # a task may have become theirs to judge since the figures were made
        listed = project.tasks.filter(pk__in=[row["task"] for row in contested])
        blind = set(listed.blind_to(reader).values_list("pk", flat=True))
        contested = [row for row in contested if row["task"] not in blind]
    standing = set(Adjudication.objects.in_force().filter(task__project=project).values_list("task_id", flat=True))
    decided = request.GET.get("show") == "decided"
    page = Paginator([row for row in contested if (row["task"] in standing) == decided], TASKS_A_PAGE).get_page(
        request.GET.get("page")
    )
    found = project.tasks.select_related("prompt", "gold").in_bulk([row["task"] for row in page])
    rows = [{**row, "task": found[row["task"]]} for row in page if row["task"] in found]
    context = {
        "project": project,
        "page": page,
        "rows": rows,
        "decided": decided,
        "decided_count": len(standing),
        "waiting_count": sum(row["task"] not in standing for row in contested),
        "sample": figures["sample"],
        "known_count": GoldAnswer.objects.filter(task__project=project).count(),
    }
    return render(request, "annotation/review.html", context)


@login_required
@require_http_methods(["GET", "POST"])
def task(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Show the judgments side by side; POST stores an adjudicated order, which snapshots take instead."""
    ranked = access.get_ranked_task(request.user, slug, pk)
    if actions.could_still_judge(task=ranked, user=request.user):
        if "look" in request.POST:
            with refusals_as_messages(request):
                actions.look_without_judging(task=ranked, user=request.user)
            return redirect("review_task", slug, pk)
        return _still_blind(request, ranked)
    candidates = list(ranked.candidates.select_related("policy").order_by("id"))
    is_unary = ranked.kind == "unary"
    votes: list[Any] = list(
        (UnaryJudgment if is_unary else Ranking)
        ._default_manager.filter(assignment__task=ranked)
        .select_related("assignment__annotator")
        .prefetch_related("assignment__comments__author")
        .order_by("id")
    )
    standing = ranked.adjudications.in_force().select_related("adjudicated_by").first()
    sent = request.POST if request.method == "POST" else None
    form = (
        UnaryAdjudicationForm(candidates[0], sent, suggested=standing or _majority(votes))
        if is_unary
        else AdjudicationForm(candidates, sent, suggested=standing or _merged(votes))
    )
    if request.method == "POST" and form.is_valid():
        with refusals_as_messages(request):
            actions.adjudicate(
                task=ranked,
                tiers=form.cleaned_data["tiers"],
                unacceptable=form.cleaned_data["unacceptable"],
                note=form.cleaned_data["note"],
                by=request.user,
            )
            messages.success(request, gettext("Adjudication saved. Snapshots use it instead of the votes."))
        return redirect("review_task", slug, pk)
    gold = GoldAnswer.objects.filter(task=ranked).first()
    context: dict[str, Any] = {
        "project": ranked.project,
        "task": ranked,
        "messages_shown": [
            {"role": message["role"], "html": markdown(message["content"])} for message in ranked.messages
        ],
        "votes": votes,
        "is_unary": is_unary,
        "answers": _responses(candidates) if is_unary else _answers(candidates, votes, form),
        "standing": standing,
        "history": ranked.adjudications.exclude(withdrawn_at=None).select_related("adjudicated_by", "withdrawn_by"),
        "form": form,
        "gold": gold,
        "known_form": KnownForm(initial={"note": gold.note, "practice": gold.practice} if gold else None),
        "is_admin": access.get_membership(request.user, slug).may_act_as(Role.ADMIN),
    }
    return render(request, "annotation/review_task.html", context, status=422 if form.errors else 200)


def _still_blind(request: UserRequest, ranked: Task) -> HttpResponse:
    """Show the task without a vote: this reviewer may yet be asked to judge it, and then should not know any."""
    held = ranked.assignments.held().filter(annotator=request.user).first()
    context = {
        "project": ranked.project,
        "task": ranked,
        "held": held,
        "judged": ranked.assignments.judged().filter(annotator=request.user).exists(),
        "messages_shown": [
            {"role": message["role"], "html": markdown(message["content"])} for message in ranked.messages
        ],
    }
    return render(request, "annotation/review_blind.html", context, status=409 if request.method == "POST" else 200)


def _responses(candidates: list[Any]) -> list[dict[str, Any]]:
    return [{"completion": completion, "html": markdown(completion.text)} for completion in candidates]


def _majority(votes: list[UnaryJudgment]) -> bool | None:
    """Return a start for the reviewer: whether most find the response good; None where as many find it bad."""
    good = sum(vote.good for vote in votes)
    return None if 2 * good == len(votes) else 2 * good > len(votes)


def _answers(candidates: list[Any], votes: list[Ranking], form: forms.Form) -> list[dict[str, Any]]:
    """Return each answer with the place that everybody gave it."""
    given = [(vote, places(vote.tiers)) for vote in votes]
    return [
        {
            "number": number,
            "completion": completion,
            "html": markdown(completion.text),
            "place_field": form[f"place_{completion.pk}"],
            "below_field": form[f"below_{completion.pk}"],
            "places": [
                {
                    "vote": vote,
                    "place": place[completion.pk] + 1 if completion.pk in place else None,
                    "below": completion.pk in vote.unacceptable,
                    "shown": vote.assignment.shown_order.index(completion.pk) + 1
                    if completion.pk in vote.assignment.shown_order
                    else None,
                }
                for vote, place in given
            ],
        }
        for number, completion in enumerate(candidates, start=1)
    ]


def _merged(votes: list[Ranking]) -> list[list[int]]:
    """Return a start for the reviewer: answers by the mean of their places."""
    total: dict[int, float] = {}
    for vote in votes:
        for pk, place in places(vote.tiers).items():
            total[pk] = total.get(pk, 0) + place
    return [[pk for pk in total if total[pk] == mean] for mean in sorted(set(total.values()))]


@login_required
@require_POST
def withdraw(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    ranked = access.get_ranked_task(request.user, slug, pk)
    if actions.withdraw(task=ranked, by=request.user):
        messages.success(request, gettext("Adjudication discarded. Snapshots use the votes again."))
    return redirect("review_task", slug, pk)


@login_required
@require_POST
def mark_known(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Make the decided order a known one, or take that back (remove=1)."""
    ranked = access.get_ranked_task(request.user, slug, pk)
    if request.POST.get("remove"):
        actions.unmark_gold(task=ranked)
        messages.success(request, gettext("Gold mark removed."))
        return redirect("review_task", slug, pk)
    form = KnownForm(request.POST)
    with refusals_as_messages(request):
        if form.is_valid():
            _mark(ranked, form.cleaned_data, request)
            messages.success(request, gettext("Marked as gold."))
    return redirect("review_task", slug, pk)


def _mark(ranked: Task, said: dict[str, Any], request: UserRequest) -> None:
    """Store the known order; only an admin decides whether new annotators practise on it."""
    practice = GoldAnswer.objects.filter(task=ranked, practice=True).exists()
    if access.get_membership(request.user, ranked.project.slug).may_act_as(Role.ADMIN):
        practice = said["practice"]
    actions.mark_gold(task=ranked, by=request.user, note=said["note"], practice=practice)


@login_required
@require_POST
def comment(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    assignment = access.get_judged_assignment(request.user, slug, pk)
    with refusals_as_messages(request):
        actions.comment(assignment=assignment, author=request.user, text=request.POST.get("text", ""))
        messages.success(request, gettext("Comment sent."))
    return redirect(
        next_page(request) or reverse("review_task", args=[slug, assignment.task.repeat_of_id or assignment.task_id])
    )


@login_required
@require_POST
def send_back(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Send an annotation back to its author for correction."""
    assignment = access.get_judged_assignment(request.user, slug, pk)
    with refusals_as_messages(request):
        reopening.send_back(assignment=assignment, by=request.user, reason=request.POST.get("reason", ""))
        messages.success(
            request,
            gettext("Sent back: %(annotator)s gets the task next.")
            % {"annotator": pseudonyms.known_as(assignment.project_id, assignment.annotator)},
        )
    return redirect(next_page(request) or reverse("review_task", args=[slug, assignment.task_id]))


@login_required
@require_GET
def known(request: UserRequest, slug: str) -> HttpResponse:
    """List the tasks with a known order, and which of them new annotators practise on."""
    membership = access.get_membership(request.user, slug, role=Role.REVIEWER)
    rows = GoldAnswer.objects.filter(task__project=membership.project).select_related("task__prompt", "marked_by")
    context = {
        "project": membership.project,
        "membership": membership,
        "is_admin": membership.may_act_as(Role.ADMIN),
        "page": Paginator(rows, 50).get_page(request.GET.get("page")),
        "practice_count": rows.filter(practice=True).count(),
    }
    return render(request, "annotation/review_known.html", context)


@login_required
@require_POST
def set_practice(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    access.get_project(request.user, slug, role=Role.ADMIN)
    ranked = access.get_ranked_task(request.user, slug, pk)
    with refusals_as_messages(request):
        actions.set_practice(task=ranked, practice=request.POST.get("practice") == "1")
    return redirect("known", slug)
