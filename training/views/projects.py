"""The page on which a project is created: its base model is prepared from then on."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from annotation import access
from annotation.actions import projects
from annotation.forms.projects import PRESETS, NewProjectForm
from annotation.http import UserRequest
from training.actions import preparations
from training.views.models import known_models


@login_required
@require_http_methods(["GET", "POST"])
def create(request: UserRequest) -> HttpResponse:
    """Create a project and ask for its base model."""
    if not access.may_create_projects(request.user):
        raise PermissionDenied(
            gettext("Your account may not create projects. An operator of this server can allow it.")
        )
    form = NewProjectForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        project = projects.create_project(project=form.save(commit=False), by=request.user)
        preparation = preparations.ask_for(project=project)
        messages.success(request, gettext("%(project)s is created.") % {"project": project})
        if preparation.is_moving:
            messages.info(
                request,
                gettext("The model %(base_model)s is being prepared. Import prompts meanwhile.")
                % {"base_model": project.base_model},
            )
        return redirect(project)
    context = {"form": form, "known": known_models(request.user), "presets": PRESETS}
    return render(request, "annotation/project_form.html", context, status=422 if form.errors else 200)
