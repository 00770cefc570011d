"""Forms of the work page: draft, flag, submission."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext, gettext_lazy, gettext_noop

from annotation.characters import JSONDecoder, cleaned, is_storable
from annotation.kinds.base import MOST_RESPONSES
from annotation.models import (
    Assignment,
    Completion,
    FlagReason,
)

NOT_HERE = gettext_noop("answer should be a response of this task.")


class DraftForm(forms.Form):
    """A draft as the page stores it; only a submit is checked by the kind's own form."""

    draft = forms.JSONField(required=False, decoder=JSONDecoder)
    active_ms = forms.IntegerField(min_value=0, max_value=2**31 - 1)

    def clean_draft(self) -> dict[str, Any]:
        draft = self.cleaned_data["draft"]
        if draft is None and self.data.get("draft") in ({}, "{}"):
            return {}  # forms take it for nothing given, but an empty draft is what starting over leaves
        if not isinstance(draft, dict):
            raise forms.ValidationError(gettext("draft should be a JSON object."))
        if len(str(draft)) > 100_000:
            raise forms.ValidationError(gettext("draft is longer than 100,000 characters."))
        if not is_storable(draft):
            raise forms.ValidationError(gettext("draft has a number that JSON does not know."))
        cleaned_draft: dict[str, Any] = cleaned(draft)
        return cleaned_draft


class FlagForm(forms.Form):
    """Bound to one assignment: it knows its answers, and no answer means its prompt."""

    answer = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MOST_RESPONSES,
        error_messages=dict.fromkeys(("min_value", "max_value"), gettext_lazy(NOT_HERE)),
        help_text=gettext_lazy("Number of the response; the prompt if omitted."),
    )
    reason = forms.ChoiceField(
        choices=FlagReason.choices, error_messages={"required": gettext_lazy("Choose a reason.")}
    )
    note = forms.CharField(required=False, max_length=500)

    def __init__(self, assignment: Assignment, data: Any = None) -> None:
        super().__init__(data)
        self.assignment = assignment

    def clean_answer(self) -> Completion | None:
        number = self.cleaned_data["answer"]
        if number is None:
            return None
        if (pk := self.assignment.completion_of(number)) is None:
            raise forms.ValidationError(gettext(NOT_HERE))
        return self.assignment.task.candidates.get(pk=pk)

    def clean_reason(self) -> FlagReason:
        return FlagReason(self.cleaned_data["reason"])


class SubmitForm(forms.Form):
    """What every kind's submit carries beside its answer."""

    client_uuid = forms.UUIDField(error_messages={"required": gettext_lazy("client_uuid is missing: reload the page.")})
    active_ms = forms.IntegerField(min_value=0, max_value=2**31 - 1, required=False)

    def clean_active_ms(self) -> int:
        return self.cleaned_data["active_ms"] or 0
