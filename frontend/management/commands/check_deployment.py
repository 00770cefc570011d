from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from frontend.deployment_check import Severity, findings

COLOURS = {Severity.OK: "SUCCESS", Severity.WARNING: "WARNING", Severity.PROBLEM: "ERROR"}


class Command(BaseCommand):
    help = (
        "Tell what is wrong with this deployment: database, Redis, home, worker, addresses, mail, executors. "
        "Run it with the settings and the account of the server. Fails where there is a problem."
    )
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        problems = 0
        for severity, part, text in findings():
            problems += severity is Severity.PROBLEM
            style = getattr(self.style, COLOURS[severity])
            self.stdout.write(f"{style(severity.value.ljust(8))} {part}: {text}")
        if problems:
            raise CommandError(f"{problems} problem{'s' if problems > 1 else ''}")
