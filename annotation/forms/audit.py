"""What the audit log is filtered by."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy

from annotation.models import AuditAction

DAY = forms.DateInput(attrs={"type": "date"})


class AuditFilterForm(forms.Form):
    action = forms.ChoiceField(
        choices=[("", gettext_lazy("All")), *AuditAction.choices], required=False, label=gettext_lazy("Event")
    )
    person = forms.CharField(
        max_length=150,
        required=False,
        label=gettext_lazy("Person"),
        help_text=gettext_lazy("User name: who acted, or on whom."),
    )
    since = forms.DateField(
        required=False, widget=DAY, label=gettext_lazy("From"), help_text=gettext_lazy("A day, in UTC.")
    )
    until = forms.DateField(required=False, widget=DAY, label=gettext_lazy("To"), help_text=gettext_lazy("Inclusive."))
