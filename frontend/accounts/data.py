"""Pages about a person's data: their own file, and for operators also the erasure."""

from __future__ import annotations

import tempfile

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from annotation.errors import NotPossible
from annotation.http import UserRequest
from frontend.accounts import people


@login_required
@require_http_methods(["GET", "POST"])
def own_data(request: UserRequest) -> HttpResponseBase:
    """GET says what there is; POST gives it as a ZIP."""
    if request.method == "POST":
        return _zip_of(request.user, request)
    return render(request, "accounts/own_data.html", {"found": people.look(request.user)})


@login_required
@require_http_methods(["GET", "POST"])
def person(request: UserRequest, pk: int) -> HttpResponseBase:
    """For superusers: what there is about a person, as a ZIP (POST take=1), or erased (POST with their user name)."""
    if not request.user.is_superuser:
        raise PermissionDenied(gettext("Only operators can view what is stored about others."))
    user = get_object_or_404(User, pk=pk)
    if "take" in request.POST:
        return _zip_of(user, request)
    problem = ""
    if request.method == "POST":
        problem = _erased(request, user)
        if not problem:
            return redirect("person", pk)
    context = {"person": user, "found": people.look(user), "problem": problem}
    return render(request, "accounts/person.html", context, status=422 if problem else 200)


def _erased(request: UserRequest, user: User) -> str:
    """Erase a person; return why it was not possible, or an empty text."""
    if request.POST.get("username") != user.get_username():
        return "Type the user name exactly as shown: erasing cannot be undone."
    if user.pk == request.user.pk:
        return "This is your own account. Another operator can erase it."
    try:
        people.erase(user, by=request.user)
    except NotPossible as why:
        return str(why)
    messages.success(request, gettext("Erased. Files that still contain data are listed below."))
    return ""


def _zip_of(user: User, request: UserRequest) -> HttpResponse | FileResponse:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the response closes it
    people.write_data_of(user, file, by=request.user)
    file.seek(0)
    return FileResponse(file, as_attachment=True, filename=f"{user.get_username()}-data.zip")
