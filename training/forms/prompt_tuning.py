"""Forms of prompt tuning: a template, a verbalizer, and what to run with them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext, gettext_lazy

from annotation import stored
from annotation.models import Project
from training.methods import PromptTuningConfig
from training.models import TemplateVersion, VerbalizerVersion
from training.prompt_tuning.approaches import APPROACHES, settings_of
from training.prompt_tuning.cloze import (
    LONGEST,
    Finding,
    InvalidTemplate,
    InvalidVerbalizer,
    Template,
    Verbalizer,
    lint,
)
from training.tokenizers.model import ModelTokenizer, tokenizer_of

NOT_LAST = "This project's model reads from left to right: put {mask} behind every other slot."
STANDARD = "{text} {mask}"  # what words are checked in while there is no template
SPLIT_WORDS = re.compile("[,、，]")


class TemplateForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Name"), max_length=60, help_text=gettext_lazy("An existing name gets a new version.")
    )
    body = forms.CharField(
        max_length=LONGEST,
        strip=False,
        label=gettext_lazy("Template"),
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
        help_text=gettext_lazy(
            "{text} is the text, or {text_a} and {text_b} are two; {mask} the blank that the model "
            "fills; {options} lists the labels' words. Write a brace twice for a brace."
        ),
    )
    language = forms.CharField(
        label=gettext_lazy("Language"),
        max_length=20,
        required=False,
        help_text=gettext_lazy("Language code, such as en, de or zh."),
    )
    notes = forms.CharField(label=gettext_lazy("Notes"), max_length=500, required=False)

    def __init__(self, project: Project, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.tokenizer = tokenizer_of(project)

    def clean_body(self) -> str:
        # Browsers send line ends as CR LF, which no model has learned from.
        body = str(self.cleaned_data["body"]).replace("\r\n", "\n")
        try:
            template = Template.parse(body)
        except InvalidTemplate as problem:
            raise forms.ValidationError(stored.translated(str(problem))) from problem
        if self.tokenizer and not self.tokenizer.masked and not template.ends_with_mask:
            raise forms.ValidationError(NOT_LAST)
        return body


class WordsField(forms.CharField):
    """Lines such as "positive: good, happy" to {"positive": ["good", "happy"]}, and back."""

    widget = forms.Textarea(attrs={"rows": 5, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return "\n".join(f"{label}: {', '.join(words)}" for label, words in value.items())

    def clean(self, value: Any) -> dict[str, list[str]]:
        if isinstance(value, Mapping):  # by the API
            return {str(label): words for label, words in value.items()}
        words: dict[str, list[str]] = {}
        for number, line in enumerate(super().clean(value).splitlines(), start=1):
            if not line.strip():
                continue
            label, colon, rest = line.replace("：", ":").partition(":")
            if not colon or not label.strip():
                raise forms.ValidationError(
                    gettext("Line %(number)s: write a label, a colon, and its words: positive: good, happy")
                    % {"number": number}
                )
            if label.strip() in words:
                raise forms.ValidationError(
                    gettext("Line %(number)s: the label %(label)s already has a line.")
                    % {"number": number, "label": f"{label.strip()!r}"}
                )
            words[label.strip()] = SPLIT_WORDS.split(rest)
        return words


class VerbalizerForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Name"), max_length=60, help_text=gettext_lazy("An existing name gets a new version.")
    )
    words = WordsField(
        label=gettext_lazy("Labels and their words"),
        help_text=gettext_lazy("One line per label: the label as in your data, a colon, and one or more words for it."),
    )
    all_the_same = forms.BooleanField(required=False, widget=forms.HiddenInput)

    def __init__(self, project: Project, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.project = project
        self.tokenizer = tokenizer_of(project)
        self.findings: list[Finding] = []

    def clean_words(self) -> dict[str, list[str]]:
        words: dict[str, list[str]] = self.cleaned_data["words"]
        try:
            verbalizer = Verbalizer(words)
        except InvalidVerbalizer as problem:
            raise forms.ValidationError(stored.translated(str(problem))) from problem
        if self.tokenizer:
            self.findings = findings_of(verbalizer, newest_templates(self.project), self.tokenizer)
        if any(found.severity == "error" for found in self.findings):
            raise forms.ValidationError(gettext("The model cannot tell these labels apart; see below what to change."))
        return words

    @property
    def needs_a_second_press(self) -> bool:
        """Return whether to show warnings, which a second submit confirms."""
        return bool(self.findings) and not self.cleaned_data.get("all_the_same")


def newest_templates(project: Project) -> list[TemplateVersion]:
    newest: dict[str, TemplateVersion] = {}
    for version in project.templates.order_by("name", "-version"):
        newest.setdefault(version.name, version)
    return list(newest.values())


def newest_verbalizers(project: Project) -> list[VerbalizerVersion]:
    newest: dict[str, VerbalizerVersion] = {}
    for version in project.verbalizers.order_by("name", "-version"):
        newest.setdefault(version.name, version)
    return list(newest.values())


def findings_of(
    verbalizer: Verbalizer, templates: Sequence[TemplateVersion], tokenizer: ModelTokenizer
) -> list[Finding]:
    """Return the tokenizer's findings about the words in each template, each once, errors first."""
    bodies = [template.body for template in templates] or [STANDARD]
    found: dict[Finding, None] = {}
    for body in bodies:
        found |= dict.fromkeys(
            lint(
                verbalizer,
                Template.parse(body),
                tokenizer.encode,
                unknown=tokenizer.unknown,
                masked=tokenizer.masked,
            )
        )
    return sorted(found, key=lambda finding: finding.severity != "error")


