"""Forms for taking and downloading a snapshot."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext, gettext_lazy

from annotation.exports import Filter
from annotation.exports.files import DownloadOptions, UnsupportedFormat
from annotation.exports.formats import STORED, formats_of
from annotation.models import AIJudgeVersion, DatasetSnapshot, Project, SnapshotType


class NumbersField(forms.CharField):
    """Whole numbers with commas or spaces between them."""

    def to_python(self, value: Any) -> list[int]:  # type: ignore[override]
        words = str(value or "").replace(",", " ").split()
        if not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
            raise forms.ValidationError(gettext("Write whole numbers with commas between them, such as 1, 2."))
        return [int(word) for word in words]


class TakeSnapshotForm(forms.Form):
    """The type of the rows, and which judgments: whatever is left empty leaves nothing out."""

    type = forms.ChoiceField(
        label=gettext_lazy("Type"), choices=SnapshotType.choices, required=False, initial=SnapshotType.PREFERENCE
    )
    kinds = forms.MultipleChoiceField(
        label=gettext_lazy("Annotation kinds"),
        choices=[
            ("ranking", gettext_lazy("Rankings")),
            ("unary", gettext_lazy("Good or bad")),
            ("reference", gettext_lazy("Reference responses")),
            ("label", gettext_lazy("Labels")),
            ("imported", gettext_lazy("Imported data")),
        ],
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    policies = NumbersField(
        label=gettext_lazy("Policy versions"), required=False, help_text=gettext_lazy("Numbers such as 0, 2.")
    )
    annotators = NumbersField(
        label=gettext_lazy("Annotators"), required=False, help_text=gettext_lazy("Annotator IDs, as on the data card.")
    )
    min_agreement = forms.FloatField(
        label=gettext_lazy("Min. agreement"),
        required=False,
        min_value=0,
        max_value=1,
        help_text=gettext_lazy("Share of votes on a pair, from 0 to 1."),
        widget=forms.NumberInput(attrs={"step": "0.05"}),
    )
    since = forms.DateTimeField(
        label=gettext_lazy("Since (UTC)"), required=False, widget=forms.DateTimeInput(attrs={"type": "datetime-local"})
    )
    until = forms.DateTimeField(
        label=gettext_lazy("Until (UTC)"), required=False, widget=forms.DateTimeInput(attrs={"type": "datetime-local"})
    )

    judge = forms.TypedChoiceField(
        label=gettext_lazy("AI judge"),
        required=False,
        coerce=int,
        empty_value=None,
        help_text=gettext_lazy("Its judgments join those of people, on prompts of the train split only."),
    )
    judge_weight = forms.FloatField(
        label=gettext_lazy("Weight of an AI judgment"),
        required=False,
        min_value=0,
        max_value=1,
        initial=0.5,
        help_text=gettext_lazy("An annotation of a person has weight 1, unless weights are used."),
        widget=forms.NumberInput(attrs={"step": "0.05"}),
    )

    end_users = forms.BooleanField(
        label=gettext_lazy("Thumbs of end users"),
        required=False,
        help_text=gettext_lazy("They join those of annotators, on prompts of the train split only."),
    )
    end_user_weight = forms.FloatField(
        label=gettext_lazy("Weight of a thumb"),
        required=False,
        min_value=0,
        max_value=1,
        initial=0.5,
        help_text=gettext_lazy("From 0 to 1, beside the 1 of an annotation."),
        widget=forms.NumberInput(attrs={"step": "0.05"}),
    )

    def __init__(self, project: Project, data: Any = None) -> None:
        super().__init__(data)
        self.has_thumbs = project.feedback.exclude(thumb="").exists()
        versions = AIJudgeVersion.objects.filter(judge__project=project).select_related("judge")
        choices = [(version.pk, f"{version.judge} {version}") for version in versions]
        self.fields["judge"].choices = [("", gettext("none")), *choices]  # type: ignore[attr-defined]

    def clean_type(self) -> SnapshotType:
        return SnapshotType(self.cleaned_data["type"] or SnapshotType.PREFERENCE)

    @property
    def wanted(self) -> Filter:
        given = {name: value for name, value in self.cleaned_data.items() if name != "type" and value}
        if not given.get("judge"):
            given.pop("judge_weight", None)  # the form offers one before a judge is chosen
        if not given.get("end_users"):
            given.pop("end_user_weight", None)
        return Filter(**given)


class DownloadForm(forms.Form):
    """Which file of a snapshot; nothing chosen is the file as it is stored."""

    rows = forms.ChoiceField(label=gettext_lazy("Format"), required=False)
    file = forms.ChoiceField(
        label=gettext_lazy("File"),
        choices=[("jsonl", gettext_lazy("JSONL")), ("csv", gettext_lazy("CSV")), ("parquet", gettext_lazy("Parquet"))],
        required=False,
    )
    split = forms.ChoiceField(
        label=gettext_lazy("Split"),
        choices=[
            ("", gettext_lazy("Train and eval")),
            ("train", gettext_lazy("Train only")),
            ("eval", gettext_lazy("Eval only")),
        ],
        required=False,
    )
    gzip = forms.BooleanField(label=gettext_lazy("Compressed (gzip)"), required=False)

    def __init__(self, snapshot: DatasetSnapshot, data: Any = None) -> None:
        super().__init__(data)
        choices = [(name, gettext(each.label)) for name, each in formats_of(snapshot.type).items()]
        self.fields["rows"].choices = choices  # type: ignore[attr-defined]
        self.formats = formats_of(snapshot.type).values()
        self.stored = STORED[SnapshotType(snapshot.type)]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if self.errors:
            return data
        try:
            rows, file = data["rows"] or self.stored, data["file"] or "jsonl"
            data["options"] = DownloadOptions(rows, file, gzip=data["gzip"], split=data["split"])
        except UnsupportedFormat as why:
            self.add_error("file", str(why))
        return data
