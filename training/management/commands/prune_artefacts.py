from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.template.defaultfilters import filesizeformat

from annotation.management.commands.import_prompts import find_project
from training.actions.retention import KEEP_LAST, leftovers, prune


class Command(BaseCommand):
    help = "Delete what old runs left behind and no policy version, unfinished run or next round needs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, help="slug of the project")
        parser.add_argument("--keep-last", type=int, default=KEEP_LAST, help="rounds that stay as they are")
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["keep_last"] < 0:
            raise CommandError("--keep-last should be 0 or more.")
        project = find_project(options["project"])
        found = (leftovers if options["dry_run"] else prune)(project, options["keep_last"])
        for leftover in found:
            self.stdout.write(f"{filesizeformat(leftover.bytes)}  {leftover.what}")
        total = filesizeformat(sum(leftover.bytes for leftover in found))
        self.stdout.write(f"{'Would free' if options['dry_run'] else 'Freed'} {total}.")
