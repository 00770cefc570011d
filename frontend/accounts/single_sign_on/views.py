"""The button on the sign-in page, the way back from the provider, and signing out there too."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import requests
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.providers.base.constants import AuthProcess
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from django.conf import settings
from django.contrib.auth import views
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from annotation.http import public_address
from frontend.accounts.single_sign_on.adapters import refusal
from frontend.accounts.single_sign_on.configuration import configured
from frontend.accounts.single_sign_on.provider import Endpoints, SignInRefused

ID_TOKEN = "sso_id_token"
NOT_NOW = "The provider sent no usable response. Try again later."


@require_POST
def begin(request: HttpRequest) -> HttpResponseBase:
    """Send the browser to the provider."""
    wanted = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    provider = get_adapter().get_provider(request, configured().issuer)
    try:
        return _there(provider.redirect(request, AuthProcess.LOGIN, next_url=wanted if safe else None))
    except SignInRefused as why:
        return refusal(request, str(why))
    except (requests.RequestException, ValueError, KeyError, TypeError):
        return refusal(request, NOT_NOW)


@require_GET
def back(request: HttpRequest) -> HttpResponseBase:
    """Sign in whom the provider vouches for, or say why not."""
    try:
        answer = OAuth2CallbackView.adapter_view(Endpoints(request, configured().issuer))(request)
    except ImmediateHttpResponse as refused:
        return _there(refused.response)
    except (ValueError, KeyError, TypeError, AttributeError):  # what the provider sent has not the form of an answer
        return refusal(request, NOT_NOW)
    if request.user.is_authenticated and answer.status_code == 302:
        request.session[ID_TOKEN] = str(getattr(request, ID_TOKEN, ""))
    return _there(answer)


def _there(response: Any) -> HttpResponseBase:
    found: HttpResponseBase = response
    return found


class SignOut(views.LogoutView):
    def post(self, request: HttpRequest, *args: Any, **values: Any) -> HttpResponse:
        """Sign out here, and at the provider too: on a shared machine the button would sign the next person in."""
        id_token = request.session.get(ID_TOKEN)
        left = super().post(request, *args, **values)
        if id_token and settings.OIDC is not None and (end := _end_of_session(request)):
            back_to = public_address(request, reverse("login"))
            about = {"client_id": configured().client_id, "id_token_hint": id_token}
            return redirect(f"{end}?{urlencode(about | {'post_logout_redirect_uri': back_to})}")
        return left


def _end_of_session(request: HttpRequest) -> str:
    """Return where the provider ends a session; empty where it does not say, or does not answer."""
    try:
        return str(Endpoints(request, configured().issuer).openid_config.get("end_session_endpoint") or "")
    except (SignInRefused, requests.RequestException, ValueError):
        return ""
