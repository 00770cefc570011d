from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_POST

from annotation import access
from annotation.actions import flags
from annotation.characters import cleaned
from annotation.forms.work import FlagForm
from annotation.http import UserRequest, problem_of, refusals_as_errors, refusals_as_messages
from annotation.models import FlagStatus, Role


@login_required
@require_POST
def flag(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Flag a text from the work page and answer with one line about it."""
    assignment = access.get_assignment(request.user, slug, pk)
    form = FlagForm(assignment, cleaned(request.POST))
    if form.is_valid():
        answer, reason, note = (form.cleaned_data[name] for name in ("answer", "reason", "note"))
        with refusals_as_errors(form):
            flags.flag(assignment=assignment, completion=answer, reason=reason, note=note, by=request.user)
    problem = problem_of(form)
    if request.htmx:
        return render(request, "annotation/flags.html#flagged", {"problem": problem}, status=422 if problem else 200)
    (messages.error if problem else messages.success)(request, problem or "Reported. A reviewer will check it.")
    return redirect(assignment)


@login_required
@require_GET
def flag_list(request: UserRequest, slug: str) -> HttpResponse:
    """List open flags, the oldest first, each with its whole text."""
    project = access.get_project(request.user, slug, role=Role.REVIEWER)
    found = project.flags.filter(status=FlagStatus.OPEN).select_related("prompt", "completion__prompt", "raised_by")
    page = Paginator(found, 20).get_page(request.GET.get("page"))
    settled = project.flags.exclude(status=FlagStatus.OPEN).select_related("prompt", "completion", "settled_by")
    context = {"project": project, "page": page, "settled": settled.order_by("-settled_at")[:20]}
    return render(request, "annotation/flags.html", context)


@login_required
@require_POST
def dismiss(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    found = access.get_flag(request.user, slug, pk)
    with refusals_as_messages(request):
        flags.dismiss(flag=found, by=request.user)
        messages.success(request, gettext("Dismissed. The text stays in use."))
    return redirect("flags", slug)


@login_required
@require_POST
def withdraw(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    found = access.get_flag(request.user, slug, pk)
    with refusals_as_messages(request):
        flags.withdraw(flag=found, by=request.user)
        messages.success(request, gettext("Removed from new tasks. Open tasks keep the text."))
    return redirect("flags", slug)
