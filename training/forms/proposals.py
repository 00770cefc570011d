"""The form for a file of proposed instructions."""

from __future__ import annotations

from typing import Any

from django import forms

from annotation.imports import MAX_FILE_BYTES


class ProposalFileForm(forms.Form):
    file = forms.FileField(
        help_text="JSONL, at most 50 MB: on each line an object with instruction, input and output, as Alpaca's.",
        error_messages={"required": "Choose a file first.", "empty": "The file is empty."},
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > MAX_FILE_BYTES:
            raise forms.ValidationError(f"{file.name} is larger than {MAX_FILE_BYTES // 2**20} MB. Split it.")
        return file
