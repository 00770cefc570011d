"""Which views take files, so that every other request can be kept short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

View = TypeVar("View", bound=Callable[..., Any])


def takes_uploads(view: View) -> View:
    """Mark a view, or a view class of the API, that takes requests as long as a file; return it."""
    view._takes_uploads = True  # type: ignore[attr-defined]
    return view


def are_taken_by(view: Callable[..., Any]) -> bool:
    """Return whether the view that an address leads to was marked."""
    return any(getattr(each, "_takes_uploads", False) for each in (view, getattr(view, "cls", None)))
