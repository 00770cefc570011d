from __future__ import annotations

import os
import signal
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from annotation import large_blocks
from training.worker.loop import Worker


def at_least_one(text: str) -> int:
    """Return the number that was given. Raises ArgumentTypeError for one below 1."""
    number = int(text)
    if number < 1:
        raise ArgumentTypeError("a worker follows at least one run")
    return number


class Command(BaseCommand):
    help = "Run queued training runs. `manage.py serve` has a worker of its own; this one is for separate processes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--until-idle", action="store_true", help="end when nothing is queued")
        parser.add_argument(
            "--runs", type=at_least_one, default=1, help="how many runs it follows at once (default: 1)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        os.umask(0o077)  # what runs write is for this account alone
        large_blocks.give_back(2**20)  # files that are imported
        try:
            worker = Worker(runs_at_once=options["runs"])
        except ImproperlyConfigured as problem:
            raise CommandError(str(problem)) from problem
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: worker.stop())
        if options["until_idle"]:
            worker.run_until_idle()
        else:
            worker.run_forever()
