"""What a list of feedback is filtered by."""

from __future__ import annotations

from django import forms

DAY = forms.DateInput(attrs={"type": "date"})
SIGNALS = [
    ("", "All"),
    ("up", "Thumb up"),
    ("down", "Thumb down"),
    ("score", "Score"),
    ("chosen", "Chosen of two"),
    ("edit", "Edited"),
    ("comment", "Comment"),
]


class FeedbackFilterForm(forms.Form):
    signal = forms.ChoiceField(choices=SIGNALS, required=False, label="Signal")
    version = forms.CharField(max_length=100, required=False, label="Version", help_text="Of the model.")
    user = forms.CharField(
        max_length=100, required=False, label="End user", help_text="The hash that your product sent."
    )
    since = forms.DateField(required=False, widget=DAY, label="From", help_text="A day, in UTC.")
    until = forms.DateField(required=False, widget=DAY, label="To", help_text="Inclusive.")
