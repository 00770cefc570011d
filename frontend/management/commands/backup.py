from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from frontend.backup import back_up


class Command(BaseCommand):
    help = "Write database, snapshots, runs, models and the secret key to one file, while people work."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the file to write")

    def handle(self, *args: Any, **options: Any) -> None:
        os.umask(0o077)  # it holds everything
        back_up(options["file"].resolve(), self.stdout.write)
