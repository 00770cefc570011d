"""Say whether one response is good or bad by itself, with an optional reason where it is bad, and a comment."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext, gettext_lazy, gettext_noop

from annotation.kinds.base import TaskKind
from annotation.models import Assignment, BadReason, UnaryJudgment
from annotation.models.judgment import Judgment

FIRST_REASON_KEY = 3  # 1 and 2 are good and bad


class UnaryForm(forms.Form):
    good = forms.NullBooleanField(
        widget=forms.TextInput,
        help_text=gettext_lazy("true where the response is good, false where it is bad."),
    )
    reason = forms.ChoiceField(choices=[("", "—"), *BadReason.choices], required=False)
    comment = forms.CharField(required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 2}))

    def clean_good(self) -> bool:
        good: bool | None = self.cleaned_data["good"]
        if good is None:
            raise forms.ValidationError(gettext("Choose good or bad."))
        return good

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("good") and data.get("reason"):
            self.add_error("reason", gettext("Only a bad response has a reason. Choose bad, or leave the reason out."))
        return data


class UnaryKind(TaskKind):
    label: ClassVar[str] = gettext_noop("Good or bad")
    asks: ClassVar[str] = gettext_noop("Good or bad?")
    template: ClassVar[str] = "annotation/kinds/unary.html"
    judgment: ClassVar[type[Judgment]] = UnaryJudgment

    def form(self, assignment: Assignment, data: Any = None) -> UnaryForm:  # noqa: ARG002 - any task asks the same
        return UnaryForm(data)

    def page(self, assignment: Assignment) -> dict[str, Any]:  # noqa: ARG002
        reasons = [
            {"key": str(key), "value": value, "label": label}
            for key, (value, label) in enumerate(BadReason.choices, start=FIRST_REASON_KEY)
        ]
        return {"asks": gettext(self.asks), "bad_reasons": reasons, "last_reason_key": reasons[-1]["key"]}

    def said(self, *, assignment: Assignment, answer: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        return {name: answer[name] for name in ("good", "reason", "comment")}

    def draft(self, judgment: Judgment) -> dict[str, Any]:
        draft = self.stored(judgment)
        return {**draft, "good": "true" if draft["good"] else "false"}
