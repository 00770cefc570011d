"""The search index: FTS5 tables kept by triggers on SQLite, GIN indexes over tsvectors on PostgreSQL.

On SQLite a migration that rebuilds a table drops its triggers without a word. `ensure` runs after each `migrate`, puts
them back and builds the index of that table anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from annotation import words


@dataclass(frozen=True)
class Indexed:
    """A column of text that can be searched. `key` is the column of the id that a search finds.

    `project` is the column of the project, or empty where the row does not know it.
    """

    name: str
    table: str
    column: str
    key: str = "id"
    project: str = "project_id"
    is_messages: bool = False

    @property
    def fts(self) -> str:
        return f"annotation_words_{self.name}"

    def values(self, row: str) -> str:
        """Return id, words and project of a row, as SQLite inserts them."""
        function = "prefloop_words_of_messages" if self.is_messages else "prefloop_words"
        project = f"'p' || {row}.{self.project}" if self.project else "''"
        return f"{row}.{self.key}, {function}({row}.{self.column}), {project}"

    @property
    def vector(self) -> str:
        """Return the tsvector of a row on PostgreSQL, of the table under the name `t`."""
        return f"prefloop_words(t.{self.column})"


PROMPTS = Indexed("prompt", "annotation_prompt", "messages", is_messages=True)
RESPONSES = Indexed("response", "annotation_completion", "text")
LABELLED = Indexed("labelled", "annotation_importedlabel", "text")
RATIONALES = Indexed("rationale", "annotation_ranking", "rationale", key="assignment_id", project="")
COMMENTS = Indexed("comment", "annotation_label", "comment", key="assignment_id", project="")
UNARY = Indexed("unary", "annotation_unaryjudgment", "comment", key="assignment_id", project="")
ALL = (PROMPTS, RESPONSES, LABELLED, RATIONALES, COMMENTS, UNARY)


def ensure(connection: Any) -> None:
    """Create what is missing of the search index, and fill it; of a schema of an older version what it has."""
    (_ensure_sqlite if connection.vendor == "sqlite" else _ensure_postgres)(connection, _known(connection))


def _known(connection: Any) -> list[Indexed]:
    """Return the columns of text that the database has; while it is migrated step by step some are not there yet."""
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
        columns = {
            table: {column.name for column in connection.introspection.get_table_description(cursor, table)}
            for table in {each.table for each in ALL} & tables
        }
    return [each for each in ALL if {each.column, each.key, each.project} - {""} <= columns.get(each.table, set())]


def drop(connection: Any) -> None:
    """Remove the search index."""
    with connection.cursor() as cursor:
        for each in ALL:
            if connection.vendor == "sqlite":
                for event in ("insert", "delete", "update"):
                    cursor.execute(f"DROP TRIGGER IF EXISTS {each.fts}_{event}")
                cursor.execute(f"DROP TABLE IF EXISTS {each.fts}")
            else:
                cursor.execute(f"DROP INDEX IF EXISTS {each.fts}")
        if connection.vendor != "sqlite":
            cursor.execute("DROP FUNCTION IF EXISTS prefloop_words(text)")
            cursor.execute("DROP FUNCTION IF EXISTS prefloop_words(jsonb)")


def _ensure_sqlite(connection: Any, known: list[Indexed]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE name LIKE 'annotation_words_%'")
        there = {row[0] for row in cursor.fetchall()}
        for each in known:
            triggers = _triggers(each)
            if each.fts not in there:
                tokenizer = "unicode61 remove_diacritics 0 categories 'L* N* M* Co'"
                cursor.execute(
                    f"CREATE VIRTUAL TABLE {each.fts} USING fts5(words, project, content='', tokenize=\"{tokenizer}\")"
                )
            if set(triggers) <= there:
                continue
            for name, statement in triggers.items():
                if name not in there:
                    cursor.execute(statement)
            cursor.execute(f"INSERT INTO {each.fts}({each.fts}) VALUES ('delete-all')")
            cursor.execute(
                f"INSERT INTO {each.fts}(rowid, words, project) SELECT {each.values('t')} FROM {each.table} t"
                f" WHERE t.{each.column} <> ''"
            )


def _triggers(each: Indexed) -> dict[str, str]:
    """Return the triggers of a table by name. An empty text has no row in the index."""
    add = f"INSERT INTO {each.fts}(rowid, words, project) SELECT {each.values('new')} WHERE new.{each.column} <> ''"
    take = (
        f"INSERT INTO {each.fts}({each.fts}, rowid, words, project) SELECT 'delete', {each.values('old')}"
        f" WHERE old.{each.column} <> ''"
    )
    return {
        f"{each.fts}_insert": f"CREATE TRIGGER {each.fts}_insert AFTER INSERT ON {each.table} BEGIN {add}; END",
        f"{each.fts}_delete": f"CREATE TRIGGER {each.fts}_delete AFTER DELETE ON {each.table} BEGIN {take}; END",
        f"{each.fts}_update": (
            f"CREATE TRIGGER {each.fts}_update AFTER UPDATE OF {each.column} ON {each.table} BEGIN {take}; {add}; END"
        ),
    }


def _ensure_postgres(connection: Any, known: list[Indexed]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM pg_collation WHERE collname = 'und-x-icu')")
        collation = 'COLLATE pg_catalog."und-x-icu"' if cursor.fetchone()[0] else ""
        messages = "(SELECT string_agg(m ->> 'content', chr(10)) FROM jsonb_array_elements($1) m)"
        for kind, text in (("text", "$1"), ("jsonb", messages)):
            cursor.execute(_function(kind, text, collation))
        for each in known:
            cursor.execute(
                f"CREATE INDEX IF NOT EXISTS {each.fts} ON {each.table} USING gin (prefloop_words({each.column}))"
            )


def _function(kind: str, text: str, collation: str) -> str:
    """Return a function that gives the words of a value as a tsvector, as `annotation.words` finds them.

    It names nothing outside pg_catalog: a restored dump builds the index with an empty search path. Its cost tells the
    planner to use the index for rare words; in SQL it would be inlined, and its cost unknown.
    """
    lower = f"lower(left({text}, {words.MOST_CHARACTERS}) {collation})"
    apart = f"regexp_replace({lower}, '[{words.SEPARATORS}]+', ' ', 'g')"
    alone = f"regexp_replace({apart}, '([{words.ALONE}])', ' \\1 ', 'g')"
    return (
        f"CREATE OR REPLACE FUNCTION prefloop_words({kind}) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE"
        " COST 1000 AS $body$ BEGIN"
        f" RETURN to_tsvector('pg_catalog.simple'::regconfig, coalesce({alone}, '')); END $body$"
    )
