from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from annotation.errors import NotPossible
from frontend.readiness import can_train, prepare
from frontend.server import EmbeddedServer, as_keyboard_interrupt

MARK = "PREFLOOP_DEMO_HOME"


def in_a_home_of_its_own(say: Callable[[str], object]) -> None:
    """Start this command again with PREFLOOP_HOME/demo as its data folder, unless that is where it runs.

    The demo's accounts have passwords that a terminal has shown, and its admin may do everything: they have no place
    beside real work. For the same reason it takes neither DATABASE_URL nor REDIS_URL.
    """
    if os.environ.get(MARK) == str(settings.HOME):
        return
    home = str(settings.HOME / "demo")
    say(f"The demo's data is kept in {home}, apart from everything else. Delete the folder to be rid of it.")
    apart = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    os.execve(sys.executable, [sys.executable, *sys.argv], {**apart, "PREFLOOP_HOME": home, MARK: home})


class Command(BaseCommand):
    help = "Run one full RLHF round on a demo project, in a data folder of its own; report, and keep serving."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--exit", action="store_true", help="end after the report")
        parser.add_argument("--report", type=Path, metavar="FILE.json", help="write the report here too")
        parser.add_argument("--small", action="store_true", help="less of everything: about three minutes")
        parser.add_argument("--again", action="store_true", help="go round once more, on another project")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            from frontend.demo import Demo
        except ImportError as missing:
            raise CommandError(f"{missing.name} is missing: pip install 'prefloop[train,demo]'") from missing
        if not can_train():
            raise CommandError("The demo trains, and torch is missing: pip install 'prefloop[train,demo]'")
        in_a_home_of_its_own(self._say)
        for told_anyway in ("prefloop.audit", "training.worker"):  # a person reads this; the audit log has its page
            logging.getLogger(told_anyway).setLevel(logging.WARNING)
        call_command("migrate", verbosity=0)  # also an earlier demo's
        prepare(self._say)
        signal.signal(signal.SIGTERM, as_keyboard_interrupt)
        server = EmbeddedServer(host="127.0.0.1", port=options["port"])
        try:
            demo = Demo(server=server, small=options["small"], say=self._say)
            report = None if options["again"] else demo.go_on()
            if report is None:
                report = demo.run()
            else:
                self._say(f"The demo in {settings.HOME} has run before; --again goes round once more. It reported:")
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
