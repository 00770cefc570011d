from __future__ import annotations

import json
import signal
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotation.errors import NotPossible
from frontend.readiness import can_train, prepare
from frontend.server import EmbeddedServer, as_keyboard_interrupt


class Command(BaseCommand):
    help = "Go round the whole circle once on a demo project, report, and keep serving."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--exit", action="store_true", help="end after the report")
        parser.add_argument("--report", type=Path, metavar="FILE.json", help="write the report here too")
        parser.add_argument("--small", action="store_true", help="less of everything: about five minutes")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            from frontend.demo import Demo
        except ImportError as missing:
            raise CommandError(f"{missing.name} is missing: pip install 'prefloop[train,demo]'") from missing
        if not can_train():
            raise CommandError("The demo trains, and torch is missing: pip install 'prefloop[train,demo]'")
        prepare(self._say)
        signal.signal(signal.SIGTERM, as_keyboard_interrupt)
        server = EmbeddedServer(host="127.0.0.1", port=options["port"])
        try:
            report = Demo(server=server, small=options["small"], say=self._say).run()
            text = json.dumps(report, indent=2)
            if options["report"]:
                options["report"].write_text(text + "\n", encoding="utf-8")
            self._say(text)
            if not options["exit"]:
                self._say(f"\nStill serving at {server.url} (Ctrl-C stops it)")
                while True:
                    time.sleep(3600)
        except NotPossible as why:
            raise CommandError(str(why)) from why
        except KeyboardInterrupt:
            self._say("Stopping …")
        finally:
            server.stop()

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
