"""The form in which an admin names the base model of a project."""

from __future__ import annotations

from typing import Any

from django import forms

from annotation.models import Project


class BaseModelForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Project
        fields = ("base_model",)
        help_texts = {
            "base_model": "The id of a causal language model on the Hugging Face hub, or the path of a folder on the "
            "machine that trains. The bundled one needs no download and no GPU."
        }
        widgets = {"base_model": forms.TextInput(attrs={"list": "known-models", "spellcheck": "false"})}

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        self.fields["base_model"].widget.attrs["autocomplete"] = "off"
