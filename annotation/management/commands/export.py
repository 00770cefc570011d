from __future__ import annotations

import gc
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from annotation import audit
from annotation.durable import put_in_place
from annotation.errors import NotPossible
from annotation.exports import EXPORTS, Filter, SnapshotContext, SnapshotRow
from annotation.exports.files import DownloadOptions, UnsupportedFormat, stored_rows
from annotation.exports.formats import FORMATS
from annotation.exports.writers import WRITERS, NoParquet
from annotation.management.commands.import_prompts import find_project
from annotation.models import AuditAction, Project


def add_filter_arguments(parser: ArgumentParser) -> None:
    kinds = ["ranking", "unary", "reference", "label", "imported"]
    parser.add_argument("--kinds", nargs="+", default=[], choices=kinds)
    parser.add_argument("--policies", nargs="+", type=int, default=[], metavar="N", help="numbers of policy versions")
    parser.add_argument("--annotators", nargs="+", type=int, default=[], metavar="N", help="numbers of people")
    parser.add_argument("--min-agreement", type=float, default=0.0, metavar="SHARE", help="of the votes on a pair")
    parser.add_argument("--since", type=moment, metavar="DATE", help="only judgments from then on, ISO 8601")
    parser.add_argument("--until", type=moment, metavar="DATE", help="only judgments until then, ISO 8601")


def moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if timezone.is_aware(at) else timezone.make_aware(at)


def filter_of(options: dict[str, Any]) -> Filter:
    names = ("kinds", "policies", "annotators", "min_agreement", "since", "until")
    return Filter(**{name: options[name] for name in names})


class Command(BaseCommand):
    help = "Write the annotations as a file for a trainer. Streams: memory stays flat at any size."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="slug of the project")
        parser.add_argument("--format", dest="rows", choices=list(FORMATS), default="preference")
        parser.add_argument("--output", required=True, help="path of the file, or - for standard output")
        parser.add_argument("--file", choices=list(WRITERS), default="jsonl", help="(default: %(default)s)")
        parser.add_argument("--gzip", action="store_true")
        parser.add_argument("--split", choices=["train", "eval"], default="", help="(default: both)")
        parser.add_argument("--snapshot", type=int, metavar="N", help="what this snapshot holds, not what is there now")
        add_filter_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        project = find_project(options["project"])
        gc.freeze()  # the collector need not walk through all of Django again and again while rows come and go
        try:
            wanted = DownloadOptions(options["rows"], options["file"], options["gzip"], options["split"])
            with _opened(options["output"]) as file:
                count = wanted.write(_source(project, wanted, options), file)
        except (NotPossible, UnsupportedFormat, NoParquet) as why:
            raise CommandError(str(why)) from why
        audit.record(AuditAction.EXPORTED, project=project, what=wanted.rows, rows=count)
        if options["output"] != "-":
            self.stdout.write(f"{options['output']}: {count} rows")


def _source(project: Project, wanted: DownloadOptions, options: dict[str, Any]) -> Any:
    """Return a function that yields the rows of a snapshot, or of the project as it is now."""
    if options["snapshot"] is not None:
        snapshot = project.snapshots.filter(number=options["snapshot"]).first()
        if snapshot is None:
            raise NotPossible(f"{project} has no snapshot {options['snapshot']}.")
        if snapshot.type != wanted.format.made_from:
            raise UnsupportedFormat(f"{wanted.format.label} is made from a snapshot of type {wanted.format.made_from}.")
        return lambda: stored_rows(snapshot)
    cutoff = timezone.now()

    def rows() -> Iterator[SnapshotRow]:
        return EXPORTS[wanted.format.made_from](SnapshotContext(project, cutoff, filter_of(options)))

    return rows


@contextmanager
def _opened(output: str) -> Iterator[BinaryIO]:
    """Yield the file to write to; an interrupted export leaves none behind."""
    if output == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(output)
    temporary = path.with_name(f"{path.name}.part")
    try:
        with temporary.open("wb") as file:
            yield file
        put_in_place(temporary, path)
    except OSError as problem:
        raise CommandError(f"{path}: {problem}") from problem
    finally:
        temporary.unlink(missing_ok=True)
