"""What a list of feedback is filtered by."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy

DAY = forms.DateInput(attrs={"type": "date"})
SIGNALS = [
    ("", gettext_lazy("All")),
    ("up", gettext_lazy("Thumb up")),
    ("down", gettext_lazy("Thumb down")),
    ("score", gettext_lazy("Score")),
    ("chosen", gettext_lazy("Chosen of two")),
    ("edit", gettext_lazy("Edited")),
    ("comment", gettext_lazy("Comment")),
]


class FeedbackFilterForm(forms.Form):
    signal = forms.ChoiceField(choices=SIGNALS, required=False, label=gettext_lazy("Signal"))
    version = forms.CharField(
        max_length=100, required=False, label=gettext_lazy("Version"), help_text=gettext_lazy("Of the model.")
    )
    user = forms.CharField(
        max_length=100,
        required=False,
        label=gettext_lazy("End user"),
        help_text=gettext_lazy("The hash that your product sent."),
    )
    since = forms.DateField(
        required=False, widget=DAY, label=gettext_lazy("From"), help_text=gettext_lazy("A day, in UTC.")
    )
    until = forms.DateField(required=False, widget=DAY, label=gettext_lazy("To"), help_text=gettext_lazy("Inclusive."))


class EndUserForm(forms.Form):
    """An end user, as the product names them."""

    user = forms.CharField(max_length=100, label=gettext_lazy("End user"), strip=True)
