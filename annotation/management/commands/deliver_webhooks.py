from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import close_old_connections

from annotation.delivery.dispatch import deliver_next


class Command(BaseCommand):
    help = "Send due webhooks and mail until Ctrl-C, in a process of its own. Every worker does this too."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--until-idle", action="store_true", help="end when nothing is due")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            while True:
                while deliver_next():
                    pass
                if options["until_idle"]:
                    return
                close_old_connections()
                time.sleep(settings.TRAINING_POLL_SECONDS)
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")
