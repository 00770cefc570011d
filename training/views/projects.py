"""Projects are created, new or like another one: their base model is prepared from then on."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST

from annotation import access
from annotation.actions import projects
from annotation.characters import cleaned
from annotation.forms.projects import PRESETS, DuplicateForm, NewProjectForm
from annotation.http import UserRequest, problem_of
from annotation.models import Project, Role
from training.actions import preparations
from training.views.models import known_models


def _created(request: UserRequest, project: Project) -> HttpResponse:
    """Ask for the base model of a new project, and go to its page."""
    preparation = preparations.ask_for(project=project)
    messages.success(request, gettext("%(project)s is created.") % {"project": project})
    if preparation.is_moving:
        messages.info(
            request,
            gettext("The model %(base_model)s is being prepared. Import prompts meanwhile.")
            % {"base_model": project.base_model},
        )
    return redirect(project)


def _check_may_create(user: User) -> None:
    """Raise PermissionDenied where an account may not create projects."""
    if not access.may_create_projects(user):
        raise PermissionDenied(
            gettext("Your account may not create projects. An operator of this server can allow it.")
        )


@login_required
@require_POST
def duplicate(request: UserRequest, slug: str) -> HttpResponse:
    """Create a project with the settings, guidelines and base model of this one, without its people and data."""
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    _check_may_create(request.user)
    form = DuplicateForm(cleaned(request.POST))
    if not form.is_valid():
        messages.error(request, problem_of(form))
        return redirect("project_edit", slug)
    return _created(request, projects.duplicate(project=project, name=form.cleaned_data["name"], by=request.user))


@login_required
@require_http_methods(["GET", "POST"])
def create(request: UserRequest) -> HttpResponse:
    """Create a project and ask for its base model."""
    _check_may_create(request.user)
    form = NewProjectForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        return _created(request, projects.create_project(project=form.save(commit=False), by=request.user))
    context = {"form": form, "known": known_models(request.user), "presets": PRESETS}
    return render(request, "annotation/project_form.html", context, status=422 if form.errors else 200)
