"""Forms for taking and downloading a snapshot."""

from __future__ import annotations

from typing import Any

from django import forms

from annotation.exports import Filter
from annotation.exports.files import DownloadOptions, UnsupportedFormat
from annotation.exports.formats import STORED, formats_of
from annotation.models import (
    DatasetSnapshot,
    SnapshotType,
)


class NumbersField(forms.CharField):
    """Whole numbers with commas or spaces between them."""

    def to_python(self, value: Any) -> list[int]:  # type: ignore[override]
        words = str(value or "").replace(",", " ").split()
        if not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
            raise forms.ValidationError("Write whole numbers with commas between them, such as 1, 2.")
        return [int(word) for word in words]


class TakeSnapshotForm(forms.Form):
    """The type of the rows, and which judgments: whatever is left empty leaves nothing out."""

    type = forms.ChoiceField(choices=SnapshotType.choices, required=False, initial=SnapshotType.PREFERENCE)
    kinds = forms.MultipleChoiceField(
        label="Annotation kinds",
        choices=[
            ("ranking", "Rankings"),
            ("reference", "Reference responses"),
            ("label", "Labels"),
            ("imported", "Imported data"),
        ],
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    policies = NumbersField(label="Policy versions", required=False, help_text="Numbers such as 0, 2.")
    annotators = NumbersField(label="Annotators", required=False, help_text="Annotator IDs, as on the data card.")
    min_agreement = forms.FloatField(
        label="Min. agreement",
        required=False,
        min_value=0,
        max_value=1,
        help_text="Share of votes on a pair, from 0 to 1.",
        widget=forms.NumberInput(attrs={"step": "0.05"}),
    )
    since = forms.DateTimeField(
        label="Since (UTC)", required=False, widget=forms.DateTimeInput(attrs={"type": "datetime-local"})
    )
    until = forms.DateTimeField(
        label="Until (UTC)", required=False, widget=forms.DateTimeInput(attrs={"type": "datetime-local"})
    )

    def clean_type(self) -> SnapshotType:
        return SnapshotType(self.cleaned_data["type"] or SnapshotType.PREFERENCE)

    @property
    def wanted(self) -> Filter:
        given = {name: value for name, value in self.cleaned_data.items() if name != "type" and value}
        return Filter(**given)


class DownloadForm(forms.Form):
    """Which file of a snapshot; nothing chosen is the file as it is stored."""

    rows = forms.ChoiceField(label="Format", required=False)
    file = forms.ChoiceField(
        label="File", choices=[("jsonl", "JSONL"), ("csv", "CSV"), ("parquet", "Parquet")], required=False
    )
    split = forms.ChoiceField(
        choices=[("", "Train and eval"), ("train", "Train only"), ("eval", "Eval only")], required=False
    )
    gzip = forms.BooleanField(label="Compressed (gzip)", required=False)

    def __init__(self, snapshot: DatasetSnapshot, data: Any = None) -> None:
        super().__init__(data)
        choices = [(name, each.label) for name, each in formats_of(snapshot.type).items()]
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
