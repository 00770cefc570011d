from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from annotation import access
from annotation.actions import alarms
from annotation.characters import cleaned
from annotation.errors import NotPossible
from annotation.forms.projects import AlarmForm
from annotation.http import UserRequest

RAISED = "The alarm is raised: nothing is sampled until an admin has looked. You can go on with your work."


@login_required
@require_POST
def raise_alarm(request: UserRequest, slug: str) -> HttpResponse:
    """From the work page: a line that says what became of it, and the work goes on."""
    project = access.get_project(request.user, slug)
    form, problem = AlarmForm(cleaned(request.POST)), ""
    if form.is_valid():
        try:
            alarms.raise_alarm(project=project, note=form.cleaned_data["note"], by=request.user)
        except NotPossible as refusal:
            problem = str(refusal)
    else:
        problem = " ".join(str(error) for found in form.errors.values() for error in found)
    if request.htmx:
        context = {"problem": problem, "done": RAISED}
        return render(request, "annotation/flags.html#flagged", context, status=422 if problem else 200)
    (messages.error if problem else messages.success)(request, problem or RAISED)
    return redirect(project)


@login_required
@require_POST
def settle(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    alarm = access.get_alarm(request.user, slug, pk)
    try:
        alarms.settle(alarm=alarm, by=request.user)
    except NotPossible as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, "Settled. Rounds may sample again; one that was paused waits for you to resume it.")
    return redirect(alarm.project)
