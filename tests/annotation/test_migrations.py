"""Data that a migration copies: an old database goes through it and nothing that people said is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent.parent
# In a process of its own: the tests' database must not go back in time.
SCRIPT = """
import django
django.setup()
from datetime import UTC, datetime
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

before = [("annotation", "0013_seat_number")]
executor = MigrationExecutor(connection)
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


def test_the_pairs_of_old_databases_become_judgments(tmp_path) -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "frontend.settings",
        "PREFLOOP_HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    environment.pop("DATABASE_URL", None)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment, cwd=ROOT, check=False
    )
    assert done.stdout.strip() == "copied 2", done.stderr
