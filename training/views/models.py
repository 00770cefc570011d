"""The page of a project's base model: which one it is, and how far its preparation is."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from annotation import access as annotation_access
from annotation.actions.projects import save_settings
from annotation.http import UserRequest, refusals_as_messages
from annotation.models import Project, Role
from training.actions import preparations
from training.forms.models import BaseModelForm
from training.models import Preparation, PreparationStatus

BUNDLED = Project._meta.get_field("base_model").get_default()


@login_required
@require_http_methods(["GET", "POST"])
def model(request: UserRequest, slug: str) -> HttpResponse:
    """Show the base model; by POST an admin has it prepared, or another one that the form names."""
    role = Role.ADMIN if request.method == "POST" else Role.REVIEWER
    membership = annotation_access.get_membership(request.user, slug, role=role)
    project = membership.project
    form = BaseModelForm(_filled_in(request, project), instance=project)
    if request.method == "POST" and form.is_valid():
        with refusals_as_messages(request):
            save_settings(project=form.instance, by=request.user)
            preparations.ask_for(project=form.instance)
        return redirect("model", slug)
    project.refresh_from_db(fields=["base_model"])  # the form may have set one that it refused
    context = {
        "project": project,
        "membership": membership,
        "is_admin": membership.may_act_as(Role.ADMIN),
        "form": form,
        "known": known_models(request.user),
        "preparation": Preparation.objects.filter(project=project).first(),
        "policy": project.policies.filter(number=0).first(),
    }
    return render(request, "training/model.html", context, status=422 if form.errors else 200)


def _filled_in(request: UserRequest, project: Project) -> dict[str, str] | None:
    """Return the data of the form; a button without its field means the model that is set."""
    if request.method != "POST":
        return None
    return {"base_model": request.POST.get("base_model", project.base_model).strip()}


def known_models(user: User) -> list[str]:
    """Return the bundled model, and those that were prepared for this person's projects."""
    prepared = Preparation.objects.filter(status=PreparationStatus.READY, project__memberships__user=user)
    return [BUNDLED, *sorted(set(prepared.values_list("model", flat=True)) - {BUNDLED})]
