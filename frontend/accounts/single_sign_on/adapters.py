"""Where django-allauth asks this server to decide: which provider there is, who gets in, what a refusal shows."""

from __future__ import annotations

from typing import Any

import requests
from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp, SocialLogin
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from annotation import audit
from annotation.actions.attempts import seconds_to_wait
from annotation.models import AuditAction
from annotation.origin import current
from frontend.accounts.single_sign_on import people
from frontend.accounts.single_sign_on.configuration import configured
from frontend.accounts.single_sign_on.provider import IdentityProvider, ProviderSession, SignInRefused, app_of

REFUSED_PER_MINUTE = 10  # of one address


class Accounts(DefaultAccountAdapter):  # type: ignore[misc]
    """Signs in and does nothing else: no sign-up, no mail, no message."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def add_message(self, *_: Any, **__: Any) -> None:
        pass

    def send_mail(self, *_: Any, **__: Any) -> None:
        pass


class People(DefaultSocialAccountAdapter):  # type: ignore[misc]
    def list_apps(self, request: Any, provider: Any = None, client_id: Any = None) -> list[SocialApp]:
        """Return the one provider of the environment; rows of the database are not looked at."""
        return [app_of(configured())]

    def get_provider(self, request: Any, provider: Any, client_id: Any = None) -> IdentityProvider:
        return IdentityProvider(request, app=self.get_app(request, provider))

    def get_requests_session(self) -> requests.Session:
        return ProviderSession(configured().origins)

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return False  # `people.admit` makes accounts

    def send_notification_mail(self, *_: Any, **__: Any) -> None:
        pass

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        try:
            people.admit(request, sociallogin)
        except SignInRefused as why:
            raise ImmediateHttpResponse(refusal(request, str(why))) from why
        except IntegrityError as why:
            raise ImmediateHttpResponse(refusal(request, "Two sign-ins ran at once. Try again.")) from why
        request.sign_in_by = people.WAY  # type: ignore[attr-defined]

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: Any = None, exception: Any = None, extra_context: Any = None
    ) -> None:
        if isinstance(exception, SignInRefused):
            words = str(exception)
        elif isinstance(exception, requests.RequestException):
            words = "The provider sent no usable response. Try again later."
        elif exception is None and "error" not in request.GET:
            words = "This sign-in was not started in this browser, or more than ten minutes ago. Start again."
        else:
            words = "The provider did not sign you in."
        raise ImmediateHttpResponse(refusal(request, words))


def refusal(request: HttpRequest, words: str) -> HttpResponse:
    """Return the page that says why somebody was not signed in, and record it; after many of an address, neither."""
    if seconds := seconds_to_wait("sign-in refused", current().address, REFUSED_PER_MINUTE):
        page = render(request, "registration/locked.html", {"minutes": 1, "sso": True}, status=429)
        page.headers["Retry-After"] = str(seconds)
        return page
    audit.record(AuditAction.SIGN_IN_FAILED, what=people.WAY, why=words)
    return render(request, "registration/sso_refused.html", {"why": words, "label": configured().label}, status=403)
