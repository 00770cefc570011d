"""The page that says where the stages of a project run."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from annotation import access
from annotation.characters import cleaned
from annotation.http import UserRequest
from annotation.models import Role
from training.actions.compute import save_compute
from training.executors import EXECUTORS
from training.forms.compute import compute_forms, compute_forms_are_valid
from training.methods import METHODS


@login_required
@require_http_methods(["GET", "POST"])
def compute(request: UserRequest, slug: str) -> HttpResponse:
    project = access.get_project(request.user, slug, role=Role.ADMIN)
    forms = compute_forms(project, cleaned(request.POST) if request.method == "POST" else None)
    refused = False
    if request.method == "POST":
        if compute_forms_are_valid(forms):
            changed = [form.save(commit=False) for form in forms if form.has_changed()]
            if changed:
                save_compute(rows=changed, project=project, by=request.user)
            messages.success(request, gettext("Saved. It holds from the next round on."))
            return redirect("compute", slug)
        refused = True
    stages = [(gettext(METHODS[form.instance.method].label) if form.instance.method else "", form) for form in forms]
    context = {"project": project, "stages": stages, "executors": list(EXECUTORS.values()), "refused": refused}
    return render(request, "training/compute.html", context, status=422 if refused else 200)
