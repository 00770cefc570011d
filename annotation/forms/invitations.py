"""Forms of invitations: what an admin makes, and the account that an invited person makes."""

from __future__ import annotations

import re
from email.utils import parseaddr
from typing import Any

from django import forms
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import User
from django.core.validators import validate_email
from django.utils.translation import gettext, gettext_lazy

from annotation.actions.invitations import MOST_AT_ONCE
from annotation.models import Role


def people_of(line: str) -> list[str]:
    """Return the people that a line names: several where it is a list of addresses, otherwise the line itself."""
    parts = re.split(r"[,;]", line) if "@" in line else [line]
    return [part.strip() for part in parts if part.strip()]


def address_of(person: str) -> str:
    """Return the mail address in a line such as "Ada <ada@example.org>"; empty where there is none."""
    _, address = parseaddr(person)
    try:
        validate_email(address)
    except forms.ValidationError:
        return ""
    return address


class InviteForm(forms.Form):
    """Whom to invite, in which role. `send_mail` is only there where this server sends mail."""

    notes = forms.CharField(
        label=gettext_lazy("People"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 5, "placeholder": "ada@example.org"}),
        help_text=gettext_lazy(
            "Mail addresses or names, one per line; a list of addresses with commas is fine. Each "
            "person gets their own link. Leave blank for one link."
        ),
    )
    role = forms.ChoiceField(label=gettext_lazy("Role"), choices=Role.choices, initial=Role.ANNOTATOR)
    send_mail = forms.BooleanField(
        label=gettext_lazy("Mail the links"),
        required=False,
        initial=True,
        help_text=gettext_lazy("To each line with an address."),
    )
    days = forms.IntegerField(label=gettext_lazy("Valid for, days"), min_value=1, max_value=365, initial=14)
    uses = forms.IntegerField(
        label=gettext_lazy("People per link"),
        min_value=1,
        max_value=1000,
        initial=1,
        help_text=gettext_lazy("One for admins."),
    )

    def __init__(self, *args: Any, can_mail: bool = False, **values: Any) -> None:
        super().__init__(*args, **values)
        if not can_mail:
            del self.fields["send_mail"]

    def clean_notes(self) -> list[str]:
        """Return the people, each once; one empty note where there are none."""
        people = [one for line in self.cleaned_data["notes"].splitlines() for one in people_of(line)]
        lines = list(dict.fromkeys(people))
        if len(lines) > MOST_AT_ONCE:
            raise forms.ValidationError(
                gettext("At most %(MOST_AT_ONCE)s people at once; these are %(count)s.")
                % {"MOST_AT_ONCE": MOST_AT_ONCE, "count": len(lines)}
            )
        if wrong := next((line for line in lines if "@" in line and not address_of(line)), None):
            raise forms.ValidationError(
                gettext("“%(wrong)s” is no mail address. Correct it, or write a name without @.")
                % {"wrong": wrong[:60]}
            )
        if too_long := next((line for line in lines if len(line) > 200), None):
            raise forms.ValidationError(
                gettext("The line “%(too_long)s…” is longer than 200 characters.") % {"too_long": too_long[:40]}
            )
        return lines or [""]

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        if said.get("role") == Role.ADMIN and said.get("uses", 1) != 1:
            self.add_error("uses", gettext("An admin is invited by a link for one person."))
        return said


class NewAccountForm(UserCreationForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = ("username", "email")
        labels = {"email": "Mail address"}
        help_texts = {"email": "For password reset links. Optional."}
