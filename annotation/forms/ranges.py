"""Ranges of numbers, declared once on the model and shown by forms."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models


def field_with_range(field: models.Field[Any, Any], **values: Any) -> forms.Field | None:
    """Return the form's field of a model's field; one for a number has the range of the model's validators.

    For `formfield_callback` of a ModelForm: by itself Django shows neither range in the page.
    """
    limits: dict[str, Any] = {}
    if isinstance(field, (models.IntegerField, models.FloatField, models.DecimalField)):
        for validator in field.validators:
            if isinstance(validator, MinValueValidator):
                limits["min_value"] = max(validator.limit_value, limits.get("min_value", validator.limit_value))
            elif isinstance(validator, MaxValueValidator):
                limits["max_value"] = min(validator.limit_value, limits.get("max_value", validator.limit_value))
    return field.formfield(**{**limits, **values})
