"""Forms of a project, its members and its alarms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from django import forms
from django.forms import BoundField

from annotation.characters import JSONDecoder
from annotation.forms.access import User
from annotation.models import (
    LongPrompts,
    Project,
    RankingMode,
    RationaleRule,
    Role,
    Thoughts,
)


class LinesField(forms.CharField):
    """Names, one per line, as a list."""

    widget = forms.Textarea(attrs={"rows": 3})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:
        return [line.strip() for line in super().clean(value).splitlines() if line.strip()]


class PercentField(forms.FloatField):
    """A share, stored from 0 to 1, shown and typed as a percentage."""

    def __init__(self, *, most: int = 100, **values: Any) -> None:
        wrong = f"Enter a percentage from 0 to {most}."
        super().__init__(
            min_value=0,
            max_value=most,
            error_messages=dict.fromkeys(("required", "invalid"), wrong),
            widget=forms.NumberInput(attrs={"step": "any", "class": "percent"}),
            **values,
        )
        for validator in self.validators:
            validator.message = wrong  # type: ignore[attr-defined]

    def prepare_value(self, value: Any) -> Any:
        """Return a stored share as the text of its percentage; what a person typed stays as it is."""
        return f"{value * 100:.6g}" if isinstance(value, (int, float)) else value

    def clean(self, value: Any) -> Any:
        percent = super().clean(value)
        return None if percent is None else round(percent / 100, 8)


# What a kind of project sets, where the person has not set something else.
PRESETS: dict[str, dict[str, Any]] = {
    "ranking": {},
    "pairwise": {"ranking_form": RankingMode.GRADED.value, "candidates_per_task": 2},
    "labelling": {"reference_share": 0.0},
}
PRESET_CHOICES = [
    ("ranking", "Ranking: put several responses in order, best first"),
    ("pairwise", "Pairwise comparison: choose the better of two responses, and by how much"),
    ("labelling", "Labelling: give each text one of your labels"),
]
SECTIONS: dict[str, tuple[str, ...]] = {
    "Task": (
        "ranking_form",
        "top_k",
        "candidates_per_task",
        "criteria",
        "criteria_required",
        "rationale",
        "reference_share",
        "write_first",
    ),
    "Labels": ("labels", "uncertain_first"),
    "Assignment": ("seats_per_task", "calibration_share", "early_stop", "conflict_seat", "lease_minutes"),
    "Quality checks": (
        "gold_share",
        "repeat_share",
        "practice_first",
        "practice_pass",
        "use_weights",
        "maker_names",
    ),
    "Model": ("answer_tokens", "temperature", "thoughts", "chat_template_kwargs", "long_prompts"),
    "Data card": ("licence",),
}
# A field is shown where another one has a value, is filled in (or ticked), or is more than a number.
WHEN = {
    "top_k": "ranking_form=top_k",
    "criteria_required": "criteria",
    "write_first": "reference_share>0",
    "uncertain_first": "labels",
    "early_stop": "seats_per_task>2",
    "conflict_seat": "seats_per_task>1",
    "practice_pass": "practice_first",
}
CHOICES: dict[str, list[tuple[str, str]]] = {
    "ranking_form": [
        (RankingMode.FULL, "Full ranking: every response gets a rank"),
        (RankingMode.TOP_K, "Top k: only the best responses get a rank"),
        (RankingMode.BEST, "Best response only"),
        (RankingMode.GRADED, "Graded comparison: two responses, and by how much one is better"),
    ],
    "rationale": [(RationaleRule.HIDDEN, "Not asked"), *((each.value, each.label) for each in list(RationaleRule)[1:])],
    "thoughts": [
        (Thoughts.OFF, "Off: the model responds directly"),
        (Thoughts.HIDDEN, "Hidden: annotators see the response alone"),
        (Thoughts.SHOWN, "Shown as part of the response"),
    ],
    "long_prompts": [
        (LongPrompts.REFUSE, "Leave them out, and count them"),
        (LongPrompts.DROP_OLDEST, "Drop their oldest turns, and mark the responses"),
    ],
}
LABELS = {
    "base_model": "Base model",
    "candidates_per_task": "Responses per task",
    "top_k": "Ranks for top k",
    "ranking_form": "Ranking mode",
    "criteria_required": "Every criterion has to be rated",
    "rationale": "Rationale",
    "write_first": "Hide model responses until the first draft",
    "seats_per_task": "Annotators per task",
    "early_stop": "Close early on agreement",
    "conflict_seat": "Extra annotator on disagreement",
    "lease_minutes": "Task reservation, minutes",
    "use_weights": "Weight annotations by annotator reliability",
    "practice_first": "Require qualification",
    "uncertain_first": "Uncertainty sampling",
    "long_prompts": "Prompts that are too long",
    "answer_tokens": "Longest response, in tokens",
}
HELP = {
    "guidelines": "What makes a response good. Markdown; shown to annotators while they work.",
    "candidates_per_task": "From 2 to 9.",
    "ranking_form": "Open tasks follow it, too.",
    "top_k": "How many responses get a rank; the order of the others is not recorded.",
    "seats_per_task": "Each ranks the responses on their own.",
    "early_stop": "Of more than two annotators: no further ones once two agree on the best response.",
    "conflict_seat": "One more, at most two, where two rankings contradict each other.",
    "lease_minutes": "After so many minutes of inactivity another annotator may get the task.",
    "use_weights": "Snapshots give each ranking the weight of its annotator (see Quality).",
    "practice_first": "New annotators rank qualification tasks first, with feedback after each.",
    "uncertain_first": "Once a classifier exists, texts of which it is least sure come first; a fifth stays random.",
    "write_first": "For reference responses.",
    "thoughts": "Of models whose chat template has a thinking block.",
    "long_prompts": "Longer than a stage's max_prompt_tokens or than the context of the model.",
    "answer_tokens": "Where every stage of a round cuts responses, unless its own settings differ.",
    "temperature": "At which every stage of a round draws responses, unless its own settings differ.",
    "licence": "Under which the data may be used, such as CC BY 4.0; shown on every data card.",
    "base_model": "The bundled one needs no download and no GPU. Or the id of a causal language model on the Hugging "
    "Face hub, or the path of a folder on the machine that trains.",
}


class ProjectForm(forms.ModelForm):  # type: ignore[type-arg]
    """The settings of a project. `sections` are those that most projects leave alone."""

    criteria = LinesField(
        required=False, help_text="Names, one per line, at most 6: each response is also rated on them from 1 to 5."
    )
    chat_template_kwargs = forms.JSONField(
        required=False,
        decoder=JSONDecoder,
        label="Chat template settings",
        help_text=Project._meta.get_field("chat_template_kwargs").help_text,
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    labels = LinesField(
        required=False, help_text="Names, one per line, 2 to 9: annotators give one of them to the text of each prompt."
    )
    maker_names = LinesField(
        required=False,
        label="Further names of models and makers",
        help_text="One per line. A response with one of them is kept out of blind tasks, beside those with well-known "
        "names.",
    )
    reference_share = PercentField(
        label="Share with reference response",
        help_text="Of prompts, for which an annotator also writes an ideal response.",
    )
    calibration_share = PercentField(
        label="Overlap for everybody", help_text="Of prompts, whose tasks every annotator ranks."
    )
    gold_share = PercentField(
        most=50, label="Gold-task share", help_text="Of an annotator's tasks, whose expert ranking is known."
    )
    repeat_share = PercentField(
        most=50, label="Self-consistency share", help_text="Of an annotator's tasks, which they have ranked before."
    )
    practice_pass = PercentField(
        label="Qualification threshold", help_text="Of pairs, on which an annotator has to match the expert rankings."
    )

    class Meta:
        model = Project
        fields = Project.SETTINGS
        labels = LABELS
        help_texts = HELP
        widgets: ClassVar = {
            "guidelines": forms.Textarea(attrs={"rows": 6}),
            "base_model": forms.TextInput(attrs={"list": "known-models", "spellcheck": "false", "autocomplete": "off"}),
        }

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        for name, field in self.fields.items():
            if isinstance(field, PercentField):  # declared here, so Django does not take the default of the model
                field.initial = getattr(Project(), name)
        for name, choices in CHOICES.items():
            self.fields[name].choices = choices  # type: ignore[attr-defined]
        for name, condition in WHEN.items():
            self.fields[name].when = condition  # type: ignore[attr-defined]
        if self.instance.pk:  # it has a page of its own, which also prepares it
            self.fields["base_model"].disabled = True
        if self.is_bound:
            self._complete()

    def clean_chat_template_kwargs(self) -> Any:
        """Return what was given; an empty field is no settings."""
        given = self.cleaned_data["chat_template_kwargs"]
        return {} if given is None else given

    def sections(self) -> Iterator[tuple[str, list[BoundField]]]:
        """Yield the headings under Advanced, with their fields."""
        return ((title, [self[name] for name in names]) for title, names in SECTIONS.items())

    def has_advanced_errors(self) -> bool:
        """Return whether a field under Advanced is refused, so that the page opens it."""
        return any(self.has_error(name) for names in SECTIONS.values() for name in names)

    def _complete(self) -> None:
        """Fill in the current value of fields that a request leaves out; a box that is left out is unticked."""
        data = {name: self.data[name] for name in self.data}
        for name, field in self.fields.items():
            if name not in data and not isinstance(field, forms.BooleanField):
                data[name] = field.prepare_value(self.get_initial_for_field(field, name))
        self.data = data


class NewProjectForm(ProjectForm):
    """The form of a new project, with the kind of project first."""

    preset = forms.ChoiceField(
        label="What annotators do", choices=PRESET_CHOICES, initial="ranking", widget=forms.RadioSelect
    )

    def _complete(self) -> None:
        """Fill in what a request leaves out, and what the kind of project sets wherever the default was left."""
        super()._complete()
        for name, value in PRESETS.get(self.data["preset"], {}).items():
            field = self.fields[name]
            if str(self.data[name]) == str(field.prepare_value(getattr(Project(), name))):
                self.data = {**self.data, name: field.prepare_value(value)}

    def sections(self) -> Iterator[tuple[str, list[BoundField]]]:
        """Yield the sections without the labels, which stand at the top where the kind of project needs them."""
        return ((title, fields) for title, fields in super().sections() if title != "Labels")

    def clean(self) -> dict[str, Any]:
        said = super().clean() or self.cleaned_data
        if said.get("preset") == "labelling" and not said.get("labels") and not self.has_error("labels"):
            self.add_error("labels", "Name the labels that annotators choose from, at least two.")
        return said


class MemberForm(forms.Form):
    username = forms.CharField(max_length=150)
    role = forms.ChoiceField(choices=Role.choices, initial=Role.ANNOTATOR)

    def clean_username(self) -> Any:
        username = self.cleaned_data["username"]
        user = User.objects.filter(username=username, is_active=True).first()
        if user is None:
            raise forms.ValidationError(f"There is no account “{username}”. Invite the person instead.")
        return user


class AlarmForm(forms.Form):
    note = forms.CharField(
        max_length=500,
        error_messages={
            "required": "Describe the problem, so that an admin can check it.",
            "max_length": "Please use at most 500 characters.",
        },
    )
