from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotation.errors import NotPossible
from annotation.management.commands.import_prompts import find_project
from training.exports import TOOLS, write_round


class Command(BaseCommand):
    help = "Write a folder that repeats a round with another tool: data, a script, its settings and a README."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="slug of the project")
        parser.add_argument("round", type=int, help="number of the round")
        parser.add_argument("--to", choices=list(TOOLS), required=True)
        parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new or an empty folder")

    def handle(self, *args: Any, **options: Any) -> None:
        project = find_project(options["project"])
        round = project.rounds.filter(number=options["round"]).first()
        if round is None:
            known = ", ".join(map(str, project.rounds.order_by("number").values_list("number", flat=True)))
            raise CommandError(f"There is no round {options['round']} in {project}. Rounds: {known or 'none yet'}.")
        try:
            write_round(round, options["to"], options["out"])
        except NotPossible as why:
            raise CommandError(str(why)) from why
        self.stdout.write(f"{options['out']}: its README says how to run it")
