"""Queries whose SQL is composed once: composing a wide one takes several times as long as asking and reading it.

Only for what every judgment asks. It reads Django's own compiler, as `ModelIterable` does for each query; the tests of
this module compare every column of every row, and so fail where another Django has it otherwise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from django.db import connections, models
from django.db.models.query import get_related_populators

_Row = TypeVar("_Row", bound=models.Model)


class Prepared(Generic[_Row]):
    """A query that is composed at its first use and then asked with other values.

    `build` gets a value for each of `kinds` (int or str) and returns the query. It is called with a mark in each
    place, which is found again among the parameters of the SQL.
    """

    def __init__(self, build: Callable[..., models.QuerySet[_Row]], **kinds: type[int] | type[str]) -> None:
        marks = {name: -1001 - number for number, name in enumerate(kinds)}
        self.build = build
        self.marks = {name: mark if kinds[name] is int else str(mark) for name, mark in marks.items()}
        self.own = threading.local()  # a compiler belongs to the connection of its thread

    def rows(self, **values: int | str) -> list[_Row]:
        """Return the rows, with those that `select_related` names."""
        if not hasattr(self.own, "compiled"):
            self.own.compiled = _Compiled(self.build(**self.marks), self.marks)
        return list(self.own.compiled.rows(values))

    def first(self, **values: int | str) -> _Row | None:
        """Return the first row; None where there is none."""
        return next(iter(self.rows(**values)), None)


class _Compiled:
    def __init__(self, query: models.QuerySet[Any], marks: dict[str, int | str]) -> None:
        self.compiler = query.query.get_compiler(using=query.db)
        self.sql, parameters = self.compiler.as_sql()
        names = {mark: name for name, mark in marks.items()}
        self.parameters = [(names.get(value), value) for value in parameters]
        missing = set(marks) - {name for name, _ in self.parameters}
        if missing or self.compiler.annotation_col_map:
            raise TypeError(f"A prepared query uses each of its values and has no annotations: {sorted(missing)}.")
        select, about = self.compiler.select, self.compiler.klass_info
        assert about is not None  # a query of rows
        self.model = about["model"]
        self.columns = slice(about["select_fields"][0], about["select_fields"][-1] + 1)
        self.names = [column[0].target.attname for column in select[self.columns]]
        self.related = get_related_populators(about, select, query.db)  # type: ignore[call-arg]  # of Django 6
        self.converters = self.compiler.get_converters([column[0] for column in select])

    def rows(self, values: dict[str, int | str]) -> Iterator[Any]:
        with connections[self.compiler.using].cursor() as cursor:
            cursor.execute(self.sql, [values[name] if name else value for name, value in self.parameters])
            found = cursor.fetchall()
        for columns in self.compiler.apply_converters(found, self.converters) if self.converters else found:
            row = self.model.from_db(self.compiler.using, self.names, columns[self.columns])
            for each in self.related:
                each.populate(columns, row)
            yield row
