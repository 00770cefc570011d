from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from annotation.errors import NotPossible
from frontend.accounts.people import erase, look


class Command(BaseCommand):
    help = "Erase a person: texts, name, memberships, tokens. Without --yes it only says what would go."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--yes", action="store_true", help="do it; this cannot be undone")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"There is no user {options['username']!r}.")
        try:
            found = erase(user, by=None) if options["yes"] else look(user)
        except NotPossible as why:
            raise CommandError(str(why)) from why
        for title, counts in (("texts removed from", found.texts), ("deleted", found.deleted)):
            for name, count in counts.items():
                self.stdout.write(f"{title} {name}: {count}")
        for project in found.projects:
            self.stdout.write(f"annotations that are excluded: {project.slug}")
        for path in found.files:
            self.stdout.write(f"still holds data: {path}")
        if not options["yes"]:
            self.stdout.write("Nothing was changed. --yes erases.")
