"""The tokens of an account: made, shown once, revoked."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from annotation.actions import tokens
from annotation.forms.access import TokenForm
from annotation.http import UserRequest
from annotation.models import Token


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def token_list(request: UserRequest) -> HttpResponse:
    """List the tokens; POST makes one and shows its value, this once."""
    made, value = None, ""
    form = TokenForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        made, value = tokens.make_token(user=request.user, **form.cleaned_data)
        form = TokenForm()
    context = {"form": form, "made": made, "value": value, "now": timezone.now()}
    return render(request, "annotation/tokens.html", context | {"tokens": Token.objects.filter(user=request.user)})


@login_required
@require_POST
def revoke(request: UserRequest, pk: int) -> HttpResponse:
    token = get_object_or_404(Token, user=request.user, pk=pk)
    tokens.revoke(token=token, by=request.user)
    messages.success(
        request, gettext("%(token)s revoked. Programs that use it no longer have access.") % {"token": token}
    )
    return redirect("tokens")
