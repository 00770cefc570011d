from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import BaseCommand

from training.worker.playground import Generator


class Command(BaseCommand):
    help = "Write the replies of the playground. `manage.py serve` does so itself; this is for separate processes."

    def handle(self, *args: Any, **options: Any) -> None:
        generator = Generator()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: generator.stop())
        generator.run_forever()
