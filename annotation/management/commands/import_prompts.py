from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotation.actions.prompts import import_prompts
from annotation.imports import UnreadableFile, parse_prompts
from annotation.models import Project


class Command(BaseCommand):
    help = "Import prompts from a JSONL, CSV or text file; rows that are refused are named with line and reason."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--project", required=True, help="slug of the project")

    def handle(self, *args: Any, **options: Any) -> None:
        project = find_project(options["project"])
        path: Path = options["file"]
        try:
            parsed = parse_prompts(path.read_bytes(), path.name)
        except FileNotFoundError:
            raise CommandError(f"There is no file {path}.") from None
        except (UnreadableFile, OSError) as problem:
            raise CommandError(f"{path}: {problem}") from problem
        report = import_prompts(project=project, parsed=parsed, by=None)
        for row in report.refused:
            self.stderr.write(f"{path}:{row.line}: refused: {row.reason}")
        for row in report.duplicates:
            self.stderr.write(f"{path}:{row.line}: duplicate: {row.reason}")
        self.stdout.write(str(report))


def find_project(slug: str) -> Project:
    project = Project.objects.filter(slug=slug).first()
    if project is None:
        known = ", ".join(Project.objects.values_list("slug", flat=True)) or "none yet"
        raise CommandError(f"There is no project {slug!r}. Projects: {known}.")
    return project
