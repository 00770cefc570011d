"""How long each list of the data browser takes as a project grows: milliseconds of whole pages, as an admin sees them.

    python benchmarks/data_browser.py [--rows 10000 100000 1000000] [--database URL] [--repeats 5]

At each size the project has as many prompts, responses, tasks, annotations and labelled texts. Every list is asked for
its first page, a page from its middle, and by search and filters. A database that is named must be empty. Prints one
JSON line for each list and size, with the median of the repeats, whose limit is 300 ms, and the fastest of them, which
a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT_MS = 300
NUMBERS = "WITH RECURSIVE numbers(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM numbers WHERE i < {last}) "
# One text in ten is Chinese, one in a thousand has a rare word; all have a common one.
TEXT = (
    "CASE WHEN i % 10 = 0 THEN 'question ' || i || ' 北京今天的天气怎么样？' ELSE 'question ' || i || "
    "' about cooking a meal for guests who like soup and bread' END ||"
    " CASE WHEN i % 1000 = 7 THEN ' zanzibar' ELSE '' END"
)
ASKED = {
    "prompts": {
        "first": {},
        "rare word": {"q": "zanzibar"},
        "common word": {"q": "question"},
        "Chinese": {"q": "天气"},
        "held out": {"split": "eval"},
        "category": {"category": "c3"},
        "search in a split": {"q": "soup", "split": "eval"},
    },
    "responses": {
        "first": {},
        "rare word": {"q": "zanzibar"},
        "common word": {"q": "question"},
        "Chinese": {"q": "天气"},
        "truncated": {"truncated": "yes"},
        "version": {"version": "{policy}"},
    },
    "annotations": {
        "first": {},
        "oldest": {"sort": "oldest"},
        "annotator": {"annotator": "{person}"},
        "kind": {"kind": "ranking"},
        "rationale": {"q": "zanzibar"},
    },
    "labels": {"first": {}, "Chinese": {"q": "天气"}, "label": {"label": "l3"}},
    "tasks": {
        "first": {},
        "priority": {"sort": "priority"},
        "open": {"state": "open"},
        "prompt": {"q": "zanzibar"},
    },
    "references": {"first": {}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--database", default="", help="URL of an empty database (default: SQLite)")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="prefloop-records-") as home:
        os.environ.update(PREFLOOP_HOME=home, DJANGO_SETTINGS_MODULE="frontend.settings")
        os.environ.pop("DATABASE_URL", None)
        if options.database:
            os.environ["DATABASE_URL"] = options.database
        sys.path.insert(0, str(ROOT))
        import django

        django.setup()
        from django.conf import settings
        from django.core.management import call_command
        from django.db import connection

        settings.STORAGES = {
            **settings.STORAGES,
            "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
        }
        settings.ALLOWED_HOSTS.append("testserver")
        call_command("migrate", verbosity=0)
        project, client, values = set_up()
        there = 0
        for rows in sorted(options.rows):
            began = time.perf_counter()
            grow(project.pk, values, there + 1, rows)
            there = rows
            print(f"{rows:,} rows after {time.perf_counter() - began:.0f} s", file=sys.stderr)
            for name, queries in ASKED.items():
                times(client, name, {}, values, 1)  # templates are compiled
                taken = {
                    what: times(client, name, asked, values, options.repeats)
                    for what, asked in {**queries, "middle": middle_of(project, name)}.items()
                }
                line = {
                    "list": name,
                    "rows": rows,
                    "database": connection.vendor,
                    "ms": {what: round(statistics.median(each), 1) for what, each in taken.items()},
                    "fastest_ms": {what: round(min(each), 1) for what, each in taken.items()},
                    "over_300_ms": [what for what, each in taken.items() if statistics.median(each) > LIMIT_MS],
                }
                print(json.dumps(line), flush=True)
        connection.close()


def set_up():
    from django.contrib.auth.models import User
    from django.test import Client

    from annotation.models import Membership, PolicyVersion, Project, Role

    project = Project.objects.create(slug="records", name="Records")
    policy = PolicyVersion.objects.create(project=project, number=0, checkpoint="/nowhere")
    admin, person = User.objects.create_user("admin"), User.objects.create_user("person")
    Membership.objects.create(project=project, user=admin, role=Role.ADMIN)
    Membership.objects.create(project=project, user=person, role=Role.ANNOTATOR)
    client = Client()
    client.force_login(admin)
    return project, client, {"policy": policy.pk, "person": person.pk}


def grow(project: int, values: dict[str, int], first: int, last: int) -> None:
    """Add the rows `first` to `last` of each table: written by the database itself, in parts."""
    from django.db import connection

    is_postgres = connection.vendor == "postgresql"
    true, false = ("TRUE", "FALSE") if is_postgres else ("1", "0")
    now = "now()" if is_postgres else "CURRENT_TIMESTAMP"
    past = "now() - i * interval '1 second'" if is_postgres else "datetime('now', '-' || i || ' seconds')"
    messages = f'\'[{{"role": "user", "content": "\' || {TEXT} || \'"}}]\''
    messages, empty = (f"({messages})::jsonb", "'[]'::jsonb") if is_postgres else (messages, "'[]'")
    nothing = "'{}'::jsonb" if is_postgres else "'{}'"
    split = "CASE WHEN i % 5 = 0 THEN 'eval' ELSE 'train' END"
    statements = [
        "INSERT INTO annotation_prompt (id, project_id, messages, digest, external_id, category, split, of_feedback,"
        f" created_at) {{numbers}} SELECT i, {project}, {messages}, CAST(i AS text), '', 'c' || (i % 7), {split},"
        f" {false}, {now}"
        " FROM numbers",
        "INSERT INTO annotation_completion (id, project_id, prompt_id, source, policy_id, text, sampling, finished,"
        f" origin, \"index\", created_at) {{numbers}} SELECT i, {project}, i, 'policy', {values['policy']}, {TEXT},"
        f" {nothing},"
        f" CASE WHEN i % 50 = 0 THEN {false} ELSE {true} END, '', 0, {now} FROM numbers",
        "INSERT INTO annotation_task (id, project_id, prompt_id, kind, seats, planned_seats, priority, origin,"
        " calibration, purpose, can_be_undone, place, created_at)"
        f" {{numbers}} SELECT i, {project}, i, 'ranking', 2, 2, i % 10, '', {false}, 'work', {true}, 0, {now}"
        " FROM numbers",
        "INSERT INTO annotation_assignment (task_id, seat_number, status, annotator_id, claimed_at, finished_at,"
        " shown_order, draft, skip_reason, active_ms, project_id, priority, undos_left) {numbers} SELECT i, 1, 'done',"
        f" {values['person']}, {past}, {past}, {empty}, {nothing}, '', 900, {project}, i % 10, 0 FROM numbers",
        "INSERT INTO annotation_assignment (task_id, seat_number, status, shown_order, draft, skip_reason, active_ms,"
        f" project_id, priority, undos_left) {{numbers}} SELECT i, 2, 'empty', {empty}, {nothing}, '', 0, {project},"
        " i % 10, 0 FROM numbers WHERE i % 3 = 0",
        "INSERT INTO annotation_importedlabel (project_id, text, label, digest, annotator, number, split, created_at)"
        f" {{numbers}} SELECT {project}, {TEXT}, 'l' || (i % 9), CAST(i AS text), '', 1, {split}, {now} FROM numbers",
    ]
    part = 100_000
    for start in range(first, last + 1, part):
        end = min(start + part - 1, last)
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement.replace("{numbers}", NUMBERS.format(first=start, last=end)))
            uuid = "gen_random_uuid()" if is_postgres else "lower(hex(randomblob(16)))"
            cursor.execute(
                "INSERT INTO annotation_ranking (assignment_id, client_uuid, tiers, unacceptable, unranked, ratings,"
                f" rationale, created_at) SELECT a.id, {uuid}, {empty}, {empty}, {empty}, {nothing},"
                f" CASE WHEN a.task_id % 1000 = 7 THEN 'zanzibar is named' ELSE '' END, {now}"
                f" FROM annotation_assignment a WHERE a.status = 'done' AND a.task_id BETWEEN {start} AND {end}"
            )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def middle_of(project, name: str) -> dict[str, str]:
    """Return the parameters of a page from the middle of a list."""
    from annotation.records.lists import LISTS
    from annotation.records.paging import Query, _encoded

    query = Query.of(LISTS[name], project, {})
    rows = LISTS[name].rows(project).order_by("pk")
    count = rows.count()
    row = rows[count // 2] if count else None
    return {"after": _encoded(query.position_of(row))} if row else {}


def times(client, name: str, asked: dict[str, str], values: dict[str, int], repeats: int) -> list[float]:
    """Return the milliseconds of each of some requests for one page."""
    sent = {key: value.format(**values) for key, value in asked.items()}
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        response = client.get(f"/projects/records/records/{name}/", sent)
        taken.append(1000 * (time.perf_counter() - began))
        assert response.status_code == 200, response.content
    return taken


if __name__ == "__main__":
    main()
