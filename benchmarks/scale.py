"""How long every page and API list takes as a project grows: milliseconds and memory of an admin's request.

    python benchmarks/scale.py [--judgments 10000 100000 1000000] [--database URL] [--repeats 3] [--only TEXT]

At each size the project has as many rankings, ten of each task, by 200 annotators; as many metric points, of 30 rounds;
four responses to each prompt; and as many closed deliveries, audit entries and notifications as a hundredth. All pages
that need no more than the project are asked for, one page of each kind of record, and all lists of the API. A database
that is named must be an empty PostgreSQL; without one, PostgreSQL is started for this run. Prints one JSON line for
each size: `pages` are the median milliseconds, `mb` what a request added to the memory of a process that has answered
it before, `worst_ms` and `over` (300 ms or 100 MB, the limits) of all; `figures_seconds` and `figures_mb` are what a
worker needs for the figures of quality, which pages show as it last made them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT_MS, LIMIT_MB = 300, 100
PEOPLE, SEATS, RESPONSES, ROUNDS = 200, 10, 4, 30
NOT_ASKED = {"annotate", "project_close", "restore"}  # claims a task; changes the project
# Orders of the four responses: six people of ten agree.
ORDERS = ((0, 1, 2, 3),) * 6 + ((1, 0, 2, 3), (0, 1, 3, 2), (3, 2, 1, 0), (0, 2, 1, 3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judgments", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--database", default="", help="URL of an empty PostgreSQL (default: one is started)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="Pages whose address contains this")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="prefloop-scale-"))
        url = options.database
        if not url:
            from tests.services import postgres

            url = stack.enter_context(postgres(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        os.environ.update(PREFLOOP_HOME=home, DJANGO_SETTINGS_MODULE="frontend.settings", DATABASE_URL=url)
        measure(options)


def measure(options: argparse.Namespace) -> None:
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection

    storage = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": storage}
    settings.ALLOWED_HOSTS.append("testserver")
    logging.disable(logging.INFO)
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
    call_command("migrate", verbosity=0)
    project = set_up()
    there = 0
    for judgments in sorted(options.judgments):
        began = time.perf_counter()
        grow(project.pk, there // SEATS + 1, judgments // SEATS)
        add_metrics(there + 1, judgments)
        there = judgments
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        print(f"{judgments:,} judgments after {time.perf_counter() - began:.0f} s", file=sys.stderr)
        report(project, judgments, options)
    connection.close()


def report(project, judgments: int, options: argparse.Namespace) -> None:
    """Ask for each page in a process of its own and print the line of a size."""
    from django.db import connection

    pages = [page for page in addresses(project) if options.only in page]
    connection.close()  # a child must not use this one
    took: dict[str, float] = {}
    grew: dict[str, float] = {}
    refused: dict[str, int] = {}
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=make_figures, args=(f"/projects/{project.slug}/quality/", theirs))
    child.start()
    figures_seconds, figures_mb = ours.recv()
    child.join()
    for page in pages:
        ours, theirs = context.Pipe()
        child = context.Process(target=ask, args=(page, options.repeats, theirs))
        child.start()
        milliseconds, grown, status = ours.recv()
        child.join()
        if status == 405:  # an address that changes something
            continue
        took[page], grew[page] = milliseconds, grown
        if status != 200:
            refused[page] = status
        print(f"{milliseconds:9.1f} ms {grown:6.1f} MB {status} {page}", file=sys.stderr)
    over = [page for page in took if took[page] > LIMIT_MS or grew[page] > LIMIT_MB]
    line = {
        "judgments": judgments,
        "pages": took,
        "mb": {page: mb for page, mb in grew.items() if mb >= 1},
        "worst_ms": max(took.values()),
        "worst_mb": max(grew.values()),
        "over": over,
        "figures_seconds": figures_seconds,
        "figures_mb": figures_mb,
        "not_200": refused,
    }
    print(json.dumps(line), flush=True)


def make_figures(page: str, pipe) -> None:
    """Ask for the quality page and make its figures as a worker does; send the seconds and the MB that this takes."""
    from django.contrib.auth.models import User
    from django.test import Client

    from annotation.actions import quality_figures

    client = Client()
    client.force_login(User.objects.get(username="admin"))
    client.get(page)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    quality_figures.work_next()
    seconds = time.perf_counter() - began
    pipe.send((round(seconds, 1), round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 1)))


def ask(page: str, repeats: int, pipe) -> None:
    """Send the median milliseconds of a page, the MB that it adds to the peak of this process, and its status."""
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client(raise_request_exception=False)
    client.force_login(User.objects.get(username="admin"))
    client.get("/projects/records-not-there/")  # what every request loads is there
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        response = client.get(page)
        if response.streaming:
            list(response.streaming_content)
        taken.append(1000 * (time.perf_counter() - began))
        if taken[-1] > 20_000:
            break
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    pipe.send((round(statistics.median(taken), 1), round(grown, 1), response.status_code))


def addresses(project) -> list[str]:
    """Return every page that needs only the project, a page of each record, the lists of data, and those of the API."""
    from django.urls import get_resolver

    from annotation.models import Assignment
    from annotation.records.lists import LISTS
    from training.models import TrainingRound

    ready = [f"/projects/{project.slug}/records/{name}/" for name in LISTS]
    ready += [f"/projects/{project.slug}/records/{name}/?q=zanzibar" for name in LISTS]
    middle = {
        "record_prompt": 5,
        "record_response": 17,
        "record_task": 5,
        "review_task": 5,
        "record_annotation": Assignment.objects.filter(status="done").first().pk,
        "own_annotation": None,
        "round": TrainingRound.objects.filter(project=project).first().number,
        "policy": 3,
        "snapshot": None,
    }
    found = ["/", "/palette/?q=cook"]
    for pattern in walk(get_resolver().url_patterns):
        route, name = pattern
        if "<slug:slug>" not in route or name in NOT_ASKED:
            continue
        address = "/" + route.replace("<slug:slug>", project.slug)
        for part, value in (("<int:pk>", middle.get(name)), ("<int:number>", middle.get(name))):
            if part in address and value:
                address = address.replace(part, str(value))
        if "<" not in address and "(?P" not in address:
            found.append(address)
    api = [f"/api/v1/projects/{project.slug}/{name}/" for name in api_lists()]
    return [*dict.fromkeys([*found, *ready, *api])]


def walk(patterns, before: str = ""):
    """Yield route and name of every page, without those of the API and of Django's admin."""
    from django.urls import URLResolver

    for pattern in patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            if not route.startswith(("api/", "admin/")):
                yield from walk(pattern.url_patterns, route)
        else:
            yield route, pattern.name


