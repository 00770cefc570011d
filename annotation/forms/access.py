"""Forms for API tokens and webhooks."""

from __future__ import annotations

import base64
import binascii

from django import forms
from django.contrib.auth import get_user_model

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
        label="Scopes",
        choices=Scope.choices,
        initial=[Scope.READ],
        widget=forms.CheckboxSelectMultiple,
        help_text="An upper limit: in each project a token can do no more than you can.",
        error_messages={"required": "Choose at least one scope."},
    )
    days = forms.IntegerField(
        label="Expires in (days)",
        required=False,
        min_value=1,
        max_value=3650,
        initial=90,
        help_text="Leave blank: valid until you revoke it.",
    )

    class Meta:
        model = Token
        fields = ["name"]

    def clean_scopes(self) -> list[Scope]:
        return [Scope(name) for name in self.cleaned_data["scopes"]]


class WebhookForm(forms.Form):
    url = forms.URLField(
        label="Address",
        max_length=500,
        assume_scheme="https",
        help_text="Receives a POST with JSON. Addresses in the server's own network are refused.",
    )
    events = forms.MultipleChoiceField(
        label="Events",
        choices=[(event.value, event.label) for event in Event if event != Event.TEST],
        initial=[Event.JUDGMENT, Event.SNAPSHOT, Event.ROUND],
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one event."},
    )
    secret = forms.CharField(
        label="Signing secret",
        required=False,
        max_length=100,
        help_text=f"{SECRET_MARK} and base64 of 24 to 64 bytes. Leave blank to generate one.",
    )

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        try:
            checked_url(url)
        except NotAllowed as why:
            raise forms.ValidationError(f"The address {why}.") from None
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
            raise forms.ValidationError(f"Write {SECRET_MARK} and base64 of 24 to 64 bytes, or nothing.")
        return secret
