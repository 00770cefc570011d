"""What a list of feedback is filtered by."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext, gettext_lazy

from annotation.actions.feedback_tasks import FeedbackTask

DAY = forms.DateInput(attrs={"type": "date"})
LONGEST_ID = 19  # digits
MOST_IDS = 1000
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


class WholeNumbersField(forms.Field):
    """IDs, as a form or a JSON list gives them; a value that is none is refused."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: Any) -> list[int]:
        if value in (None, ""):
            return []
        given = value if isinstance(value, list) else [value]
        words = [str(each) for each in given if not isinstance(each, bool)]
        if len(words) < len(given) or not all(w.isascii() and w.isdigit() and len(w) < LONGEST_ID for w in words):
            raise forms.ValidationError(gettext("Give a list of IDs, which are whole numbers."))
        if len(words) > MOST_IDS:
            raise forms.ValidationError(gettext("Give at most %(most)s IDs.") % {"most": f"{MOST_IDS:,}"})
        return [int(word) for word in words]


class EndUserForm(forms.Form):
    """An end user, as the product names them."""

    user = forms.CharField(max_length=100, label=gettext_lazy("End user"), strip=True)


ACCEPT = "accept"
MAX_PRIORITY = 1_000_000


class FeedbackTasksForm(forms.Form):
    """Selected feedback, and what is to be done with it."""

    do = forms.ChoiceField(
        choices=[*FeedbackTask.choices, (ACCEPT, gettext_lazy("Accept edits as reference responses"))],
        label=gettext_lazy("Do"),
        error_messages={"required": gettext_lazy("Choose what to do with the selection.")},
    )
    ids = WholeNumbersField(required=False, label=gettext_lazy("Ids"))
    everything = forms.BooleanField(required=False, label=gettext_lazy("All that match"))
    priority = forms.IntegerField(
        required=False, min_value=-MAX_PRIORITY, max_value=MAX_PRIORITY, label=gettext_lazy("Priority")
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("do") == ACCEPT and data.get("everything"):
            self.add_error(None, gettext("Select the edits that you have read, one by one."))
        elif not data.get("everything") and not data.get("ids") and not self.errors:
            self.add_error(None, gettext("Select at least one feedback."))
        return data
