"""Forms for API tokens and webhooks."""

from __future__ import annotations

import base64
import binascii
from typing import ClassVar

from django import forms
from django.contrib.auth import get_user_model
from django.utils.text import format_lazy
from django.utils.translation import gettext, gettext_lazy

from annotation.delivery.post import SECRET_MARK
from annotation.models import (
    Event,
    Scope,
    Token,
)
from annotation.outgoing import NotAllowed, checked_url

User = get_user_model()


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("Scopes"),
        choices=Scope.choices,
        initial=[Scope.READ],
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("An upper limit: in each project a token can do no more than you can."),
        error_messages={"required": gettext_lazy("Choose at least one scope.")},
    )
    days = forms.IntegerField(
        label=gettext_lazy("Expires in (days)"),
        required=False,
        min_value=1,
        max_value=3650,
        initial=90,
        help_text=gettext_lazy("Leave blank: valid until you revoke it."),
    )

    class Meta:
        model = Token
        fields = ["name"]
        labels: ClassVar = {"name": gettext_lazy("Name")}
        help_texts: ClassVar = {"name": gettext_lazy("The program that uses it.")}

    def clean_scopes(self) -> list[Scope]:
        return [Scope(name) for name in self.cleaned_data["scopes"]]


class WebhookForm(forms.Form):
    url = forms.URLField(
        label=gettext_lazy("Address"),
        max_length=500,
        assume_scheme="https",
        help_text=gettext_lazy("Receives a POST with JSON. Addresses in the server's own network are refused."),
    )
    events = forms.MultipleChoiceField(
        label=gettext_lazy("Events"),
        choices=[(event.value, event.label) for event in Event if event != Event.TEST],
        initial=[Event.JUDGMENT, Event.SNAPSHOT, Event.ROUND],
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": gettext_lazy("Choose at least one event.")},
    )
    secret = forms.CharField(
        label=gettext_lazy("Signing secret"),
        required=False,
        max_length=100,
        help_text=format_lazy(
            gettext_lazy("{mark} and base64 of 24 to 64 bytes. Leave blank to generate one."), mark=SECRET_MARK
        ),
    )

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        try:
            checked_url(url)
        except NotAllowed as why:
            raise forms.ValidationError(gettext("The address %(why)s.") % {"why": why}) from None
        return url

    def clean_events(self) -> list[Event]:
        return [Event(name) for name in self.cleaned_data["events"]]

    def clean_secret(self) -> str:
        secret: str = self.cleaned_data["secret"]
        if not secret:
            return ""
        try:
            key = base64.b64decode(secret.removeprefix(SECRET_MARK), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not secret.startswith(SECRET_MARK) or not 24 <= len(key) <= 64:
            raise forms.ValidationError(
                gettext("Write %(SECRET_MARK)s and base64 of 24 to 64 bytes, or nothing.")
                % {"SECRET_MARK": SECRET_MARK}
            )
        return secret