class StartForm(forms.Form):
    """One run for each approach and seed, all on the same texts."""

    approaches = forms.MultipleChoiceField(
        choices=lambda: [
            (name, gettext("%(label)s: %(about)s") % {"label": gettext(each.label), "about": gettext(each.about)})
            for name, each in APPROACHES.items()
        ],
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": gettext_lazy("Select at least one.")},
        label=gettext_lazy("Methods"),
    )
    templates = forms.ModelMultipleChoiceField(
        label=gettext_lazy("Templates"),
        queryset=TemplateVersion.objects.none(),
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text=gettext_lazy("Trained methods use the best one on the model-selection texts; zero-shot uses all."),
    )
    verbalizer = forms.ModelChoiceField(
        label=gettext_lazy("Verbalizer"), queryset=VerbalizerVersion.objects.none(), empty_label=None
    )
    shots = forms.IntegerField(
        min_value=1,
        max_value=100_000,
        initial=16,
        label=gettext_lazy("Labelled texts per label"),
        help_text=gettext_lazy("for training, and as many for model selection"),
    )
    seeds = forms.IntegerField(
        label=gettext_lazy("Seeds"),
        min_value=1,
        max_value=20,
        initial=3,
        help_text=gettext_lazy("Each seed draws other training texts, in a run of its own."),
    )
    epochs = forms.IntegerField(
        label=gettext_lazy("Epochs"),
        min_value=1,
        max_value=1000,
        initial=PromptTuningConfig().epochs,
        help_text=gettext_lazy("Passes over these texts."),
    )

    def __init__(self, project: Project, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        for name, found in (("templates", newest_templates(project)), ("verbalizer", newest_verbalizers(project))):
            field = self.fields[name]
            assert isinstance(field, forms.ModelChoiceField)
            field.queryset = (
                type(found[0]).objects.filter(pk__in=[each.pk for each in found]) if found else field.queryset
            )
        self.initial.setdefault("templates", [template.pk for template in newest_templates(project)])
        self.initial.setdefault("approaches", ["zero_shot"])

    def settings(self) -> list[dict[str, Any]]:
        data = self.cleaned_data
        return settings_of(data["approaches"], shots=data["shots"], seeds=data["seeds"], epochs=data["epochs"])
