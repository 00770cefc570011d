"""What the audit log is filtered by."""

from __future__ import annotations

from django import forms

from annotation.models import AuditAction

DAY = forms.DateInput(attrs={"type": "date"})


class AuditFilterForm(forms.Form):
    action = forms.ChoiceField(choices=[("", "All"), *AuditAction.choices], required=False, label="Event")
    person = forms.CharField(
        max_length=150, required=False, label="Person", help_text="User name: who acted, or on whom."
    )
    since = forms.DateField(required=False, widget=DAY, label="From", help_text="A day, in UTC.")
    until = forms.DateField(required=False, widget=DAY, label="To", help_text="Inclusive.")
