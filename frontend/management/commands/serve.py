from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from frontend.server import EmbeddedServer, what_is_missing


class Command(BaseCommand):
    help = "Serve pages, API and sockets on one address, with a worker, until Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--threads", type=int, default=4, help="threads that answer pages")
        parser.add_argument("--no-worker", action="store_true", help="leave training to `manage.py run_worker`")

    def handle(self, *args: Any, **options: Any) -> None:
        if missing := what_is_missing():
            raise CommandError(missing)
        os.environ["PREFLOOP_THREADS"] = str(options["threads"])
        server = EmbeddedServer(host=options["host"], port=options["port"], with_worker=not options["no_worker"])
        self.stdout.write(f"Prefloop is at {server.url} (Ctrl-C stops it)")
        server.run()
        self.stdout.write("Stopped.")
