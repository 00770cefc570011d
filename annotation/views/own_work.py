"""A person's own annotations: a list, each as it was made, and the comments on it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_POST

from annotation import access
from annotation.actions import practice
from annotation.actions import quality as actions
from annotation.http import UserRequest, refusals_as_messages
from annotation.models import Assignment, PracticeRound, Purpose, ReviewComment, Revision, SeatStatus
from annotation.quality.report import own_agreement
from annotation.views.as_made import as_made, versions_of

ANNOTATIONS_A_PAGE = 50


@login_required
@require_GET
def own_work(request: UserRequest, slug: str) -> HttpResponse:
    """Show what a person did: counts, agreement with others, comments. Checks of them are not marked as such."""
    membership = access.get_membership(request.user, slug)
    project = membership.project
    done = (
        Assignment.objects.judged()
        .filter(project=project, annotator=request.user)
        .exclude(task__purpose=Purpose.PRACTICE)
        .select_related("task__prompt", "task__proposal")
        .order_by("-finished_at", "-id")
    )
    comments = ReviewComment.objects.filter(assignment__project=project, assignment__annotator=request.user)
    to_correct = Revision.objects.filter(
        assignment__project=project, assignment__annotator=request.user, closed_at=None, asked_by__isnull=False
    )
    context = {
        "project": project,
        "membership": membership,
        "skipped": project.assignments.filter(annotator=request.user, status="skipped").count(),
        "agreement": own_agreement(project, request.user.pk),
        "page": Paginator(done, ANNOTATIONS_A_PAGE).get_page(request.GET.get("page")),
        "to_correct": to_correct.select_related("asked_by", "assignment__task__prompt", "assignment__task__proposal"),
        "comments": comments.exclude(author=request.user)
        .select_related("author", "assignment__task__prompt", "assignment__task__proposal")
        .order_by("read_at", "-id"),
        "rounds": PracticeRound.objects.filter(project=project, annotator=request.user).exclude(finished_at=None),
        "practice_tasks": practice.tasks_for(project, request.user).count(),
    }
    return render(request, "annotation/own_work.html", context)


@login_required
@require_GET
def own_annotation(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Show one of the user's own annotations as they made it, with comments; what is not submitted opens for work."""
    assignment = access.get_assignment(request.user, slug, pk)
    if assignment.status in (SeatStatus.HELD, SeatStatus.LAPSED):
        return redirect(assignment)
    context: dict[str, Any] = {
        "project": assignment.project,
        "assignment": assignment,
        "made": as_made(assignment),
        "versions": versions_of(assignment),
        "comments": assignment.comments.select_related("author"),
    }
    return render(request, "annotation/own_annotation.html", context)


@login_required
@require_POST
def reply(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Store what an annotator answers to a reviewer's comment; the comments so far count as read."""
    assignment = access.get_assignment(request.user, slug, pk)
    with refusals_as_messages(request):
        actions.reply(assignment=assignment, author=request.user, text=request.POST.get("text", ""))
        messages.success(request, gettext("Reply sent. Reviewers see it with your annotation."))
    return redirect("own_annotation", slug, pk)


@login_required
@require_POST
def read_comment(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Note that a comment was read."""
    actions.mark_read(comment=access.get_own_comment(request.user, slug, pk))
    return redirect("own_work", slug)