def api_lists() -> list[str]:
    from frontend.api.urls import inside

    return [prefix for prefix, viewset, _ in inside.registry if "(" not in prefix and hasattr(viewset, "list")]


def set_up():
    from django.contrib.auth.models import User

    from annotation import clock
    from annotation.models import Membership, PolicyVersion, Project, Role
    from training.models import RoundStatus, RunStatus, TrainingRound, TrainingRun

    project = Project.objects.create(slug="scale", name="Scale")
    admin = User.objects.create_user("admin")
    Membership.objects.create(project=project, user=admin, role=Role.ADMIN)
    people = User.objects.bulk_create(User(username=f"person-{number}") for number in range(PEOPLE))
    Membership.objects.bulk_create(Membership(project=project, user=user, role=Role.ANNOTATOR) for user in people)
    policy = PolicyVersion.objects.create(project=project, number=0, checkpoint="/nowhere")
    for number in range(1, ROUNDS + 1):
        now = clock.now()
        made = TrainingRound.objects.create(
            project=project, number=number, status=RoundStatus.SUCCEEDED, finished_at=now, started_by=admin
        )
        policy = PolicyVersion.objects.create(project=project, number=number, checkpoint="/nowhere", parent=policy)
        for position, method in enumerate(("reward", "ppo", "sample")):
            TrainingRun.objects.create(
                round=made,
                position=position,
                method=method,
                status=RunStatus.SUCCEEDED,
                started_at=now,
                finished_at=now,
                policy=policy if method == "ppo" else None,
            )
    return project


