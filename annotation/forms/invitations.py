"""Forms of invitations: what an admin makes, and the account that an invited person makes."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import User

from annotation.actions.invitations import MOST_AT_ONCE
from annotation.models import Role


class InviteForm(forms.Form):
    role = forms.ChoiceField(choices=Role.choices, initial=Role.ANNOTATOR)
    days = forms.IntegerField(label="Days until it expires", min_value=1, max_value=365, initial=14)
    uses = forms.IntegerField(
        label="People who may join by one link", min_value=1, max_value=1000, initial=1, help_text="Admins: only one."
    )
    notes = forms.CharField(
        label="One link for each of",
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Names or addresses, one on a line; only a note for you. Empty: one link.",
    )

    def clean_notes(self) -> list[str]:
        """Return the lines that are not empty; one empty note where there are none."""
        lines = [line.strip() for line in self.cleaned_data["notes"].splitlines() if line.strip()]
        if len(lines) > MOST_AT_ONCE:
            raise forms.ValidationError(f"At most {MOST_AT_ONCE} lines at once; these are {len(lines)}.")
        if too_long := next((line for line in lines if len(line) > 200), None):
            raise forms.ValidationError(f"The line “{too_long[:40]}…” is longer than 200 characters.")
        return lines or [""]

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        if said.get("role") == Role.ADMIN and said.get("uses", 1) != 1:
            self.add_error("uses", "An admin is invited by a link for one person.")
        return said


class NewAccountForm(UserCreationForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = ("username", "email")
        labels = {"email": "Mail address"}
        help_texts = {"email": "Where a link goes when you forget your password. May stay empty."}
