"""The records that a bulk action or an export is about: those that were ticked, or all that a query finds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from django.contrib.auth.models import User
from django.utils.translation import gettext

from annotation import pseudonyms
from annotation.errors import NotPossible
from annotation.records.blind import Viewer
from annotation.records.lists import RecordRow
from annotation.records.paging import Query, Walk

MOST_CHANGED = 10_000  # records of one bulk action
AT_ONCE = 500


def ticked(query: Query, viewer: Viewer, ids: Iterable[int]) -> Iterator[RecordRow]:
    """Yield the rows with these ids, without those that the person must not see."""
    rows = list(query.records.with_details(query.records.rows(query.project)).filter(pk__in=list(ids)).order_by("pk"))
    hidden = query.records.hidden(viewer, rows)
    yield from (row for row in rows if row.pk not in hidden)


def to_change(query: Query, viewer: Viewer, ids: list[int], *, everything: bool) -> list[Any]:
    """Return the rows to change. Raises NotPossible for none, and for more than one action takes."""
    found = iter(Walk(query, viewer)) if everything and not query.problem else ticked(query, viewer, ids)
    rows = list(islice(found, MOST_CHANGED + 1))
    if not rows:
        raise NotPossible(query.problem or gettext("Select at least one record."))
    if len(rows) > MOST_CHANGED:
        raise NotPossible(
            gettext("More than %(most)s records match, so nothing was changed. Filter them further, in parts.")
            % {"most": f"{MOST_CHANGED:,}"}
        )
    return rows


def to_export(query: Query, viewer: Viewer, ids: list[int], *, everything: bool) -> Iterator[dict[str, Any]]:
    """Yield the rows to export, as a file has them."""
    found = iter(Walk(query, viewer)) if everything or not ids else ticked(query, viewer, ids)
    while rows := list(islice(found, AT_ONCE)):
        blind = viewer.hidden_among(rows) if query.records.name == "tasks" else set()
        for row in rows:
            yield _named(query.records.exported(row, blind=row.pk in blind), row, viewer)


def _named(exported: dict[str, Any], row: Any, viewer: Viewer) -> dict[str, Any]:
    """Return an exported row with the names that its reader sees on pages; a file is written after its request."""
    for column in ("author", "annotator"):
        person = getattr(row, column, None)
        if column in exported and isinstance(person, User) and not viewer.is_admin and person.pk != viewer.user.pk:
            exported[column] = pseudonyms.pseudonym(viewer.project.pk, person.pk)
    return exported
