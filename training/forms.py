from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from django import forms
from django.forms import BoundField

from annotation.models import Project
from training.actions import rounds
from training.methods import METHODS, MethodConfig

PLANS = {
    "reward,ppo,sample": "The whole circle: reward model, PPO, new answers to rank",
    "sample": "Sample only: answers of the current policy, to rank",
    "reward": "Reward model only: how well do the rankings teach what people prefer?",
    "reward,rloo,sample": "The circle with RLOO: policy gradient with the other answers as baseline, no value model",
    "dpo,sample": "DPO: straight from the rankings, without a reward model; then new answers to rank",
    "sft,sample": "SFT: imitate reference answers and answers ranked best; then new answers to rank",
}


class StartRoundForm(forms.Form):
    """A plan, and every setting of its methods, made from their dataclasses. Named `<method>.<setting>`."""

    plan = forms.ChoiceField(choices=list(PLANS.items()), widget=forms.RadioSelect, label="What to run")

    def __init__(self, project: Project, data: Any = None) -> None:
        super().__init__(data, initial={"plan": ",".join(rounds.next_methods(project))})
        for method, spec in METHODS.items():
            for setting in fields(spec.config):
                self.fields[f"{method}.{setting.name}"] = _field_for(spec.config, setting)

    def methods(self) -> list[str]:
        return str(self.cleaned_data["plan"]).split(",")

    def settings(self) -> dict[str, dict[str, Any]]:
        """What was filled in for the methods of the plan; what was left empty keeps its default."""
        return {
            method: {
                setting.name: value
                for setting in fields(METHODS[method].config)
                if (value := self.cleaned_data[f"{method}.{setting.name}"]) not in (None, "")
            }
            for method in self.methods()
        }

    def add_errors(self, errors: dict[str, str]) -> None:
        """Put what the dataclasses refuse beside the fields that they refuse."""
        for name, message in errors.items():
            self.add_error(name if name in self.fields else None, message)

    def groups(self) -> Iterator[tuple[str, str, list[BoundField]]]:
        """Method, its label, its fields: for the page."""
        for method, spec in METHODS.items():
            yield method, spec.label, [self[f"{method}.{setting.name}"] for setting in fields(spec.config)]


def _field_for(config: type[MethodConfig], setting: Any) -> forms.Field:
    common = {
        "required": False,
        "initial": setting.default,
        "label": setting.name.replace("_", " ").capitalize(),
        "help_text": setting.metadata["help"],
    }
    bounds = {"min_value": setting.metadata["least"], "max_value": setting.metadata["most"]}
    if words := config.choices.get(setting.name):
        return forms.ChoiceField(
            choices=[("", f"Default ({setting.default})"), *((word, word) for word in words)],
            **{**common, "initial": ""},
        )
    if isinstance(setting.default, bool):
        return forms.TypedChoiceField(
            choices=[("", "Default"), ("true", "Yes"), ("false", "No")],
            coerce=lambda value: value == "true",
            empty_value=None,
            **{**common, "initial": ""},
        )
    if isinstance(setting.default, int):
        return forms.IntegerField(**common, **bounds)
    if isinstance(setting.default, float):
        return forms.FloatField(**common, **bounds, widget=forms.NumberInput(attrs={"step": "any"}))
    return forms.CharField(**common)
