from __future__ import annotations

import secrets
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from annotation.actions.projects import set_member
from annotation.management.commands.import_prompts import find_project
from annotation.models import Project, Role
from annotation.simulated_judges import SIMULATED_JUDGES


class Command(BaseCommand):
    help = "Let simulated annotators sign in at a running server and work through a project's queue."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, help="slug of the project")
        parser.add_argument("--annotators", type=int, default=3)
        parser.add_argument("--judge", choices=list(SIMULATED_JUDGES), default="sentiment")
        parser.add_argument("--noise", type=float, default=0.1, help="standard deviation added to the judge's scores")
        parser.add_argument("--pace", type=float, default=0.0, help="mean seconds spent on a task")
        parser.add_argument("--tasks", type=int, help="most tasks per annotator; default: until the queue is empty")
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the server runs")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            from annotation.simulation import Habits, simulate
        except ImportError as missing:
            raise CommandError(f"{missing.name} is missing: pip install '.[demo]'") from missing
        if options["annotators"] < 1:
            raise CommandError("--annotators should be at least 1.")
        logins = simulated_logins(find_project(options["project"]), options["annotators"])
        habits = Habits(noise=options["noise"], pace=options["pace"], most_tasks=options["tasks"])
        try:
            tally = simulate(
                url=options["url"],
                project=options["project"],
                logins=logins,
                judge=SIMULATED_JUDGES[options["judge"]](),
                habits=habits,
            )
        except OSError as problem:
            raise CommandError(f"{options['url']}: {problem}") from problem
        unary = f"{tally.unary} good or bad, " if tally.unary else ""
        self.stdout.write(
            f"{tally.rankings} rankings, {unary}{tally.references} reference responses, {tally.skipped} skipped"
        )


def simulated_logins(project: Project, count: int) -> list[tuple[str, str]]:
    """Return accounts simulated-1 … simulated-n, members of the project, with passwords for this session."""
    logins = []
    for number in range(1, count + 1):
        user, _ = User.objects.get_or_create(username=f"simulated-{number}")
        password = secrets.token_urlsafe(16)
        user.set_password(password)
        user.save(update_fields=["password"])
        set_member(project=project, user=user, role=Role.ANNOTATOR, by=user)
        logins.append((user.username, password))
    return logins
