"""The form of hourly rates on the page Costs."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy

MOST_AN_HOUR = 1_000_000_000  # in any currency


class RatesForm(forms.Form):
    """What an hour costs. In the address of the page, so that a link keeps it and nothing is stored."""

    hour = forms.FloatField(
        label=gettext_lazy("Cost per annotator hour"), min_value=0, max_value=MOST_AN_HOUR, required=False
    )
    machine = forms.FloatField(
        label=gettext_lazy("Cost per machine hour"), min_value=0, max_value=MOST_AN_HOUR, required=False
    )
