from __future__ import annotations

from typing import Any

from django import forms

from training.forms import PLANS
from training.models import Autopilot
from training.presets import PRESETS


class AutopilotForm(forms.ModelForm):  # type: ignore[type-arg]
    """On or off, for what cause, on what plan."""

    plan = forms.ChoiceField(choices=list(PLANS.items()), label="What to run")
    preset = forms.ChoiceField(choices=[(name, each.label) for name, each in PRESETS.items()], label="How thoroughly")

    class Meta:
        model = Autopilot
        fields = ["enabled", "every_judgments", "every_days", "plan", "preset", "max_queue_hours"]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("enabled") and not data.get("every_judgments") and not data.get("every_days"):
            self.add_error("every_judgments", "Give a number of new judgments or of days, or nothing would ever start.")
        return data
