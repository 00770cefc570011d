from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from annotation.management.commands.import_prompts import find_project
from training.products.reward_model import reward_models


class Command(BaseCommand):
    help = "Serve a project's reward model over HTTP, as OpenRLHF's --reward.remote_url asks for it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, help="slug of the project")
        parser.add_argument("--round", type=int, help="number of the round that trained it; default: the newest")
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=5000)

    def handle(self, *args: Any, **options: Any) -> None:
        found = reward_models(find_project(options["project"]))
        if options["round"] is not None:
            found = [run for run in found if run.round.number == options["round"]]
        if not found:
            where = "" if options["round"] is None else f" in round {options['round']}"
            raise CommandError(f"There is no reward model that passed its gate{where}.")
        self.stdout.write(f"The reward model of {found[0].round}, {found[0].directory.checkpoint_path}")
        self.stdout.flush()
        os.chdir(settings.BASE_DIR)
        # In the place of this process: signals reach it as they are, and Django's memory is free.
        os.execv(
            sys.executable,
            [
                sys.executable,
                "-m",
                "training.recipes.serve_reward",
                str(found[0].directory.checkpoint_path),
                "--host",
                options["host"],
                "--port",
                str(options["port"]),
            ],
        )
