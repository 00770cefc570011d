from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import Field, dataclass, fields
from typing import Any

from django import forms
from django.forms import BoundField
from django.utils.translation import gettext, gettext_lazy

from annotation.models import Project
from training.actions import rounds
from training.methods import METHODS, InvalidConfig, Method, MethodConfig, making
from training.methods.base import Plan
from training.methods.inherited import inherited
from training.methods.labels import SettingLabel, label_of
from training.methods.plans import all_plans, plans
from training.methods.presets import PRESETS, STANDARD, with_preset
from training.methods.shared import ANSWER_TOKENS, TEMPERATURE
from training.models import TrainingRound, TrainingRun
from training.phrases import in_language, phrase
from training.products.chat import inherited_settings
from training.reports.enough_data import REWARD_MODEL

OWN_ORDER = "own"
MOST_STAGES = 6
LONGEST_TAG, MOST_TAGS = 40, 10
OF_ROUND = {"response_length": ANSWER_TOKENS, "temperature": TEMPERATURE}  # fields that all stages inherit
OWN_PLAN = Plan(
    OWN_ORDER,
    phrase("Custom stages"),
    order=1_000_000,
    does=phrase("Up to %(most)s stages, one after the other.", most=MOST_STAGES),
)


@dataclass(frozen=True)
class SettingField:
    """A setting on the page: its field, label and unit, and whether a value other than the default is filled in."""

    bound: BoundField
    name: str
    label: SettingLabel
    inherits: str

    @property
    def is_changed(self) -> bool:
        return self.bound.value() not in (None, "")


@dataclass(frozen=True)
class SettingGroup:
    """The settings of a method, those that most rounds change first."""

    method: str
    spec: Method
    is_planned: bool  # by the plan that is chosen
    common: list[SettingField]
    more: list[SettingField]

    @property
    def has_gate_on_data(self) -> bool:
        """Return whether its quality gate needs held-out preference pairs."""
        return self.method in making(REWARD_MODEL)

    @property
    def has_errors(self) -> bool:
        return any(each.bound.errors for each in [*self.common, *self.more])

    @property
    def more_is_open(self) -> bool:
        return any(each.bound.errors or each.is_changed for each in self.more)

    @property
    def changed(self) -> int:
        return sum(each.is_changed for each in [*self.common, *self.more])


def _planned() -> Iterator[tuple[str, Method]]:
    """Yield the methods that some plan has; the others are started on pages of their own."""
    used = {method for plan in plans() for method in plan.split(",")}
    return ((method, spec) for method, spec in METHODS.items() if method in used)


def _plan_choices() -> list[tuple[str, str]]:
    return [(name, gettext(label)) for name, label in [*plans().items(), (OWN_ORDER, OWN_PLAN.label)]]


