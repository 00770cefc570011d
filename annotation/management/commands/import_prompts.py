from __future__ import annotations

import csv
import json
import os
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from annotation.actions import import_jobs
from annotation.actions.import_mappings import reading_of
from annotation.actions.prompts import ImportReport, dry_run, import_prompts
from annotation.imports import SHAPES, ParsedPrompts, Reading, UnreadableFile
from annotation.imports.batches import check_file, parse_batches
from annotation.imports.folders import Folder, downloaded, look_into
from annotation.imports.mapping import KNOWN
from annotation.imports.refusals import EmptyFile
from annotation.models import Project

if TYPE_CHECKING:
    from _csv import Writer as CsvWriter

BREATH = 1.5  # of the time that a batch took: as long as that, people at work have the database to themselves


class Command(BaseCommand):
    help = (
        "Import prompts, with answers and votes where the file has some, or labelled texts. Takes batches: "
        "stopped half-way, the same command goes on where it was. Refused rows are named with line and reason, "
        "fields that nobody reads with the number of their rows."
    )

    not_taken: CsvWriter | None = None

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, nargs="?", help="a file, or a folder of a Hugging Face data set")
        parser.add_argument("--project", help="slug of the project; a dry run needs none")
        parser.add_argument("--hub", metavar="ID", help="a data set of the Hugging Face hub, instead of a file")
        parser.add_argument("--labels", action="store_true", help="the rows are texts with labels, no prompts")
        parser.add_argument(
            "--shape", default="", choices=list(SHAPES), metavar="SHAPE", help=f"how rows are read: {', '.join(SHAPES)}"
        )
        parser.add_argument(
            "--column",
            action="append",
            default=[],
            metavar="FIELD=NAME",
            help=f"the column that a field comes from, such as text=question; fields: {', '.join(KNOWN)}",
        )
        parser.add_argument(
            "--ignore", action="append", default=[], metavar="FIELD", help="a field of the file to leave out"
        )
        parser.add_argument("--mapping", metavar="NAME", help="columns, shape and ignored fields as saved under a name")
        parser.add_argument("--save-mapping", metavar="NAME", help="save columns, shape and ignored fields")
        parser.add_argument("--dry-run", action="store_true", help="say what would happen, and take nothing")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")
        parser.add_argument("--refused", type=Path, metavar="CSV", help="write skipped rows to this file")

    def handle(self, *args: Any, **options: Any) -> None:
        project = _project(options)
        total = ImportReport()
        with ExitStack() as stack:
            self.not_taken = _csv(options["refused"], stack)
            try:
                reading = _reading(project, options)
                folder = _folder(options, stack)
                _check_all(folder, reading)
            except UnreadableFile as problem:
                raise CommandError(f"{options['file'] or options['hub']}: {problem}") from problem
            for path in folder.files:
                try:
                    total.add(self._take(project, path, reading, options))
                except (UnreadableFile, OSError) as problem:
                    raise CommandError(f"{path}: {problem}") from problem
        self._print(total, folder, options)

    def _take(self, project: Project | None, path: Path, reading: Reading, options: dict[str, Any]) -> ImportReport:
        with path.open("rb") as file:
            return self._take_batches(project, path, parse_batches(file, path.name, reading), reading, options)

    def _take_batches(
        self,
        project: Project | None,
        path: Path,
        batches: Iterator[ParsedPrompts],
        reading: Reading,
        options: dict[str, Any],
    ) -> ImportReport:
        total = ImportReport()
        upload = None
        for parsed in batches:
            started = time.monotonic()
            if project is None or options["dry_run"]:
                report = dry_run(project, parsed)
            else:
                # Named by a row of its own, so that its page can undo it, too.
                upload = upload or import_jobs.begin(project=project, filename=path.name, reading=reading)
                report = import_prompts(project=project, parsed=parsed, by=None, upload=upload)
                time.sleep(min(BREATH * (time.monotonic() - started), 1.0))
            total.add(report)
            self._tell(path, report)
            if upload is not None:
                import_jobs.note(upload=upload, report=total)
        if upload is not None:
            import_jobs.end(upload=upload, report=total)
        return total

    def _tell(self, path: Path, report: ImportReport) -> None:
        rows = report.not_taken()
        for line, what, reason in rows:
            self.stderr.write(f"{path}:{line}: {what}: {reason}")
        if self.not_taken is not None:
            self.not_taken.writerows(rows)

    def _print(self, total: ImportReport, folder: Folder, options: dict[str, Any]) -> None:
        if options["json"]:
            files = {"files": [str(path) for path in folder.files], "ignored": [str(path) for path in folder.ignored]}
            report = total.for_machines() | files | {"dry_run": options["dry_run"], "file": str(options["file"] or "")}
            self.stdout.write(json.dumps(report, ensure_ascii=False))
            return
        if folder.ignored:
            self.stderr.write(f"Not read: {', '.join(str(path) for path in folder.ignored)}")
        self.stdout.write(f"{total}{' (nothing was taken: dry run)' * options['dry_run']}")


