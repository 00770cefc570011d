"""The practice page of an annotator, with feedback."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods
from django_htmx.http import HttpResponseClientRedirect

from annotation import access
from annotation.actions import practice as actions
from annotation.http import UserRequest, refusals_as_messages
from annotation.judged.preferences import places
from annotation.models import PracticeRound, Project, UnaryJudgment
from annotation.rendering import markdown


def to_practice(request: UserRequest, project: Project) -> HttpResponse:
    """Redirect to the practice page, also from a form that htmx sent."""
    url = reverse("practice", args=[project.slug])
    return HttpResponseClientRedirect(url) if request.htmx else redirect(url)


@login_required
@require_http_methods(["GET", "POST"])
def practice(request: UserRequest, slug: str) -> HttpResponse:
    """Show the progress of practice with feedback on the last answer; POST goes on to the next task."""
    membership = access.get_membership(request.user, slug)
    project = membership.project
    if request.method == "POST":
        with refusals_as_messages(request):
            return redirect(actions.next_assignment(project=project, by=request.user))
        return redirect("practice", slug)
    rounds = list(PracticeRound.objects.filter(project=project, annotator=request.user).order_by("-id"))
    current = rounds[0] if rounds else None
    given = actions.answers(current) if current else []
    left = actions.remaining(current).count() if current and not current.finished_at else 0
    context: dict[str, Any] = {
        "project": project,
        "membership": membership,
        "tasks": actions.tasks_for(project, request.user).count(),
        "rounds": rounds,
        "current": current,
        "done": len(given),
        "left": left,
        "feedback": _shown(actions.feedback(given[-1])) if given else None,
        "results": [actions.feedback(answer) for answer in given] if current and current.finished_at else [],
    }
    return render(request, "annotation/practice.html", context)


def _shown(found: actions.PracticeFeedback) -> dict[str, Any] | None:
    """Return the known outcome with its texts, the person's own beside it, and the pairs that differ."""
    if found.gold is None:
        return None
    task = found.gold.task
    texts = dict(task.candidates.values_list("pk", "text"))
    shown = {"agreed": found.agreed, "pairs": found.pairs, "prompt": task.prompt, "note": markdown(found.gold.note)}
    if isinstance(found.answer, UnaryJudgment):
        known_good = not found.gold.unacceptable
        return shown | {
            "unary": [markdown(text) for text in texts.values()],
            "known": UnaryJudgment.verdict_text(known_good, ""),
            "mine": UnaryJudgment.verdict_text(found.answer.good, found.answer.reason),
        }
    mine, known = places(found.answer.tiers), places(found.gold.tiers)
    number = {pk: place for place, pk in enumerate(found.answer.assignment.shown_order, start=1)}
    return shown | {
        "answers": [
            {"number": number[pk], "html": markdown(texts[pk]), "known": known[pk] + 1, "mine": mine[pk] + 1}
            for tier in found.gold.tiers
            for pk in tier
        ],
        "differs": [
            {
                "better": number[better],
                "worse": number[worse],
                "known_tie": known[better] == known[worse],
                "your_tie": mine[better] == mine[worse],
            }
            for better, worse in found.differs
        ],
    }
