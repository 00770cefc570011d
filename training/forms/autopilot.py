from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext, gettext_lazy

from annotation.forms.ranges import field_with_range
from training.methods.plans import plans
from training.methods.presets import PRESETS
from training.models import Autopilot


class LikeField(forms.ModelChoiceField):  # type: ignore[type-arg]
    def label_from_instance(self, obj: Any) -> str:
        stages = ", ".join(run.label for run in obj.runs.all())
        return gettext("Round %(number)s: %(stages)s") % {"number": obj.number, "stages": stages}


class AutopilotForm(forms.ModelForm):  # type: ignore[type-arg]
    """On or off, for what cause, on what plan."""

    plan = forms.ChoiceField(
        choices=lambda: [(name, gettext(label)) for name, label in plans().items()], label=gettext_lazy("Plan")
    )
    preset = forms.ChoiceField(
        choices=lambda: [(name, gettext(label)) for name, label in PRESETS.items()], label=gettext_lazy("Effort")
    )

    class Meta:
        model = Autopilot
        formfield_callback = field_with_range
        fields = ["enabled", "every_judgments", "every_days", "plan", "preset", "like", "max_queue_hours"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rounds = self.instance.project.rounds.prefetch_related("runs")
        self.fields["like"] = LikeField(
            rounds.order_by("-number"),
            required=False,
            label=self.fields["like"].label,
            help_text=self.fields["like"].help_text,
            empty_label=gettext_lazy("No round: the effort decides"),
            to_field_name="number",
        )
        self.initial["like"] = self.instance.like.number if self.instance.like else None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("enabled") and not data.get("every_judgments") and not data.get("every_days"):
            self.add_error(
                "every_judgments", gettext("Give a number of new annotations or of days; otherwise no round starts.")
            )
        return data
