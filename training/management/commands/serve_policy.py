from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotation.management.commands.import_prompts import find_project
from training.worker.policy_server import PolicyServer


def share(text: str) -> tuple[int, float]:
    """Return the number of a version and its share out of a text such as "v3=0.1"."""
    name, _, value = text.partition("=")
    try:
        found = int(name.removeprefix("v")), float(value)
    except ValueError:
        raise ArgumentTypeError("give a version and its share of the end users, such as v3=0.1") from None
    if found[0] < 0 or not 0 < found[1] <= 1:
        raise ArgumentTypeError("a share is above 0 and at most 1, such as v3=0.1")
    return found


class Command(BaseCommand):
    help = "Serve the policy of a project over HTTP, in the shape of OpenAI's chat completions."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, help="slug of the project")
        parser.add_argument(
            "--share",
            type=share,
            action="append",
            default=[],
            help="version and share of the end users who get it in place of the version in use, such as v3=0.1; "
            "may be given again",
        )
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8100)

    def handle(self, *args: Any, **options: Any) -> None:
        project, shares = find_project(options["project"]), dict(options["share"])
        if sum(shares.values()) > 1:
            raise CommandError("The shares are more than 1 together.")
        known = set(project.policies.values_list("number", flat=True))
        if missing := sorted(set(shares) - known):
            raise CommandError(f"The project has no version v{missing[0]}.")
        try:
            server = PolicyServer(project, (options["host"], options["port"]), shares)
        except OSError as problem:
            raise CommandError(f"{options['host']}:{options['port']} cannot be served: {problem}") from None
        for number in (signal.SIGINT, signal.SIGTERM):  # from another thread: it waits for the loop that it ends
            signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
        self.stdout.write(f"The policy of {project} on http://{options['host']}:{server.server_port}/v1/")
        self.stdout.flush()
        try:
            server.serve_forever()
        finally:
            server.server_close()