def grow(project: int, first: int, last: int) -> None:
    """Add the tasks `first` to `last` with their prompts, responses and rankings: written by the database itself."""
    from django.contrib.auth.models import User
    from django.db import connection

    from annotation.models import Assignment, Candidate, Completion, PolicyVersion, Prompt, Ranking, Task

    person = User.objects.get(username="person-0").pk
    policy = PolicyVersion.objects.get(project=project, number=0).pk
    part = 10_000
    for start in range(first, last + 1, part):
        end = min(start + part - 1, last)
        series = f"generate_series({start}, {end}) AS i"
        seats = f"{series} CROSS JOIN generate_series(1, {SEATS}) AS seat"
        answers = f"{series} CROSS JOIN generate_series(1, {RESPONSES}) AS k"
        rare = "CASE WHEN i % 1000 = 7 THEN ' zanzibar' ELSE '' END"
        text = f"'question ' || i || ' about cooking a meal for guests' || {rare}"
        ids = ", ".join(f"'[' || ({RESPONSES} * (i - 1) + {{{k}}} + 1) || ']'" for k in range(RESPONSES))
        orders = " ".join(
            f"WHEN {number} THEN concat('[', concat_ws(',', {ids.format(*order)}), ']')"
            for number, order in enumerate(ORDERS)
        )
        shown = "concat('[', concat_ws(',', {}), ']')".format(
            ", ".join(f"{RESPONSES} * (i - 1) + {k}" for k in range(1, RESPONSES + 1))
        )
        past = "now() - (1000000 - i) * interval '20 seconds' - seat * interval '1 hour' - interval '1 day'"
        answer = f"{RESPONSES} * (i - 1) + k"
        seat = f"{SEATS} * (i::bigint - 1) + seat"
        messages = f"jsonb_build_array(jsonb_build_object('role', 'user', 'content', {text}))"
        split = "CASE WHEN i % 5 = 0 THEN 'eval' ELSE 'train' END"
        prompt = {"id": "i", "project_id": project, "messages": messages, "digest": "i::text", "split": split}
        response = {"id": answer, "project_id": project, "prompt_id": "i", "source": "'policy'", "policy_id": policy}
        response |= {"text": f"{text} || repeat(' and more of the answer', (i + k) % 9)", '"index"': "k"}
        task = {"id": "i", "project_id": project, "prompt_id": "i", "kind": "'ranking'", "seats": SEATS}
        held = {"id": seat, "task_id": "i", "seat_number": "seat", "status": "'done'", "project_id": project}
        held |= {"annotator_id": f"{person} + (i * {SEATS} + seat) % {PEOPLE}", "shown_order": f"({shown})::jsonb"}
        held |= {"claimed_at": f"{past} - interval '1 minute'", "finished_at": past, "undos_left": 0}
        tiers = f"(CASE (i * 7 + seat * 3) % {len(ORDERS)} {orders} END)::jsonb"
        ranking = {"assignment_id": seat, "client_uuid": "gen_random_uuid()", "tiers": tiers, "created_at": past}
        statements = [
            insert(Prompt, prompt | {"category": "'c' || (i % 7)"}, series),
            insert(Completion, response | {"finished": "i % 50 > 0"}, answers),
            insert(Task, task | {"planned_seats": SEATS}, series),
            insert(Candidate, {"task_id": "i", "completion_id": answer}, answers),
            insert(Assignment, held | {"active_ms": "20000 + 1000 * (i % 30)"}, seats),
            insert(Ranking, ranking, seats),
        ]
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def insert(model, given: dict[str, object], source: str) -> str:
    """Return an INSERT of the given expressions; other columns have the default of their field, times are now."""
    from django.db import connection, models

    values = {column.strip('"'): str(value) for column, value in given.items()}
    for field in model._meta.concrete_fields:
        if field.primary_key or field.column in values or field.generated or field.null:
            continue
        if isinstance(field, models.DateTimeField):
            values[field.column] = "now()"
            continue
        default = field.get_db_prep_save(field.get_default(), connection)
        with connection.cursor() as cursor:
            values[field.column] = cursor.mogrify("%s", [default])
    columns = ", ".join(f'"{column}"' for column in values)
    return f'INSERT INTO "{model._meta.db_table}" ({columns}) SELECT {", ".join(values.values())} FROM {source}'


def add_metrics(first: int, last: int) -> None:
    """Add metric points of the rounds' PPO runs: twenty names, the steps dealt out over the rounds."""
    from django.db import connection

    from training.models import TrainingRun

    runs = list(TrainingRun.objects.filter(method="ppo").order_by("pk").values_list("pk", flat=True))
    array = f"(ARRAY{runs})[1 + i % {len(runs)}]"
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO training_metric (run_id, step, name, value) SELECT "
            f"{array}, i / {20 * len(runs)} + 1, 'objective/m' || (i / {len(runs)} % 20), random()"
            f" FROM generate_series({first}, {last}) AS i"
        )


if __name__ == "__main__":
    main()
