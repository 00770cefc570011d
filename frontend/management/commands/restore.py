from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from frontend.backup import restore


class Command(BaseCommand):
    help = "Put a backup into an empty home and an empty database, and bring its tables up to date."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="a file that the command backup has written")

    def handle(self, *args: Any, **options: Any) -> None:
        os.umask(0o077)  # it holds everything
        restore(options["file"].resolve(), self.stdout.write)
