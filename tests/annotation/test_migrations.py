"""Old databases: one goes through each step, nothing that people said is lost, and it ends with a new one's tables."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
import uuid
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from tests.tables import postgresql_tables, sqlite_tables

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent.parent
# In a process of its own: the tests' database must not go back in time.
SCRIPT = """
import django
django.setup()
from datetime import UTC, datetime
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

before = [("annotation", "0013_seat_number"), ("training", "0005_gate")]
executor = MigrationExecutor(connection)
executor.loader.replace_migrations = False  # the steps, not the migration that stands for them in a new database
executor.loader.build_graph()
executor.migrate(before)
old = executor.loader.project_state(before).apps
make = lambda kind, **values: old.get_model("annotation", kind).objects.create(**values)
project = make("Project", name="Old", slug="old", guidelines="")
prompt = make("Prompt", project=project, messages=[{"role": "user", "content": "Hi"}], digest="d", split="train")
answer = lambda text, number: make(
    "Completion", prompt=prompt, source="imported", text=text, origin="import", index=number
)
one, two, three = answer("One.", 0), answer("Two.", 1), answer("Three.", 2)
first = make("ImportedPreference", prompt=prompt, chosen=two, rejected=one, margin=0.25)
make("ImportedPreference", prompt=prompt, chosen=two, rejected=three)
old.get_model("annotation", "ImportedPreference").objects.filter(pk=first.pk).update(
    created_at=datetime(2025, 1, 2, tzinfo=UTC)
)
executor = MigrationExecutor(connection)
executor.migrate(executor.loader.graph.leaf_nodes())
# A database that has taken all steps asks for nothing, whether the migration that stands for them is noted or not.
noted = MigrationRecorder.Migration.objects.filter(name__contains="_squashed_")
assert {each.app for each in noted} == {"annotation", "training"}, list(noted)
noted.delete()
executor = MigrationExecutor(connection)
assert not executor.migration_plan(executor.loader.graph.leaf_nodes())

import json
from annotation.actions.prompts import import_prompts
from annotation.imports import parse_prompts
from annotation.models import ImportedJudgment, Project
found = list(ImportedJudgment.objects.order_by("pk"))
assert [each.tiers for each in found] == [[[two.pk], [one.pk]], [[two.pk], [three.pk]]], found
assert [each.margin for each in found] == [0.25, None]
assert found[0].created_at == datetime(2025, 1, 2, tzinfo=UTC)
assert [each.group for each in found] == [
    ImportedJudgment.group_of([one.pk, two.pk]), ImportedJudgment.group_of([two.pk, three.pk])
]
# The same file again brings nothing new: the copies have the digests that an import gives.
from annotation.models import Prompt
Prompt.objects.update(digest=Prompt.digest_of([{"role": "user", "content": "Hi"}]))
row = {"prompt": "Hi", "chosen": "Two.", "rejected": "One.", "margin": 0.25}
parsed = parse_prompts((json.dumps(row) + chr(10)).encode(), "rows.jsonl")
report = import_prompts(project=Project.objects.get(), parsed=parsed, by=None)
assert (report.taken, len(report.duplicates)) == (0, 1), report
print("copied", len(found))
"""


SCHEMA = {
    "sqlite": """SELECT type, name, tbl_name, sql FROM sqlite_master
        WHERE sql IS NOT NULL AND name NOT LIKE 'annotation_words_%' AND name NOT LIKE 'sqlite_%'""",
    "postgresql": """
        SELECT table_name, column_name, concat_ws(' ', udt_name, character_maximum_length, is_nullable, is_identity),
            column_default FROM information_schema.columns WHERE table_schema = 'public'
        UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), ''
            FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT tablename, indexname, indexdef, '' FROM pg_indexes
            WHERE schemaname = 'public' AND indexname NOT LIKE 'annotation_words_%'
        UNION ALL SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), ''
            FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT 'function', proname, btrim(prosrc), '' FROM pg_proc
            WHERE pronamespace = 'public'::regnamespace AND proname NOT LIKE 'prefloop_words%'""",
}


def test_an_old_database_takes_all_steps_and_has_the_tables_of_a_new_one(tmp_path) -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "frontend.settings",
        "PREFLOOP_HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    environment.pop("REDIS_URL", None)
    if connection.vendor == "postgresql":
        server = os.environ["DATABASE_URL"].rpartition("/")[0]
        name = f"old_{uuid.uuid4().hex}"
        with psycopg.connect(f"{server}/postgres", autocommit=True) as command:
            command.execute(f"CREATE DATABASE {name}")  # goes with the server of the tests
        environment["DATABASE_URL"] = f"{server}/{name}"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment, cwd=ROOT, check=False
    )
    assert done.stdout.strip() == "copied 2", done.stderr
    if connection.vendor == "postgresql":
        with (
            psycopg.connect(f"{server}/{name}") as old,
            psycopg.connect(f"{server}/{postgresql_tables(os.environ['DATABASE_URL'])}") as new,
        ):
            found, expected = _postgresql_schema(old), _postgresql_schema(new)
    else:
        found, expected = (_sqlite_schema(file) for file in (tmp_path / "db.sqlite3", sqlite_tables()))
    assert found - expected == set()
    assert expected - found == set()


def _postgresql_schema(database: psycopg.Connection) -> set[tuple[str, ...]]:
    """Return what the tables are made of; names that Django makes out of a table's stay when the table is renamed."""
    made = r"\b(annotation|training)_\w+_([0-9a-f]{8}(_\w+)?|pkey|key|check)\b"
    return {tuple(re.sub(made, "", part or "") for part in row) for row in database.execute(SCHEMA["postgresql"])}


def _sqlite_schema(file: Path) -> set[tuple[str, ...]]:
    """Return what the tables of a file are made of, one entry for each column, constraint, index and trigger."""
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        rows = database.execute(SCHEMA["sqlite"]).fetchall()
    parts: set[tuple[str, ...]] = set()
    for kind, name, table, statement in rows:
        clauses = _clauses(statement) if kind == "table" else [statement]
        parts |= {(kind, name, table, clause) for clause in clauses}
    return parts


def _clauses(statement: str) -> list[str]:
    """Return columns and constraints of a CREATE TABLE; their order is another where some were added later."""
    clauses, depth, quoted = [""], 0, False
    for sign in statement[statement.index("(") + 1 : statement.rindex(")")]:
        quoted ^= sign == "'"
        depth += 0 if quoted else (sign == "(") - (sign == ")")
        if sign == "," and not (quoted or depth):
            clauses.append("")
        else:
            clauses[-1] += sign
    return [clause.strip() for clause in clauses]
