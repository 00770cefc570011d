"""One page of a list from a position on: no page costs more for being far from the start.

A search, and what a person must not see, leave rows out after the database has found them, so a page is filled piece by
piece, and ends where enough was looked at; the next one goes on from there.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.translation import gettext

from annotation import words
from annotation.models import Project
from annotation.records import search
from annotation.records.blind import Viewer
from annotation.records.lists import RecordList, RecordRow, Sort

ROWS_A_PAGE = 50
AT_ONCE = 500
MOST_LOOKED_AT = 4_000  # rows for one page

RecordPosition = tuple[Any, int]


@dataclass(frozen=True)
class Query:
    """What a list is asked for: words, filters, a sort. `problem` says why it cannot be answered."""

    records: RecordList
    project: Project
    filters: Any
    sort: Sort
    text: str = ""
    problem: str = ""

    @classmethod
    def of(cls, records: RecordList, project: Project, asked: Mapping[str, Any]) -> Query:
        """Return the query of a page's parameters."""
        found = records.filter(asked, records.rows(project), project=project)
        sorts = {sort.name: sort for sort in records.sorts}
        text = str(asked.get("q", "")).strip()
        sort, problem = sorts.get(str(asked.get("sort", "")), records.sorts[0]), ""
        if text:
            if not words.asked_for(text):
                problem = gettext("The search needs letters or digits.")
            # A search finds records in the order of their ids.
            sort = Sort(sort.name, sort.label, records.search_key, sort.descending)
        if not found.form.is_valid():
            problem = " ".join(
                f"{found.form[name].label}: {' '.join(map(str, why))}" for name, why in found.form.errors.items()
            )
        return cls(records, project, found, sort, text, problem)

    @property
    def is_narrowed(self) -> bool:
        """Return whether a search or a filter leaves records out."""
        return bool(self.text) or any(value not in (None, "") for value in self.filters.form.cleaned_data.values())

    def filtered(self) -> QuerySet[Any]:
        """Return the rows that the filters let through, in no order and without details."""
        rows: QuerySet[Any] = self.filters.qs.order_by()
        return rows

    def rows(self) -> QuerySet[Any]:
        """Return the rows that the filters let through with their details, in no order."""
        return self.records.with_details(self.filtered())

    def with_details(self, ids: list[int]) -> dict[int, Any]:
        """Return the rows with these ids by their ids, with their details."""
        rows = self.records.with_details(self.records.rows(self.project).filter(pk__in=ids))
        return {row.pk: row for row in rows}

    def position_of(self, row: RecordRow) -> RecordPosition:
        return getattr(row, self.sort.field), row.pk


@dataclass
class RecordPage:
    """`next` and `previous` are positions as the address has them; empty where there is no such page.

    Rows that this person may still annotate are not counted: of a search by a version, the number would tell whose
    response it is.
    """

    rows: list[RecordRow] = field(default_factory=list)
    next: str = ""
    previous: str = ""
    is_cut: bool = False