class StartRoundForm(forms.Form):
    """A plan, a preset and all settings of the methods, as fields named `<method>.<setting>`.

    With the plan `own` the stages are `stage_1`, `stage_2`, …; gaps are skipped. `response_length` and `temperature`
    are those of all stages. An empty setting takes its value from the preset, or else the project's or the default of
    the dataclass. `like` is an earlier round, whose plan and changed settings are filled in.
    """

    plan = forms.ChoiceField(choices=_plan_choices, widget=forms.RadioSelect, label=gettext_lazy("Plan"))
    preset = forms.ChoiceField(
        choices=lambda: [(name, gettext(label)) for name, label in PRESETS.items()],
        widget=forms.RadioSelect,
        required=False,
        label=gettext_lazy("Effort"),
        initial=STANDARD,
    )
    response_length = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=4096,
        label=gettext_lazy("Response length"),
        help_text=gettext_lazy("Tokens after which responses are truncated, in every stage of this round."),
    )
    temperature = forms.FloatField(
        required=False,
        min_value=0.01,
        max_value=5,
        label=gettext_lazy("Sampling temperature"),
        help_text=gettext_lazy("In every stage of this round."),
    )

    def __init__(self, project: Project, data: Any = None, like: TrainingRound | None = None) -> None:
        initial = {"plan": ",".join(rounds.next_methods(project)), "preset": STANDARD}
        super().__init__(data, initial={**initial, **(_as_initial(project, like) if like else {})})
        known = [("", gettext("none")), *((method, gettext(spec.label)) for method, spec in _planned())]
        for number in range(1, MOST_STAGES + 1):
            self.fields[f"stage_{number}"] = forms.ChoiceField(
                choices=known, required=False, label=gettext("Stage %(number)s") % {"number": number}
            )
        for method, spec in _planned():
            for setting in fields(spec.config):
                self.fields[f"{method}.{setting.name}"] = field_for(spec.config, setting, defaults_of(project, method))
        of_project = inherited_settings(project)
        for name, source in OF_ROUND.items():
            self.fields[name].widget.attrs |= {"placeholder": of_project[source], "data-source": source}
        self.fields["temperature"].widget.attrs["step"] = "any"

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("plan") == OWN_ORDER and not self._own_order():
            self.add_error("stage_1", gettext("Choose a first stage."))
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
        """Return the settings of the plan's methods: the preset's, the round's own, and over them each stage's."""
        given = {source: self.cleaned_data[name] for name, source in OF_ROUND.items()}
        of_round = {source: value for source, value in given.items() if value is not None}
        filled = {
            method: inherited(method, of_round)
            | {
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
            for name, message in invalid.errors_in(gettext).items():
                self.add_error(name if name in self.fields else None, message)

    def groups(self) -> Iterator[SettingGroup]:
        """Yield the settings of each method, for the page."""
        for method, spec in _planned():
            found = [
                SettingField(
                    self[f"{method}.{setting.name}"], setting.name, label_of(setting), setting.metadata["inherits"]
                )
                for setting in fields(spec.config)
            ]
            common = [each for each in found if each.label.common]
            yield SettingGroup(
                method, spec, method in self.chosen(), common, [each for each in found if not each.label.common]
            )

    def chosen(self) -> list[str]:
        """Return the methods that are chosen at the moment, valid or not."""
        if self.has_own_order():
            return [str(stage.value() or "") for stage in self.stages()]
        return str(self["plan"].value()).split(",")

    def has_own_order(self) -> bool:
        return bool(self["plan"].value() == OWN_ORDER)

    def needs_held_out(self) -> bool:
        """Return whether the quality gate of a chosen stage needs held-out preference pairs."""
        return any(group.is_planned and group.has_gate_on_data for group in self.groups())

    def common_plans(self) -> list[Plan]:
        return [plan for plan in all_plans() if plan.common]

    def other_plans(self) -> list[Plan]:
        return [*(plan for plan in all_plans() if not plan.common), OWN_PLAN]

    def other_is_chosen(self) -> bool:
        """Return whether the plan is one below *More plans*, which is open then."""
        return self["plan"].value() in {plan.methods for plan in self.other_plans()}


class DescribeRoundForm(forms.Form):
    """Notes and tags of a round, and whether others are compared with it."""

    tags = forms.CharField(
        required=False,
        max_length=300,
        label=gettext_lazy("Tags"),
        help_text=gettext_lazy("Short words, separated by commas, to find it by."),
    )
    notes = forms.CharField(
        required=False,
        max_length=4000,
        label=gettext_lazy("Notes"),
        widget=forms.Textarea(attrs={"rows": 3}),
        strip=True,
    )
    is_baseline = forms.BooleanField(
        required=False,
        label=gettext_lazy("Baseline"),
        help_text=gettext_lazy("Other rounds are compared with this one."),
    )

    def clean_tags(self) -> list[str]:
        tags = list(dict.fromkeys(tag.strip() for tag in self.cleaned_data["tags"].split(",") if tag.strip()))
        for tag in tags:
            if len(tag) > LONGEST_TAG:
                raise forms.ValidationError(
                    gettext("“%(tag)s…” is longer than %(most)s characters.")
                    % {"tag": tag[:LONGEST_TAG], "most": LONGEST_TAG}
                )
        if len(tags) > MOST_TAGS:
            raise forms.ValidationError(
                gettext("At most %(most)s tags; these are %(count)s.") % {"most": MOST_TAGS, "count": len(tags)}
            )
        return tags


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
    of_round = _shared_by(runs)
    found |= {name: of_round[source] for name, source in OF_ROUND.items() if source in of_round}
    for run in runs:
        defaults = defaults_of(project, run.method) | inherited(run.method, of_round)
        for setting in fields(METHODS[run.method].config):
            value = run.config.get(setting.name, setting.default)
            if value != defaults[setting.name]:
                found[f"{run.method}.{setting.name}"] = str(value).lower() if isinstance(value, bool) else value
    return found


def _shared_by(runs: Sequence[TrainingRun]) -> dict[str, Any]:
    """Return the inherited settings for which all runs have the same value."""
    values: dict[str, set[Any]] = {}
    for run in runs:
        for setting in fields(METHODS[run.method].config):
            if source := setting.metadata["inherits"]:
                values.setdefault(source, set()).add(run.config.get(setting.name, setting.default))
    return {source: found.pop() for source, found in values.items() if len(found) == 1}


def field_for(config: type[MethodConfig], setting: Field[Any], defaults: Mapping[str, Any]) -> forms.Field:
    """Return the form's field of a setting; `defaults` are the values that empty fields mean."""
    common: dict[str, Any] = {
        "required": False,
        "label": gettext(label_of(setting).text),
        "help_text": in_language(setting.metadata["help"], gettext),
    }
    bounds = {"min_value": setting.metadata["least"], "max_value": setting.metadata["most"]}
    if words := config.choices.get(setting.name):
        return forms.ChoiceField(
            choices=[
                ("", gettext("Default (%(default)s)") % {"default": setting.default}),
                *((word, word) for word in words),
            ],
            **common,
        )
    if isinstance(setting.default, bool):
        return forms.TypedChoiceField(
            choices=[
                ("", gettext("Default (yes)") if setting.default else gettext("Default (no)")),
                ("true", gettext_lazy("Yes")),
                ("false", gettext_lazy("No")),
            ],
            coerce=lambda value: value == "true",
            empty_value=None,
            **common,
        )
    shown = {"placeholder": defaults[setting.name]}
    if source := setting.metadata["inherits"]:
        shown["data-inherits"] = source
    if isinstance(setting.default, int):
        return forms.IntegerField(**common, **bounds, widget=forms.NumberInput(attrs=shown))
    if isinstance(setting.default, float):
        return forms.FloatField(**common, **bounds, widget=forms.NumberInput(attrs={**shown, "step": "any"}))
    return forms.CharField(**common, widget=forms.TextInput(attrs=shown))
