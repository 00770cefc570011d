from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from annotation import audit
from annotation.actions.snapshots import data_card
from annotation.exports.files import UnsupportedFormat
from annotation.exports.formats import FORMATS, STORED
from annotation.exports.hub import NotPushed, push
from annotation.management.commands.import_prompts import find_project
from annotation.models import AuditAction


class Command(BaseCommand):
    help = "Push a snapshot to a data set repository of a Hugging Face hub; HF_TOKEN holds the token."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="slug of the project")
        parser.add_argument("snapshot", type=int, help="its number")
        parser.add_argument("repo", help="owner/name; made where there is none")
        parser.add_argument("--format", dest="rows", choices=list(FORMATS), help="(default: as it is stored)")
        parser.add_argument("--public", action="store_true", help="where the repository is made: for everybody")

    def handle(self, *args: Any, **options: Any) -> None:
        project = find_project(options["project"])
        snapshot = project.snapshots.filter(number=options["snapshot"]).first()
        if snapshot is None:
            raise CommandError(f"{project} has no snapshot {options['snapshot']}.")
        rows = options["rows"] or {str(type): name for type, name in STORED.items()}[snapshot.type]
        try:
            address = push(
                snapshot,
                data_card(snapshot),
                rows=rows,
                repo=options["repo"],
                token=os.environ.get("HF_TOKEN", ""),
                endpoint=settings.HUB_ENDPOINT,
                private=not options["public"],
            )
        except (NotPushed, UnsupportedFormat) as why:
            raise CommandError(str(why)) from why
        audit.record(AuditAction.EXPORTED, project=project, what=f"snapshot {snapshot.number}", to=address)
        self.stdout.write(address)
