from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth import get_user_model

from annotation.models import Project, Role, SnapshotType

User = get_user_model()


class ProjectForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Project
        fields = [
            "name", "guidelines", "candidates_per_task", "seats_per_task", "reference_share", "lease_minutes",
            "base_model", "licence",
        ]  # fmt: skip
        widgets = {"guidelines": forms.Textarea(attrs={"rows": 6})}


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
