from __future__ import annotations

import os
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from annotation.actions.prompts import ImportReport, dry_run, import_prompts
from annotation.imports import UnreadableFile
from annotation.imports.batches import parse_batches
from annotation.imports.folders import downloaded, files_in
from annotation.imports.refusals import RefusedRow
from annotation.models import Project

BREATH = 1.5  # of the time that a batch took: as long as that, people at work have the database to themselves


class Command(BaseCommand):
    help = (
        "Import prompts, with answers and preferences where the file has some, or labelled texts. Takes batches: "
        "stopped half-way, the same command goes on where it was. Refused rows are named with line and reason."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, nargs="?", help="a file, or a folder of a Hugging Face data set")
        parser.add_argument("--project", required=True, help="slug of the project")
        parser.add_argument("--hub", metavar="ID", help="a data set of the Hugging Face hub, instead of a file")
        parser.add_argument("--labels", action="store_true", help="the rows are texts with labels, no prompts")
        parser.add_argument(
            "--column",
            action="append",
            default=[],
            metavar="FIELD=NAME",
            help="the column that a field comes from, such as text=question",
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would happen, and take nothing")
        parser.add_argument("--refused", type=Path, metavar="CSV", help="write rows that are not taken to this file")

    def handle(self, *args: Any, **options: Any) -> None:
        project = find_project(options["project"])
        mapping = dict(_column(text) for text in options["column"])
        total = ImportReport()
        try:
            with ExitStack() as stack:
                for path in _files(options, stack):
                    total.add(self._take(project, path, mapping, options))
        except FileNotFoundError as problem:
            raise CommandError(f"There is no file {problem.filename}.") from None
        except (UnreadableFile, OSError) as problem:
            raise CommandError(f"{options['file'] or options['hub']}: {problem}") from problem
        if options["refused"]:
            options["refused"].write_text(total.as_csv(), "utf-8")
        self.stdout.write(f"{total}{' (nothing was taken: dry run)' * options['dry_run']}")

    def _take(self, project: Project, path: Path, mapping: dict[str, str], options: dict[str, Any]) -> ImportReport:
        total = ImportReport()
        for parsed in parse_batches(path, mapping, labels=options["labels"]):
            started = time.monotonic()
            if options["dry_run"]:
                report = dry_run(project, parsed)
            else:
                report = import_prompts(project=project, parsed=parsed, by=None)
                time.sleep(min(BREATH * (time.monotonic() - started), 1.0))
            total.add(report)
            self._tell(path, "refused", report.refused)
            self._tell(path, "duplicate", report.duplicates)
        return total

    def _tell(self, path: Path, what: str, rows: list[RefusedRow]) -> None:
        for row in rows:
            self.stderr.write(f"{path}:{row.line}: {what}: {row.reason}")


def _files(options: dict[str, Any], stack: ExitStack) -> Iterator[Path]:
    if bool(options["file"]) == bool(options["hub"]):
        raise CommandError("Name a file or a folder, or a data set with --hub.")
    if options["hub"]:
        folder = stack.enter_context(
            downloaded(options["hub"], endpoint=settings.HUB_ENDPOINT, token=os.environ.get("HF_TOKEN"))
        )
        yield from files_in(folder)
    elif options["file"].is_dir():
        yield from files_in(options["file"])
    else:
        yield options["file"]


def _column(text: str) -> tuple[str, str]:
    field, equals, name = text.partition("=")
    if not (field and equals and name):
        raise CommandError(f"--column {text!r}: write FIELD=NAME, such as text=question.")
    return field, name


def find_project(slug: str) -> Project:
    project = Project.objects.filter(slug=slug).first()
    if project is None:
        known = ", ".join(Project.objects.values_list("slug", flat=True)) or "none yet"
        raise CommandError(f"There is no project {slug!r}. Projects: {known}.")
    return project
