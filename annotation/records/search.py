"""Ids of the records that contain words, in the order of their ids, a few at a time."""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction

from annotation import words
from annotation.models.words import Indexed

FEW, FEW_PHRASES = 20_000, 1_000  # rows that match


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
        if connection.vendor == "postgresql" and (few := _if_few(index, project, query)) is not None:
            found.update(key for key in few if after is None or (key < after if newest_first else key > after))
            continue
        sql, parameters = statement(index, project, query, after, newest_first)
        with connection.cursor() as cursor:
            cursor.execute(f"{sql} LIMIT {limit:d}", parameters)
            found.update(row[0] for row in cursor.fetchall())
    return sorted(found, reverse=newest_first)[:limit]


def _if_few(index: Indexed, project: int, query: str) -> list[int] | None:
    """Return the ids of all rows that match on PostgreSQL; None where they are many.

    Few are quickest found by the GIN index and sorted afterwards, many by walking along the ids until there are enough.
    Left alone, the planner walks for rare words too, and computes the words of every row. Phrases are looked up in the
    rows themselves after the index, so fewer of them are few.
    """
    most = FEW_PHRASES if "<->" in query else FEW
    sql, parameters = _matching(index, project, query)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_indexscan = off")
        cursor.execute("SET LOCAL enable_indexonlyscan = off")
        cursor.execute(f"{sql} LIMIT {most + 1:d}", parameters)
        keys = [row[0] for row in cursor.fetchall()]
        for name in ("enable_seqscan", "enable_indexscan", "enable_indexonlyscan"):
            cursor.execute(f"SET LOCAL {name} TO DEFAULT")  # of a transaction that is around this one
    return keys if len(keys) <= most else None


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
    sql, parameters = _matching(index, project, query)
    if after is not None:
        sql, parameters = f"{sql} AND t.{index.key} {'<' if newest_first else '>'} %s", [*parameters, after]
    return f"{sql} ORDER BY t.{index.key} {'DESC' if newest_first else 'ASC'}", parameters


def _matching(index: Indexed, project: int, query: str) -> tuple[str, list[Any]]:
    sql = f"SELECT t.{index.key} FROM {index.table} t WHERE {index.vector} @@ to_tsquery('pg_catalog.simple', %s)"
    parameters: list[Any] = [query]
    if index.project:
        sql, parameters = f"{sql} AND t.{index.project} = %s", [*parameters, project]
    return sql, parameters
