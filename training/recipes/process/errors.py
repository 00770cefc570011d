"""What a recipe tells the person who started the run."""

from __future__ import annotations


class RecipeError(Exception):
    """Something the person who started the run can put right. Shown as one line, without a traceback."""
