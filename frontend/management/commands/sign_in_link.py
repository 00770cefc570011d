from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from frontend.accounts.one_time import key_of


class Command(BaseCommand):
    help = "Print a link that signs a superuser in once, within an hour, without a password or single sign-on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["username"], is_superuser=True, is_active=True).first()
        if user is None:
            raise CommandError(f"There is no superuser called {options['username']!r} whose account is open.")
        self.stdout.write(f"{settings.PUBLIC_URL}{reverse('one_time', args=[key_of(user)])}")
