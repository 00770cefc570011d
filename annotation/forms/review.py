"""What reviewers fill in."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext, gettext_lazy

from annotation.models import Adjudication, Completion


class AdjudicationForm(forms.Form):
    """A place for every answer (the same place is a tie), a mark for the unacceptable ones, and why."""

    note = forms.CharField(
        required=False, max_length=5000, label=gettext_lazy("Why this order?"), widget=forms.Textarea(attrs={"rows": 3})
    )

    def __init__(
        self, candidates: list[Completion], data: Any = None, *, suggested: Adjudication | list[list[int]] | None = None
    ) -> None:
        super().__init__(data)
        self.ids = [completion.pk for completion in candidates]
        standing = suggested if isinstance(suggested, Adjudication) else None
        tiers: list[list[int]] = suggested.tiers if isinstance(suggested, Adjudication) else suggested or []
        place = {pk: number for number, tier in enumerate(tiers, start=1) for pk in tier}
        numbers = [(number, str(number)) for number in range(1, len(self.ids) + 1)]
        for number, pk in enumerate(self.ids, start=1):
            self.fields[f"place_{pk}"] = forms.TypedChoiceField(
                choices=numbers,
                coerce=int,
                initial=place.get(pk),
                label=gettext("Rank of response %(number)s") % {"number": number},
            )
            self.fields[f"below_{pk}"] = forms.BooleanField(
                required=False,
                initial=bool(standing and pk in standing.unacceptable),
                label=gettext("Response %(number)s is unacceptable") % {"number": number},
            )
        if standing:
            self.fields["note"].initial = standing.note

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if self.errors:
            return data
        places = {pk: data[f"place_{pk}"] for pk in self.ids}
        below = [pk for pk in self.ids if data[f"below_{pk}"]]
        acceptable = [places[pk] for pk in self.ids if pk not in below]
        if below and acceptable and min(places[pk] for pk in below) <= max(acceptable):
            raise forms.ValidationError(gettext("Unacceptable responses have to be ranked below all others."))
        data["tiers"] = [[pk for pk in self.ids if places[pk] == place] for place in sorted(set(places.values()))]
        data["unacceptable"] = below
        return data


class UnaryAdjudicationForm(forms.Form):
    """Whether the only response is good or bad, and why; as an order of one response for the action."""

    good = forms.ChoiceField(
        choices=[("true", gettext_lazy("Good")), ("false", gettext_lazy("Bad"))],
        widget=forms.RadioSelect,
        error_messages={"required": gettext_lazy("Choose good or bad.")},
    )
    note = forms.CharField(
        required=False, max_length=5000, label=gettext_lazy("Why?"), widget=forms.Textarea(attrs={"rows": 3})
    )

    def __init__(self, response: Completion, data: Any = None, *, suggested: Adjudication | bool | None = None) -> None:
        super().__init__(data)
        self.response = response
        if isinstance(suggested, Adjudication):
            self.fields["note"].initial = suggested.note
            suggested = response.pk not in suggested.unacceptable
        if suggested is not None:
            self.fields["good"].initial = "true" if suggested else "false"

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if "good" in data:
            data["tiers"] = [[self.response.pk]]
            data["unacceptable"] = [] if data["good"] == "true" else [self.response.pk]
        return data


class KnownForm(forms.Form):
    note = forms.CharField(
        required=False,
        max_length=5000,
        label=gettext_lazy("What should annotators learn from it?"),
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    practice = forms.BooleanField(required=False, label=gettext_lazy("Use it for qualification"))
