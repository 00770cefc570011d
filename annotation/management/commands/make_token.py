from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from annotation.actions.tokens import make_token
from annotation.models import Scope


class Command(BaseCommand):
    help = "Create an API token for a user; prints it, the only time that it can be seen."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--name", default="made on the server", help="what uses it (default: %(default)s)")
        parser.add_argument("--scopes", nargs="+", choices=Scope.values, default=[Scope.READ.value])
        parser.add_argument("--days", type=int, metavar="N", help="until it is over (default: when it is revoked)")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["username"], is_active=True).first()
        if user is None:
            raise CommandError(f"There is no user {options['username']!r}.")
        scopes = [Scope(name) for name in options["scopes"]]
        _, value = make_token(user=user, name=options["name"], scopes=scopes, days=options["days"])
        self.stdout.write(value)
