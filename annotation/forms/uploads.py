"""Forms for files of prompts and rankings."""

from __future__ import annotations

from typing import Any

from django import forms

from annotation.forms.access import User
from annotation.imports import MAX_FILE_BYTES


class UploadForm(forms.Form):
    file = forms.FileField(
        help_text="JSONL, JSON, CSV, Parquet or plain text (one prompt per line), UTF-8 or gzip of it, at most 50 MB.",
        error_messages={"required": "Choose a file first.", "empty": "The file is empty."},
    )
    labels = forms.BooleanField(
        label="It holds labelled texts, no prompts",
        required=False,
        help_text="Each row has a text and a label: for a classifier, not for ranking.",
    )

    def clean_file(self) -> Any:
        """Before anything is read: a large file must not fill the memory."""
        file = self.cleaned_data["file"]
        if file.size > MAX_FILE_BYTES:
            raise forms.ValidationError(f"{file.name} is larger than {MAX_FILE_BYTES // 2**20} MB. Split it.")
        return file


class MappingForm(forms.Form):
    """Which column of a file each field comes from; empty leaves it to the names in the file."""

    FIELDS = {
        "text": "Prompt or text",
        "id": "Id",
        "category": "Category",
        "reference": "Reference answer",
        "completion": "Answer",
        "chosen": "Preferred answer",
        "rejected": "Other answer",
        "margin": "Margin, from 0 to 1",
        "label": "Label",
    }

    def __init__(self, columns: list[str], data: Any = None, initial: Any = None) -> None:
        super().__init__(data, initial=initial)
        choices = [("", "by its name"), *((column, column[:60]) for column in columns)]
        for name, label in self.FIELDS.items():
            self.fields[name] = forms.ChoiceField(label=label, choices=choices, required=False)

    @property
    def mapping(self) -> dict[str, str]:
        return {name: column for name, column in self.cleaned_data.items() if column}


class WithdrawForm(forms.Form):
    """Somebody who judged here; the page shows their number."""

    username = forms.CharField(max_length=150)

    def clean_username(self) -> Any:
        username = self.cleaned_data["username"]
        user = User.objects.filter(username=username).first()
        if user is None:
            raise forms.ValidationError(f"There is no user called {username!r}.")
        return user
