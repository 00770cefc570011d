from __future__ import annotations

from dataclasses import fields
from typing import Any

from django import forms
from django.forms import BoundField
from django.utils.translation import gettext, gettext_lazy

from annotation.models import PolicyVersion, Project
from annotation.models.evaluation import PEOPLE
from training.forms.rounds import defaults_of, field_for
from training.methods import EvaluateConfig

BESIDE = [setting for setting in fields(EvaluateConfig) if setting.name != "against"]  # the form asks for both sides
SHOWN_AT_ONCE = ("prompts", "seats")


class EvaluationForm(forms.Form):
    """Who is compared with whom, and the settings of the run that draws the answers. Empty ones keep their default."""

    version = forms.ChoiceField(label=gettext_lazy("Version"))
    opponent = forms.ChoiceField(label=gettext_lazy("Against"))

    def __init__(self, project: Project, data: Any = None) -> None:
        self.versions = {version.number: version for version in project.policies.order_by("-number")}
        numbers = list(self.versions)
        initial = {"version": numbers[0] if numbers else None, "opponent": numbers[1] if len(numbers) > 1 else PEOPLE}
        super().__init__(data, initial=initial)
        choices = [(str(number), f"v{number}") for number in numbers]
        self.fields["version"].choices = choices  # type: ignore[attr-defined]
        self.fields["opponent"].choices = [*choices, (PEOPLE, gettext("reference responses by people"))]  # type: ignore[attr-defined]
        for setting in BESIDE:
            self.fields[setting.name] = field_for(EvaluateConfig, setting, defaults_of(project, "evaluate"))

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("version") and data.get("version") == data.get("opponent"):
            self.add_error("opponent", gettext("v%(data)s cannot be compared with itself.") % {"data": data["version"]})
        return data

    def sides(self) -> tuple[PolicyVersion, PolicyVersion | None]:
        opponent = self.cleaned_data["opponent"]
        return (
            self.versions[int(self.cleaned_data["version"])],
            None if opponent == PEOPLE else self.versions[int(opponent)],
        )

    def settings(self) -> dict[str, Any]:
        """Return the settings that were filled in."""
        given = {setting.name: self.cleaned_data[setting.name] for setting in BESIDE}
        return {name: value for name, value in given.items() if value not in (None, "")}

    def main_fields(self) -> list[BoundField]:
        return [self[name] for name in ("version", "opponent", *SHOWN_AT_ONCE)]

    def more_fields(self) -> list[BoundField]:
        return [self[setting.name] for setting in BESIDE if setting.name not in SHOWN_AT_ONCE]