class Walk:
    """The rows of a query that a person may see, from a position on, in the order of the sort or against it.

    `most` ends it where so many rows were looked at; without it all rows come.
    """

    def __init__(
        self,
        query: Query,
        viewer: Viewer,
        *,
        start: RecordPosition | None = None,
        backwards: bool = False,
        most: int | None = None,
    ) -> None:
        self.query, self.viewer, self.start, self.most = query, viewer, start, most
        self.at_once = ROWS_A_PAGE + 1 if most else AT_ONCE
        self.descending = query.sort.descending != backwards
        self.looked_at = 0
        self.last: RecordPosition | None = None

    def __iter__(self) -> Iterator[RecordRow]:
        position = self.start
        while not self.is_over and (rows := self._piece(position)):
            self.at_once = AT_ONCE
            position = self.query.position_of(rows[-1])
            hidden = self.query.records.hidden(self.viewer, rows)
            for row in rows:
                self.looked_at += 1
                self.last = self.query.position_of(row)
                if row.pk not in hidden:
                    yield row

    def _piece(self, position: RecordPosition | None) -> list[RecordRow]:
        return self._found(position) if self.query.text else self._listed(position)

    def _listed(self, position: RecordPosition | None) -> list[RecordRow]:
        name, sign = self.query.sort.field, "-" if self.descending else ""
        rows = self.query.filtered()
        if position:
            value, pk = position
            beyond = "lt" if self.descending else "gt"
            if name == "id":
                rows = rows.filter(**{f"id__{beyond}": pk})
            else:  # a range that an index starts at, and of its first value only what comes after
                same = Q(**{name: value, f"id__{'gte' if self.descending else 'lte'}": pk})
                rows = rows.filter(~same, **{f"{name}__{beyond}e": value})
        order = [f"{sign}{name}"] if name == "id" else [f"{sign}{name}", f"{sign}id"]
        # First the ids, then what belongs to them: with joins a planner may sort the whole list instead of an index.
        ids = list(rows.order_by(*order).values_list("pk", flat=True)[: self.at_once])
        found = self.query.with_details(ids)
        return [found[pk] for pk in ids if pk in found]

    def _found(self, position: RecordPosition | None) -> list[RecordRow]:
        """Return the rows of the next ids that the search finds and the filters let through."""
        records, after = self.query.records, position[0] if position else None
        while ids := search.find(
            records.indexes,
            self.query.project.pk,
            self.query.text,
            after=after,
            limit=self.at_once,
            newest_first=self.descending,
        ):
            after, self.at_once = ids[-1], AT_ONCE
            self.looked_at += len(ids)
            rows = list(self.query.rows().filter(**{f"{records.search_key}__in": ids}))
            if rows:
                place = {pk: at for at, pk in enumerate(ids)}
                rows.sort(key=lambda row: (place[getattr(row, records.search_key)], row.pk))
                return rows
            self.last = (after, after)
            if self.is_over:
                break
        return []

    @property
    def is_over(self) -> bool:
        """Return whether enough was looked at for one page."""
        return self.most is not None and self.looked_at >= self.most


def page_of(query: Query, viewer: Viewer, asked: Mapping[str, Any]) -> RecordPage:
    """Return the page that an address asks for: `after` or `before` a position, or the first one."""
    page = RecordPage()
    if query.problem:
        return page
    before, after = _decoded(asked.get("before")), _decoded(asked.get("after"))
    walk = Walk(query, viewer, start=before or after, backwards=bool(before), most=MOST_LOOKED_AT)
    more = False
    for row in walk:
        if len(page.rows) >= ROWS_A_PAGE and not _same_key(query, page.rows[-1], row):
            more = True
            break
        page.rows.append(row)
    page.is_cut = not more and walk.is_over
    ends = [query.position_of(page.rows[0]), query.position_of(page.rows[-1])] if page.rows else []
    if before:
        page.rows.reverse()
        ends.reverse()
    on = _encoded(walk.last) if page.is_cut and walk.last else _encoded(ends[1]) if ends else ""
    if before:
        page.next = _encoded(ends[1]) if ends else ""
        page.previous = _encoded(ends[0]) if ends and more else ""
    else:
        page.next = on if more or page.is_cut else ""
        page.previous = _encoded(ends[0]) if ends and after else ""
    return page


def _same_key(query: Query, row: RecordRow, other: RecordRow) -> bool:
    """Return whether a search that finds several rows by one key found both: a page does not part them."""
    key = query.records.search_key
    return bool(query.text) and key != "id" and getattr(row, key) == getattr(other, key)


def _encoded(position: RecordPosition) -> str:
    value, pk = position
    plain = [value.isoformat() if isinstance(value, datetime) else value, pk]
    return base64.urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=")


def _decoded(text: str | None) -> RecordPosition | None:
    """Return the position of an address; None for the first page, and for what no page has written."""
    if not text:
        return None
    try:
        value, pk = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        return (value, pk) if type(pk) is int and abs(pk) < 2**63 and _fits(value) else None
    except (ValueError, TypeError, binascii.Error, RecursionError):
        return None


def _fits(value: Any) -> bool:
    return isinstance(value, datetime) or (type(value) is int and abs(value) < 2**63)
