from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotation.actions.snapshots import take_snapshot
from annotation.errors import NotPossible
from annotation.management.commands.export import add_filter_arguments, filter_of
from annotation.management.commands.import_prompts import find_project
from annotation.models import SnapshotType


class Command(BaseCommand):
    help = "Create a snapshot of a project's annotations; prints the path of the file last."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, help="slug of the project")
        parser.add_argument(
            "--type",
            choices=SnapshotType.values,
            default=SnapshotType.PREFERENCE,
            help="of the rows (default: %(default)s)",
        )
        add_filter_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            snapshot = take_snapshot(
                project=find_project(options["project"]),
                by=None,
                type=SnapshotType(options["type"]),
                wanted=filter_of(options),
            )
        except NotPossible as why:
            raise CommandError(str(why)) from why
        for name, count in snapshot.counts.items():
            self.stdout.write(f"{name}: {count}")
        self.stdout.write(f"snapshot {snapshot.number}: {snapshot.rows} {snapshot.unit}, sha256 {snapshot.sha256}")
        self.stdout.write(str(snapshot.path))
