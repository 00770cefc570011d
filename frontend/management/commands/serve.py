from __future__ import annotations

import os
import shlex
import sys
import threading
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from annotation.actions import first_admin
from frontend.readiness import can_train, prepare
from frontend.server import EmbeddedServer

STOP_SECONDS = 35  # a worker first puts its run back into the queue
BUSY_SECONDS = 5.0


def _end_soon() -> None:
    """End the process in a few seconds even where a page is still computed; what it had begun is rolled back."""
    timer = threading.Timer(BUSY_SECONDS, os._exit, (0,))
    timer.daemon = True
    timer.start()


class Command(BaseCommand):
    help = "Serve pages, API and sockets on one address, with a worker, until Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--threads", type=int, default=4, help="threads that answer pages")
        parser.add_argument("--no-worker", action="store_true", help="leave training to `manage.py run_worker`")
        parser.add_argument("--reload", action="store_true", help="start again whenever code or a template changes")

    def handle(self, *args: Any, **options: Any) -> None:
        prepare(self._say)
        if options["reload"]:
            self._serve_and_reload()
            return
        os.environ["PREFLOOP_THREADS"] = str(options["threads"])
        try:
            server = EmbeddedServer(host=options["host"], port=options["port"], with_worker=not options["no_worker"])
        except ImproperlyConfigured as problem:
            raise CommandError(str(problem)) from problem
        self._say(f"Prefloop is at {server.url} (Ctrl-C stops it)")
        if first_admin.is_open():
            self._say(f"No account exists yet: make the first admin at {server.url}{reverse('setup')}")
            self._say(f"Set-up code, which that page asks for on any other machine: {first_admin.set_up_code()}")
        if not can_train():
            self._say("torch is not installed: runs and playground replies wait for a worker that has it.")
        server.run()
        self._say("Stopped.")
        _end_soon()

    def _serve_and_reload(self) -> None:
        """Serve in a process of its own, which is started again at each change of a .py or .html file."""
        from watchfiles import DefaultFilter, run_process

        class Sources(DefaultFilter):
            def __call__(self, change: Any, path: str) -> bool:
                return path.endswith((".py", ".html")) and super().__call__(change, path)

        folders = [settings.BASE_DIR / name for name in ("annotation", "training", "frontend", "templates")]
        run_process(
            *(folder for folder in folders if folder.exists()),
            target=shlex.join([sys.executable, *(word for word in sys.argv if word != "--reload")]),
            target_type="command",
            watch_filter=Sources(),
            sigint_timeout=STOP_SECONDS,
        )

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
