"""Paths in the database that stay right when PREFLOOP_HOME moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import models


class HomePathField(models.CharField):  # type: ignore[type-arg]
    """A path: whole in Python; relative to PREFLOOP_HOME in the database where it lies in there."""

    def from_db_value(self, value: str | None, *_: Any) -> str | None:
        """Return the whole path of what the database holds."""
        return None if value is None else str(Path(settings.HOME) / value)

    def get_prep_value(self, value: Any) -> Any:
        """Return what the database holds for a path."""
        return value and in_home(str(value))


def in_home(path: str) -> str:
    """Return a path relative to PREFLOOP_HOME where it lies in there, else as it is."""
    given = Path(path)
    return str(given.relative_to(settings.HOME)) if given.is_relative_to(settings.HOME) else path
