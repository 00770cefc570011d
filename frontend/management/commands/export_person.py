from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from frontend.accounts.people import write_data_of


class Command(BaseCommand):
    help = "Write everything about a person into a ZIP of JSON files."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("output", type=Path, help="path of the ZIP")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"There is no user {options['username']!r}.")
        try:
            with options["output"].open("wb") as file:
                counts = write_data_of(user, file, by=None)
        except OSError as problem:
            raise CommandError(f"{options['output']}: {problem}") from problem
        for name, count in counts.items():
            self.stdout.write(f"{name}: {count}")
