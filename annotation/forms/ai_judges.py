"""Forms of AI judges."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext, gettext_lazy

from annotation.actions import ai_judges
from annotation.forms.ranges import field_with_range
from annotation.judging.verdicts import DEFAULT_RUBRIC
from annotation.models import AIJudge, AIJudgeVersion
from annotation.models.ai_judge import LONGEST_RUBRIC, MOST_PAIRS, VERSION_FIELDS


class AIJudgeVersionForm(forms.ModelForm):  # type: ignore[type-arg]
    """What a version is. The servers are those that the operator lists."""

    server = forms.ChoiceField(label=gettext_lazy("Model server"))
    field_order = ("name", "server", "model", "rubric")

    class Meta:
        model = AIJudgeVersion
        formfield_callback = field_with_range
        fields = VERSION_FIELDS
        widgets: ClassVar = {"rubric": forms.Textarea({"rows": 10, "maxlength": LONGEST_RUBRIC})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        listed = ai_judges.servers()
        self.fields["server"].choices = [(url, url) for url in listed]  # type: ignore[attr-defined]
        self.fields["server"].error_messages["required"] = gettext("The operator of this server lists none.")
        self.fields["rubric"].max_length = LONGEST_RUBRIC  # type: ignore[attr-defined]
        self.fields["rubric"].initial = DEFAULT_RUBRIC

    def clean_rubric(self) -> str:
        rubric: str = self.cleaned_data["rubric"].replace("\r\n", "\n").strip()
        if len(rubric) > LONGEST_RUBRIC:
            raise forms.ValidationError(
                gettext("A rubric has %(most)s characters at most.") % {"most": f"{LONGEST_RUBRIC:,}"}
            )
        return rubric


class AIJudgeForm(AIJudgeVersionForm):
    """A new judge: its name and its first version."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=100)


class PricesForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = AIJudge
        formfield_callback = field_with_range
        fields = ["input_price", "output_price"]

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        prices = [found.get("input_price"), found.get("output_price")]
        if not self.errors and (prices[0] is None) != (prices[1] is None):
            raise forms.ValidationError(gettext("Give both prices, or neither."))
        return found


class StartRunForm(forms.Form):
    pairs = forms.IntegerField(
        label=gettext_lazy("Pairs"),
        min_value=1,
        max_value=MOST_PAIRS,
        initial=200,
        help_text=gettext_lazy("At most. Each pair is asked in both orders, one in ten of them twice."),
    )


class TakeOverForm(forms.Form):
    """A takeover of a slice; an empty dimension is all pairs."""

    pairs = forms.IntegerField(
        label=gettext_lazy("Pairs"),
        min_value=1,
        max_value=MOST_PAIRS,
        initial=200,
        help_text=gettext_lazy("At most. Each pair is asked in both orders."),
    )
    dimension = forms.CharField(max_length=20, required=False, widget=forms.HiddenInput)
    value = forms.CharField(max_length=100, required=False, widget=forms.HiddenInput)
    audit_share = forms.FloatField(
        label=gettext_lazy("Left to people"),
        min_value=0.01,
        max_value=1,
        initial=0.1,
        help_text=gettext_lazy("Share of the tasks, drawn at random, that the judge is not asked about."),
        widget=forms.NumberInput(attrs={"step": "0.01"}),
    )
