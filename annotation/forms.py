from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth import get_user_model

from annotation.characters import JSONDecoder, cleaned, is_storable
from annotation.models import (
    Assignment,
    Completion,
    FlagReason,
    Project,
    RankingMode,
    Role,
    SnapshotType,
)

User = get_user_model()


class CriteriaField(forms.CharField):
    """Names, one per line, as a list."""

    widget = forms.Textarea(attrs={"rows": 3})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:
        return [line.strip() for line in super().clean(value).splitlines() if line.strip()]


class ProjectForm(forms.ModelForm):  # type: ignore[type-arg]
    criteria = CriteriaField(required=False, help_text=Project._meta.get_field("criteria").help_text)

    class Meta:
        model = Project
        fields = [
            "name", "guidelines", "candidates_per_task", "seats_per_task", "reference_share", "lease_minutes",
            "calibration_share", "early_stop", "conflict_seat", "base_model", "ranking_form", "top_k", "criteria",
            "criteria_required", "rationale", "write_first", "gold_share", "repeat_share", "use_weights",
            "practice_first", "practice_pass",
        ]  # fmt: skip
        labels = {"gold_share": "Share of known tasks", "practice_pass": "Pass mark of practice"}
        widgets = {"guidelines": forms.Textarea(attrs={"rows": 6})}

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        if self.is_bound:
            self._complete()

    def _complete(self) -> None:
        """A request may send only what changes: what it leaves out keeps its value, but an unticked box says no."""
        data = {name: self.data[name] for name in self.data}
        for name, field in self.fields.items():
            if name not in data and not isinstance(field, forms.BooleanField):
                data[name] = field.prepare_value(self.get_initial_for_field(field, name))
        self.data = data

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        shown = data.get("candidates_per_task")
        if data.get("ranking_form") == RankingMode.GRADED and shown not in (None, 2):
            self.add_error("candidates_per_task", "A graded comparison has two answers per task.")
        if data.get("ranking_form") == RankingMode.TOP_K and shown and data.get("top_k", 0) >= shown:
            self.add_error("top_k", f"Of {shown} answers at most {shown - 1} can be the top ones.")
        if data.get("criteria_required") and not data.get("criteria"):
            self.add_error("criteria_required", "Name the criteria first.")
        return data


class UploadForm(forms.Form):
    file = forms.FileField(
        help_text="JSONL, CSV or plain text (one prompt per line), UTF-8, at most 50 MB.",
        error_messages={"required": "Choose a file first.", "empty": "The file is empty."},
    )


class TakeSnapshotForm(forms.Form):
    type = forms.ChoiceField(choices=SnapshotType.choices, required=False, initial=SnapshotType.PREFERENCE)

    def clean_type(self) -> SnapshotType:
        return SnapshotType(self.cleaned_data["type"] or SnapshotType.PREFERENCE)


class MemberForm(forms.Form):
    username = forms.CharField(max_length=150)
    role = forms.ChoiceField(choices=Role.choices, initial=Role.ANNOTATOR)

    def clean_username(self) -> Any:
        username = self.cleaned_data["username"]
        user = User.objects.filter(username=username, is_active=True).first()
        if user is None:
            raise forms.ValidationError(f"There is no user called {username!r}. Create the account first.")
        return user


class DraftForm(forms.Form):
    """What the page saves while somebody works; the kind's own form judges it only on submit."""

    draft = forms.JSONField(decoder=JSONDecoder)
    active_ms = forms.IntegerField(min_value=0, max_value=2**31 - 1)

    def clean_draft(self) -> dict[str, Any]:
        draft = self.cleaned_data["draft"]
        if not isinstance(draft, dict):
            raise forms.ValidationError("draft should be a JSON object.")
        if len(str(draft)) > 100_000:
            raise forms.ValidationError("draft is longer than 100,000 characters.")
        if not is_storable(draft):
            raise forms.ValidationError("draft has a number that JSON does not know.")
        cleaned_draft: dict[str, Any] = cleaned(draft)
        return cleaned_draft


class FlagForm(forms.Form):
    """Bound to one assignment: it knows its answers, and no answer means its prompt."""

    answer = forms.IntegerField(required=False, help_text="Id of the answer; without it the prompt is meant.")
    reason = forms.ChoiceField(choices=FlagReason.choices, error_messages={"required": "Say what is wrong with it."})
    note = forms.CharField(required=False, max_length=500)

    def __init__(self, assignment: Assignment, data: Any = None) -> None:
        super().__init__(data)
        self.assignment = assignment

    def clean_answer(self) -> Completion | None:
        pk = self.cleaned_data["answer"]
        if pk is None:
            return None
        if pk not in self.assignment.shown_order:
            raise forms.ValidationError("answer should be an answer of this task.")
        return self.assignment.task.candidates.get(pk=pk)

    def clean_reason(self) -> FlagReason:
        return FlagReason(self.cleaned_data["reason"])


class SubmitForm(forms.Form):
    """What every kind's submit carries beside its answer."""

    client_uuid = forms.UUIDField(error_messages={"required": "client_uuid is missing: reload the page."})
    active_ms = forms.IntegerField(min_value=0, max_value=2**31 - 1, required=False)

    def clean_active_ms(self) -> int:
        return self.cleaned_data["active_ms"] or 0
