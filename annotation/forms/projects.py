"""Forms of a project, its members and its alarms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from django import forms
from django.forms import BoundField
from django.utils.translation import gettext, gettext_lazy, gettext_noop

from annotation.characters import JSONDecoder
from annotation.forms.access import User
from annotation.forms.ranges import field_with_range
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
    "unary": {"unary_share": 1.0, "reference_share": 0.0},
    "labelling": {"reference_share": 0.0},
}
PRESET_CHOICES = [
    ("ranking", gettext_noop("Ranking: put several responses in order, best first")),
    ("pairwise", gettext_noop("Pairwise comparison: choose the better of two responses, and by how much")),
    ("unary", gettext_noop("Good or bad: judge one response at a time by itself")),
    ("labelling", gettext_noop("Labelling: give each text one of your labels")),
]
SECTIONS: dict[str, tuple[str, ...]] = {
    gettext_noop("Task"): (
        "ranking_form",
        "top_k",
        "candidates_per_task",
        "criteria",
        "criteria_required",
        "rationale",
        "unary_share",
        "reference_share",
        "write_first",
    ),
    gettext_noop("Labels"): ("labels", "uncertain_first"),
    gettext_noop("Assignment"): ("seats_per_task", "calibration_share", "early_stop", "conflict_seat", "lease_minutes"),
    gettext_noop("Quality checks"): (
        "gold_share",
        "repeat_share",
        "practice_first",
        "practice_pass",
        "use_weights",
        "maker_names",
    ),
    gettext_noop("Model"): ("answer_tokens", "temperature", "thoughts", "chat_template_kwargs", "long_prompts"),
    gettext_noop("Feedback of end users"): ("mask_feedback", "feedback_days"),
    gettext_noop("Data card"): ("licence",),
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
        (RankingMode.FULL, gettext_noop("Full ranking: every response gets a rank")),
        (RankingMode.TOP_K, gettext_noop("Top k: only the best responses get a rank")),
        (RankingMode.BEST, gettext_noop("Best response only")),
        (RankingMode.GRADED, gettext_noop("Graded comparison: two responses, and by how much one is better")),
    ],
    "rationale": [
        (RationaleRule.HIDDEN, gettext_noop("Not asked")),
        *((each.value, str(each.label)) for each in list(RationaleRule)[1:]),
    ],
    "thoughts": [
        (Thoughts.OFF, gettext_noop("Off: the model responds directly")),
        (Thoughts.HIDDEN, gettext_noop("Hidden: annotators see the response alone")),
        (Thoughts.SHOWN, gettext_noop("Shown as part of the response")),
    ],
    "long_prompts": [
        (LongPrompts.REFUSE, gettext_noop("Leave them out, and count them")),
        (LongPrompts.DROP_OLDEST, gettext_noop("Drop their oldest turns, and mark the responses")),
    ],
}
LABELS = {
    "name": gettext_noop("Name"),
    "labels": gettext_noop("Labels"),
    "guidelines": gettext_noop("Guidelines"),
    "criteria": gettext_noop("Criteria"),
    "temperature": gettext_noop("Temperature"),
    "thoughts": gettext_noop("Thoughts"),
    "licence": gettext_noop("Licence"),
    "base_model": gettext_noop("Base model"),
    "candidates_per_task": gettext_noop("Responses per task"),
    "top_k": gettext_noop("Ranks for top k"),
    "ranking_form": gettext_noop("Ranking mode"),
    "criteria_required": gettext_noop("Every criterion has to be rated"),
    "rationale": gettext_noop("Rationale"),
    "write_first": gettext_noop("Hide model responses until the first draft"),
    "seats_per_task": gettext_noop("Annotators per task"),
    "early_stop": gettext_noop("Close early on agreement"),
    "conflict_seat": gettext_noop("Extra annotator on disagreement"),
    "lease_minutes": gettext_noop("Task reservation, minutes"),
    "use_weights": gettext_noop("Weight annotations by annotator reliability"),
    "practice_first": gettext_noop("Require qualification"),
    "uncertain_first": gettext_noop("Uncertainty sampling"),
    "long_prompts": gettext_noop("Prompts that are too long"),
    "answer_tokens": gettext_noop("Longest response, in tokens"),
    "mask_feedback": gettext_noop("Mask personal data"),
    "feedback_days": gettext_noop("Days to keep feedback"),
}
HELP = {
    "guidelines": gettext_noop("What makes a response good. Markdown; shown to annotators while they work."),
    "ranking_form": gettext_noop("Open tasks follow it, too."),
    "candidates_per_task": gettext_noop("Shown in a ranking task."),
    "top_k": gettext_noop("How many responses get a rank; the order of the others is not recorded."),
    "seats_per_task": gettext_noop("Each ranks the responses on their own."),
    "early_stop": gettext_noop("Of more than two annotators: no further ones once two agree on the best response."),
    "conflict_seat": gettext_noop("One more, at most two, where two rankings contradict each other."),
    "lease_minutes": gettext_noop("After so many minutes of inactivity another annotator may get the task."),
    "use_weights": gettext_noop("Snapshots give each ranking the weight of its annotator (see Quality)."),
    "practice_first": gettext_noop("New annotators rank qualification tasks first, with feedback after each."),
    "uncertain_first": gettext_noop(
        "Once a classifier exists, texts of which it is least sure come first; a fifth stays random."
    ),
    "write_first": gettext_noop("For reference responses."),
    "thoughts": gettext_noop("Of models whose chat template has a thinking block."),
    "long_prompts": gettext_noop("Longer than a stage's max_prompt_tokens or than the context of the model."),
    "answer_tokens": gettext_noop("Where every stage of a round cuts responses, unless its own settings differ."),
    "temperature": gettext_noop("At which every stage of a round draws responses, unless its own settings differ."),
    "mask_feedback": gettext_noop("Email addresses, IBANs, card numbers, IP addresses and phone numbers."),
    "feedback_days": gettext_noop("After its last update, with its texts. 0: no limit."),
    "licence": gettext_noop("Under which the data may be used, such as CC BY 4.0; shown on every data card."),
    "base_model": gettext_noop(
        "The bundled one needs no download and no GPU. Or the id of a causal language model on the Hugging "
        "Face hub, or the path of a folder on the machine that trains."
    ),
}


class ProjectForm(forms.ModelForm):  # type: ignore[type-arg]
    """The settings of a project. `sections` are those that most projects leave alone."""

    criteria = LinesField(
        required=False,
        label=gettext_lazy("Criteria"),
        help_text=gettext_lazy("Names, one per line, at most 6: each response is also rated on them from 1 to 5."),
    )
    chat_template_kwargs = forms.JSONField(
        required=False,
        decoder=JSONDecoder,
        label=gettext_lazy("Chat template settings"),
        help_text=gettext_lazy('A JSON object that the chat template also gets, such as {"enable_thinking": false}.'),
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    labels = LinesField(
        required=False,
        label=gettext_lazy("Labels"),
        help_text=gettext_lazy("Names, one per line, 2 to 9: annotators give one of them to the text of each prompt."),
    )
    maker_names = LinesField(
        required=False,
        label=gettext_lazy("Further names of models and makers"),
        help_text=gettext_lazy(
            "One per line. A response with one of them is kept out of blind tasks, beside those with well-known names."
        ),
    )
    unary_share = PercentField(
        label=gettext_lazy("Share judged good or bad"),
        help_text=gettext_lazy(
            "Of prompts, whose responses are judged good or bad one at a time instead of being ranked. For new tasks."
        ),
    )
    reference_share = PercentField(
        label=gettext_lazy("Share with reference response"),
        help_text=gettext_lazy("Of prompts, for which an annotator also writes an ideal response."),
    )
    calibration_share = PercentField(
        label=gettext_lazy("Overlap for everybody"),
        help_text=gettext_lazy("Of prompts, whose tasks every annotator ranks."),
    )
    gold_share = PercentField(
        most=50,
        label=gettext_lazy("Gold-task share"),
        help_text=gettext_lazy("Of an annotator's tasks, whose expert ranking is known."),
    )
    repeat_share = PercentField(
        most=50,
        label=gettext_lazy("Self-consistency share"),
        help_text=gettext_lazy("Of an annotator's tasks, which they have ranked before."),
    )
    practice_pass = PercentField(
        label=gettext_lazy("Qualification threshold"),
        help_text=gettext_lazy("Of pairs, on which an annotator has to match the expert rankings."),
    )

    class Meta:
        model = Project
        fields = Project.SETTINGS
        formfield_callback = field_with_range
        labels: ClassVar = {name: gettext_lazy(text) for name, text in LABELS.items()}
        help_texts: ClassVar = {name: gettext_lazy(text) for name, text in HELP.items()}
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
            self.fields[name].choices = [(value, gettext(label)) for value, label in choices]  # type: ignore[attr-defined]
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
        label=gettext_lazy("What annotators do"),
        choices=[(name, gettext_lazy(label)) for name, label in PRESET_CHOICES],
        initial="ranking",
        widget=forms.RadioSelect,
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
            self.add_error("labels", gettext("Name the labels that annotators choose from, at least two."))
        return said


class DuplicateForm(forms.ModelForm):  # type: ignore[type-arg]
    """The name of a project that is made like another one."""

    class Meta:
        model = Project
        fields = ("name",)


class MemberForm(forms.Form):
    username = forms.CharField(label=gettext_lazy("Username"), max_length=150)
    role = forms.ChoiceField(label=gettext_lazy("Role"), choices=Role.choices, initial=Role.ANNOTATOR)

    def clean_username(self) -> Any:
        username = self.cleaned_data["username"]
        user = User.objects.filter(username=username, is_active=True).first()
        if user is None:
            raise forms.ValidationError(
                gettext("There is no account “%(username)s”. Invite the person instead.") % {"username": username}
            )
        return user


class AlarmForm(forms.Form):
    note = forms.CharField(
        label=gettext_lazy("Note"),
        max_length=500,
        error_messages={
            "required": gettext_lazy("Describe the problem, so that an admin can check it."),
            "max_length": gettext_lazy("Please use at most 500 characters."),
        },
    )
