from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext, gettext_lazy

from annotation.models import PolicyVersion, Project

MOST_CHARACTERS = 20_000


class AskForm(forms.Form):
    """A question, and the one or two versions that answer it."""

    question = forms.CharField(
        label=gettext_lazy("Message"),
        max_length=MOST_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 3, "autofocus": True}),
        error_messages={"required": gettext_lazy("Write a message.")},
    )
    version = forms.ChoiceField(label=gettext_lazy("Version"))
    against = forms.ChoiceField(label=gettext_lazy("Compare blind with"), required=False)
    max_new_tokens = forms.IntegerField(label=gettext_lazy("Max tokens"), min_value=1, max_value=4096, initial=96)
    temperature = forms.FloatField(label=gettext_lazy("Temperature"), min_value=0.01, max_value=5, initial=0.9)

    def __init__(self, project: Project, data: Any = None, initial: dict[str, Any] | None = None) -> None:
        self.versions = {str(version.number): version for version in project.policies.order_by("-number")}
        super().__init__(data, initial={"version": next(iter(self.versions), None), **(initial or {})})
        choices = [(number, f"v{number}") for number in self.versions]
        self.fields["version"].choices = choices  # type: ignore[attr-defined]
        self.fields["against"].choices = [("", gettext("none")), *choices]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("version") and data.get("version") == data.get("against"):
            self.add_error(
                "against",
                gettext("v%(data)s is already selected. Choose another version, or none.") % {"data": data["version"]},
            )
        return data

    def asked(self) -> dict[str, Any]:
        """Return the arguments of `training.actions.playground.ask`."""
        given = self.cleaned_data
        chosen = [given["version"], given["against"]] if given["against"] else [given["version"]]
        return {
            "question": given["question"],
            "versions": [self.versions[number] for number in chosen],
            "max_new_tokens": given["max_new_tokens"],
            "temperature": given["temperature"],
        }


def settings_of(versions: list[PolicyVersion], max_new_tokens: int, temperature: float) -> dict[str, Any]:
    """Return the form's values for a follow-up; the higher version comes first, so that the order tells nothing."""
    numbers = sorted((version.number for version in versions), reverse=True)
    found = {"version": str(numbers[0]), "max_new_tokens": max_new_tokens, "temperature": temperature}
    return found | ({"against": str(numbers[1])} if len(numbers) > 1 else {})
