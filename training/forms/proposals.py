"""The form for a file of proposed instructions."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext, gettext_lazy

from annotation.imports import MAX_FILE_BYTES


class ProposalFileForm(forms.Form):
    file = forms.FileField(
        label=gettext_lazy("File"),
        help_text=gettext_lazy(
            "JSONL, at most 50 MB: on each line an object with instruction, input and output, as Alpaca's."
        ),
        error_messages={"required": gettext_lazy("Choose a file first."), "empty": gettext_lazy("The file is empty.")},
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > MAX_FILE_BYTES:
            raise forms.ValidationError(
                gettext("%(name)s is larger than %(number)s MB. Split it.")
                % {"name": file.name, "number": MAX_FILE_BYTES // 2**20}
            )
        return file