def _project(options: dict[str, Any]) -> Project | None:
    """Return the project to import into; None for a dry run without one."""
    if options["project"]:
        return find_project(options["project"])
    if not options["dry_run"]:
        raise CommandError("Name the project to import into: --project SLUG.")
    if options["mapping"] or options["save_mapping"]:
        raise CommandError("A mapping is saved in a project: name it with --project SLUG.")
    return None


def _reading(project: Project | None, options: dict[str, Any]) -> Reading:
    columns = dict(_column(text) for text in options["column"])
    if project is None:
        return Reading(columns, options["labels"], options["shape"], tuple(options["ignore"])).checked()
    return reading_of(
        project,
        mapping=columns,
        labels=options["labels"],
        shape=options["shape"],
        ignore=options["ignore"],
        name=options["mapping"] or "",
        save_as=options["save_mapping"] or "",
    )


def _folder(options: dict[str, Any], stack: ExitStack) -> Folder:
    """Return the files to read, and those beside them that are left alone."""
    if bool(options["file"]) == bool(options["hub"]):
        raise CommandError("Name a file or a folder, or a data set with --hub.")
    if options["hub"]:
        token = os.environ.get("HF_TOKEN")
        return look_into(stack.enter_context(downloaded(options["hub"], endpoint=settings.HUB_ENDPOINT, token=token)))
    if options["file"].is_dir():
        return look_into(options["file"])
    return Folder([options["file"]], [])


def _csv(path: Path | None, stack: ExitStack) -> CsvWriter | None:
    """Return a writer for the rows that are not taken, under its header; None where nobody wants them."""
    if path is None:
        return None
    writer = csv.writer(stack.enter_context(path.open("w", encoding="utf-8", newline="")))
    writer.writerow(["line", "what", "reason"])
    return writer


def _check_all(folder: Folder, reading: Reading) -> None:
    """Refuse every file where one cannot be read to its end, so that nothing is half imported.

    An empty file of several is left alone, and named among those that are not read.
    """
    for path in list(folder.files):
        try:
            with path.open("rb") as file:
                check_file(file, path.name, reading)
        except FileNotFoundError:
            raise CommandError(f"There is no file {path}.") from None
        except UnreadableFile as problem:
            if isinstance(problem, EmptyFile) and len(folder.files) > 1:
                folder.files.remove(path)
                folder.ignored.append(path)
                continue
            if len(folder.files) == 1:
                raise
            raise UnreadableFile(f"{path.name}: {problem} Nothing was taken of any file.") from None


def _column(text: str) -> tuple[str, str]:
    field, equals, name = text.partition("=")
    if not (field and equals and name):
        raise CommandError(f"--column {text!r}: write FIELD=NAME, such as text=question.")
    return field, name


def find_project(slug: str) -> Project:
    """Return the project of this slug; a CommandError that names the others where there is none."""
    project = Project.objects.filter(slug=slug).first()
    if project is None:
        known = ", ".join(Project.objects.values_list("slug", flat=True)) or "none yet"
        raise CommandError(f"There is no project {slug!r}. Projects: {known}.")
    return project
