"""Signing in, and a forgotten password where this server can send mail."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate, forms, views
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext
from django.views.generic import View

from annotation.actions import first_admin
from annotation.delivery import mail
from annotation.models import language_of
from frontend.accounts.single_sign_on.configuration import configured


class SignIn(views.LoginView):
    def dispatch(self, request: HttpRequest, *args: Any, **values: Any) -> HttpResponseBase:
        """Lead to the first-run page while this server has no account."""
        open_to_all = settings.PASSWORD_SIGN_IN and first_admin.is_open()
        if request.method == "GET" and not request.user.is_authenticated and open_to_all:
            return redirect("setup")
        if request.method == "POST" and not settings.PASSWORD_SIGN_IN:
            raise PermissionDenied(
                gettext("Password sign-in is off on this server. Use %(label)s.") % {"label": configured().label}
            )
        return super().dispatch(request, *args, **values)

    def get_context_data(self, **values: Any) -> dict[str, Any]:
        more = {"mail_is_on": mail.mail_is_on(), "passwords": settings.PASSWORD_SIGN_IN, "oidc": settings.OIDC}
        return super().get_context_data(**values) | more


class WithPasswords(View):
    """A page that is there only where people sign in with passwords."""

    def dispatch(self, request: HttpRequest, *args: Any, **values: Any) -> HttpResponseBase:
        if not settings.PASSWORD_SIGN_IN:
            raise Http404("Password sign-in is off on this server.")
        return super().dispatch(request, *args, **values)


class ChangeForm(forms.PasswordChangeForm):
    """Counts a wrong old password as a failed sign-in: at a browser that was left open nobody can go on guessing."""

    def __init__(self, *args: Any, request: HttpRequest, **values: Any) -> None:
        super().__init__(*args, **values)
        self.request = request

    def clean_old_password(self) -> str:
        given: str = self.cleaned_data["old_password"]
        if authenticate(self.request, username=self.user.get_username(), password=given) is None:
            raise ValidationError(self.error_messages["password_incorrect"], code="password_incorrect")
        return given


class ChangePassword(WithPasswords, views.PasswordChangeView):
    form_class = ChangeForm

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"request": self.request}


class WhereMailIsOn(WithPasswords):
    """A page that is there only where this server can send mail, and people sign in with passwords."""

    def dispatch(self, request: HttpRequest, *args: Any, **values: Any) -> HttpResponseBase:
        if not mail.mail_is_on():
            raise Http404("This server sends no mail, so passwords cannot be reset by mail.")
        return super().dispatch(request, *args, **values)


class ResetForm(forms.PasswordResetForm):
    """Stores the mail, which the worker sends: a request takes as long for an unknown address as for a known one."""

    def send_mail(self, *arguments: Any, **_: Any) -> None:
        """Store the mail; Django gives the templates of subject and body, the context and addresses, in this order."""
        _, email_template_name, context, *_rest = arguments
        user: User = context["user"]
        with translation.override(language_of(user) or translation.get_language()):
            body = render_to_string(email_template_name, context | {"public_url": settings.PUBLIC_URL})
            mail.write_to(user=user, subject=translation.gettext("Reset your Prefloop password"), body=body)


class ResetPassword(WhereMailIsOn, views.PasswordResetView):
    form_class = ResetForm


class ResetPasswordDone(WhereMailIsOn, views.PasswordResetDoneView):
    pass


class ResetPasswordConfirm(WhereMailIsOn, views.PasswordResetConfirmView):
    pass


class ResetPasswordComplete(WhereMailIsOn, views.PasswordResetCompleteView):
    pass
