from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext, gettext_noop
from django.views.decorators.http import require_POST

from annotation import access
from annotation.actions import alarms
from annotation.characters import cleaned
from annotation.forms.projects import AlarmForm
from annotation.http import UserRequest, problem_of, refusals_as_errors, refusals_as_messages

RAISED = gettext_noop("Sampling is paused until an admin has checked the model. You can continue annotating.")


@login_required
@require_POST
def raise_alarm(request: UserRequest, slug: str) -> HttpResponse:
    """Raise the alarm from the work page and answer with one line about it."""
    project = access.get_project(request.user, slug)
    form = AlarmForm(cleaned(request.POST))
    if form.is_valid():
        with refusals_as_errors(form):
            alarms.raise_alarm(project=project, note=form.cleaned_data["note"], by=request.user)
    problem = problem_of(form)
    if request.htmx:
        context = {"problem": problem, "done": gettext(RAISED)}
        return render(request, "annotation/flags.html#flagged", context, status=422 if problem else 200)
    (messages.error if problem else messages.success)(request, problem or gettext(RAISED))
    return redirect(project)


@login_required
@require_POST
def settle(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    alarm = access.get_alarm(request.user, slug, pk)
    with refusals_as_messages(request):
        alarms.settle(alarm=alarm, by=request.user)
        messages.success(request, gettext("Resolved. Rounds can sample again; resume a paused round yourself."))
    return redirect(alarm.project)
