from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth import get_user_model

from annotation.models import Project, RankingMode, RationaleRule, Role, SnapshotType

User = get_user_model()


class CriteriaField(forms.CharField):
    """Names, one per line, as a list."""

    widget = forms.Textarea(attrs={"rows": 3})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:
        return [line.strip() for line in super().clean(value).splitlines() if line.strip()]


class ProjectForm(forms.ModelForm):  # type: ignore[type-arg]
    # What was added later may be missing from a request: it then keeps its default, or what it was.
    ranking_form = forms.ChoiceField(
        choices=RankingMode.choices, required=False, help_text=Project._meta.get_field("ranking_form").help_text
    )
    criteria = CriteriaField(required=False, help_text=Project._meta.get_field("criteria").help_text)
    rationale = forms.ChoiceField(choices=RationaleRule.choices, required=False, label="Why this order?")

    class Meta:
        model = Project
        fields = [
            "name", "guidelines", "candidates_per_task", "seats_per_task", "reference_share", "lease_minutes",
            "base_model", "ranking_form", "top_k", "criteria", "criteria_required", "rationale", "write_first",
        ]  # fmt: skip
        widgets = {"guidelines": forms.Textarea(attrs={"rows": 6})}

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        self.fields["top_k"].required = False

    def clean_ranking_form(self) -> Any:
        return self.cleaned_data["ranking_form"] or self.instance.ranking_form

    def clean_rationale(self) -> Any:
        return self.cleaned_data["rationale"] or self.instance.rationale

    def clean_top_k(self) -> Any:
        return self.cleaned_data["top_k"] or self.instance.top_k

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

    draft = forms.JSONField()
    active_ms = forms.IntegerField(min_value=0, max_value=2**31 - 1)

    def clean_draft(self) -> dict[str, Any]:
        draft = self.cleaned_data["draft"]
        if not isinstance(draft, dict):
            raise forms.ValidationError("draft should be a JSON object.")
        if len(str(draft)) > 100_000:
            raise forms.ValidationError("draft is longer than 100,000 characters.")
        return draft


class SubmitForm(forms.Form):
    """What every kind's submit carries beside its answer."""

    client_uuid = forms.UUIDField(error_messages={"required": "client_uuid is missing: reload the page."})
    active_ms = forms.IntegerField(min_value=0, max_value=2**31 - 1, required=False)

    def clean_active_ms(self) -> int:
        return self.cleaned_data["active_ms"] or 0
