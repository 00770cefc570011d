"""Ids of the records that contain words, in the order of their ids, a few at a time."""

from __future__ import annotations

from typing import Any

from django.db import connection

from annotation import words
from annotation.models.words import Indexed


def find(
    indexes: tuple[Indexed, ...], project: int, text: str, *, after: int | None, limit: int, newest_first: bool = True
) -> list[int]:
    """Return ids of rows whose text has the words of a search, at most `limit`, beyond the id `after`.

    Indexes without a project also find rows of others; who asks leaves those out.
    """
    query = words.for_sqlite(text) if connection.vendor == "sqlite" else words.for_postgres(text)
    if not query:
        return []
    statement = _sqlite if connection.vendor == "sqlite" else _postgres
    found: set[int] = set()
    for index in indexes:
        sql, parameters = statement(index, project, query, after, newest_first)
        with connection.cursor() as cursor:
            cursor.execute(f"{sql} LIMIT {limit:d}", parameters)
            found.update(row[0] for row in cursor.fetchall())
    return sorted(found, reverse=newest_first)[:limit]


def _sqlite(index: Indexed, project: int, query: str, after: int | None, newest_first: bool) -> tuple[str, list[Any]]:
    asked = f"words : ({query})"
    if index.project:
        asked = f"project : p{project} AND {asked}"
    parameters: list[Any] = [asked]
    sql = f"SELECT rowid FROM {index.fts} WHERE {index.fts} MATCH %s"
    if after is not None:
        sql, parameters = f"{sql} AND rowid {'<' if newest_first else '>'} %s", [*parameters, after]
    return f"{sql} ORDER BY rowid {'DESC' if newest_first else 'ASC'}", parameters


def _postgres(index: Indexed, project: int, query: str, after: int | None, newest_first: bool) -> tuple[str, list[Any]]:
    sql = f"SELECT t.{index.key} FROM {index.table} t WHERE {index.vector} @@ to_tsquery('pg_catalog.simple', %s)"
    parameters: list[Any] = [query]
    if index.project:
        sql, parameters = f"{sql} AND t.{index.project} = %s", [*parameters, project]
    if after is not None:
        sql, parameters = f"{sql} AND t.{index.key} {'<' if newest_first else '>'} %s", [*parameters, after]
    return f"{sql} ORDER BY t.{index.key} {'DESC' if newest_first else 'ASC'}", parameters
