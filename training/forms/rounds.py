from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from django import forms
from django.forms import BoundField

from annotation.models import Project
from training.actions import rounds
from training.methods import METHODS, InvalidConfig, Method, MethodConfig
from training.methods.inherited import inherited
from training.methods.plans import plans
from training.methods.presets import PRESETS, STANDARD, with_preset
from training.models import TrainingRound
from training.products.chat import inherited_settings

OWN_ORDER = "own"
MOST_STAGES = 6


def _planned() -> Iterator[tuple[str, Method]]:
    """Yield the methods that some plan has; the others are started on pages of their own."""
    used = {method for plan in plans() for method in plan.split(",")}
    return ((method, spec) for method, spec in METHODS.items() if method in used)


def _plan_choices() -> list[tuple[str, str]]:
    return [*plans().items(), (OWN_ORDER, "Stages in an order of your own")]


class StartRoundForm(forms.Form):
    """A plan, a preset and all settings of the methods, as fields named `<method>.<setting>`.

    With the plan `own` the stages are `stage_1`, `stage_2`, …; gaps are skipped. An empty setting takes its value from
    the preset, or else the default of the dataclass. `like` is an earlier round, whose plan and changed settings are
    filled in.
    """

    plan = forms.ChoiceField(
        choices=_plan_choices,
        widget=forms.RadioSelect,
        label="What to run",
    )
    preset = forms.ChoiceField(
        choices=list(PRESETS.items()),
        widget=forms.RadioSelect,
        required=False,
        label="How thoroughly",
    )

    def __init__(self, project: Project, data: Any = None, like: TrainingRound | None = None) -> None:
        initial = {"plan": ",".join(rounds.next_methods(project)), "preset": STANDARD}
        super().__init__(data, initial={**initial, **(_as_initial(project, like) if like else {})})
        known = [("", "none"), *((method, spec.label) for method, spec in _planned())]
        for number in range(1, MOST_STAGES + 1):
            self.fields[f"stage_{number}"] = forms.ChoiceField(choices=known, required=False, label=f"Stage {number}")
        for method, spec in _planned():
            for setting in fields(spec.config):
                self.fields[f"{method}.{setting.name}"] = field_for(spec.config, setting, defaults_of(project, method))

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("plan") == OWN_ORDER and not self._own_order():
            self.add_error("stage_1", "Choose a first stage.")
        return data

    def methods(self) -> list[str]:
        plan = str(self.cleaned_data["plan"])
        return self._own_order() if plan == OWN_ORDER else plan.split(",")

    def _own_order(self) -> list[str]:
        chosen = (self.cleaned_data.get(f"stage_{number}") for number in range(1, MOST_STAGES + 1))
        return [method for method in chosen if method]

    def stages(self) -> list[BoundField]:
        return [self[f"stage_{number}"] for number in range(1, MOST_STAGES + 1)]

    def settings(self) -> dict[str, dict[str, Any]]:
        """Return the settings of the plan's methods: the preset's, overridden by what was filled in."""
        filled = {
            method: {
                setting.name: value
                for setting in fields(METHODS[method].config)
                if (value := self.cleaned_data[f"{method}.{setting.name}"]) not in (None, "")
            }
            for method in self.methods()
        }
        return with_preset(self.cleaned_data["preset"] or STANDARD, self.methods(), filled)

    @contextmanager
    def invalid_settings_as_errors(self) -> Iterator[None]:
        """Run an action; where the dataclasses refuse settings, add the reasons to the fields of the form."""
        try:
            yield
        except InvalidConfig as invalid:
            for name, message in invalid.errors.items():
                self.add_error(name if name in self.fields else None, message)

    def groups(self) -> Iterator[tuple[str, Method, list[BoundField]]]:
        """Yield each method, its row and its fields, for the page."""
        for method, spec in _planned():
            yield method, spec, [self[f"{method}.{setting.name}"] for setting in fields(spec.config)]


def defaults_of(project: Project, method: str) -> dict[str, Any]:
    """Return the value of each setting of a method where none is given: the project's, or the method's own."""
    own = {setting.name: setting.default for setting in fields(METHODS[method].config)}
    return own | inherited(method, inherited_settings(project))


def _as_initial(project: Project, like: TrainingRound) -> dict[str, Any]:
    """Return the initial values from an earlier round; the plan is `own` where no plan has its stages."""
    runs = [run for run in like.runs.all() if run.method in dict(_planned())]
    plan = ",".join(run.method for run in runs)
    found: dict[str, Any] = {"plan": plan}
    if plan not in plans():
        found = {"plan": OWN_ORDER} | {f"stage_{number}": run.method for number, run in enumerate(runs, start=1)}
    for run in runs:
        defaults = defaults_of(project, run.method)
        for setting in fields(METHODS[run.method].config):
            value = run.config.get(setting.name, setting.default)
            if value != defaults[setting.name]:
                found[f"{run.method}.{setting.name}"] = str(value).lower() if isinstance(value, bool) else value
    return found


def field_for(config: type[MethodConfig], setting: Any, defaults: Mapping[str, Any]) -> forms.Field:
    """Return the form's field of a setting; `defaults` are the values that empty fields mean."""
    common = {
        "required": False,
        "label": setting.name.replace("_", " ").capitalize(),
        "help_text": setting.metadata["help"],
    }
    bounds = {"min_value": setting.metadata["least"], "max_value": setting.metadata["most"]}
    if words := config.choices.get(setting.name):
        return forms.ChoiceField(
            choices=[("", f"Default ({setting.default})"), *((word, word) for word in words)],
            **common,
        )
    if isinstance(setting.default, bool):
        return forms.TypedChoiceField(
            choices=[("", "Default"), ("true", "Yes"), ("false", "No")],
            coerce=lambda value: value == "true",
            empty_value=None,
            **common,
        )
    shown = {"placeholder": defaults[setting.name]}
    if isinstance(setting.default, int):
        return forms.IntegerField(**common, **bounds, widget=forms.NumberInput(attrs=shown))
    if isinstance(setting.default, float):
        return forms.FloatField(**common, **bounds, widget=forms.NumberInput(attrs={**shown, "step": "any"}))
    return forms.CharField(**common, widget=forms.TextInput(attrs=shown))
