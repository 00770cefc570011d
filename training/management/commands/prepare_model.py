from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotation.actions.projects import register_base_policy
from annotation.errors import NotPossible
from annotation.management.commands.import_prompts import find_project
from annotation.models import Project
from training.worker.preparation import prepare_model


class Command(BaseCommand):
    help = (
        "Prepare a base model (Hugging Face id or local path; without one the bundled SmolLM2-135M-Instruct) and "
        "register it as policy version 0 of the projects that are based on it. Prints the checkpoint's path last."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", nargs="?")
        parser.add_argument("--project", help="slug: prepare this project's base model and register it there only")

    def handle(self, *args: Any, **options: Any) -> None:
        project = find_project(options["project"]) if options["project"] else None
        default = project.base_model if project else Project._meta.get_field("base_model").get_default()
        model = options["model"] or default
        try:
            checkpoint = prepare_model(model, say=self.stdout.write)
        except NotPossible as why:
            raise CommandError(str(why)) from why
        projects = [project] if project else list(Project.objects.filter(base_model=model))
        for project in projects:
            policy = register_base_policy(project=project, checkpoint=str(checkpoint))
            self.stdout.write(f"{project}: {policy} is {policy.checkpoint}")
        self.stdout.write(str(checkpoint))
