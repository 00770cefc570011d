"""The page of a project's autopilot."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from annotation import access
from annotation.characters import cleaned
from annotation.http import UserRequest
from annotation.models import Role
from training.actions import autopilot as actions
from training.forms.autopilot import AutopilotForm
from training.models import Autopilot


@login_required
@require_http_methods(["GET", "POST"])
def autopilot(request: UserRequest, slug: str) -> HttpResponse:
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    pilot = Autopilot.objects.filter(project=project).first() or Autopilot(project=project)
    facts = actions.facts_of(pilot, timezone.now())
    form = AutopilotForm(cleaned(request.POST) if request.method == "POST" else None, instance=pilot)
    if form.is_bound and form.is_valid():
        actions.save(pilot=form.save(commit=False), by=request.user)
        messages.success(request, gettext("Saved.") if pilot.enabled else gettext("Saved. The autopilot is off."))
        return redirect("autopilot", slug)
    if pilot.pk:  # a form that is refused has changed it all the same
        pilot.refresh_from_db()
    elif form.errors:
        pilot = Autopilot(project=project)
    context = {
        "project": project,
        "pilot": pilot,
        "form": form,
        "facts": facts,
        "would": actions.decide(pilot, facts).why if not form.errors else "",
        "started": project.rounds.exclude(autopilot_reason="")[:20],
    }
    return render(request, "training/autopilot.html", context, status=422 if form.errors else 200)
