from __future__ import annotations

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotation.errors import NotPossible
from annotation.management.commands.import_prompts import find_project
from annotation.models import Project
from training.actions import prompt_tuning
from training.forms.prompt_tuning import newest_templates, newest_verbalizers
from training.methods import InvalidConfig
from training.models import TemplateVersion, TrainingRound, VerbalizerVersion
from training.prompt_tuning.approach_rows import recommendation
from training.prompt_tuning.approaches import APPROACHES, settings_of
from training.reports import figure
from training.reports.methods import MethodTable, as_csv, tables
from training.worker.loop import Worker


class Command(BaseCommand):
    help = "Compare ways of making a classifier on the project's labelled texts; without --approaches print the table."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, help="slug of the project")
        parser.add_argument("--approaches", nargs="+", choices=list(APPROACHES), help="a run for each and seed")
        parser.add_argument("--shots", "--k", type=int, default=16, help="texts per label to learn from")
        parser.add_argument("--seeds", type=int, default=5)
        parser.add_argument("--templates", nargs="+", help="names; default: all of the project")
        parser.add_argument("--verbalizer", help="its name; default: the only one")
        parser.add_argument("--wait", action="store_true", help="work on the runs here, and print the table at the end")
        parser.add_argument("--csv", type=Path, help="write the table here")
        parser.add_argument("--figure", type=Path, help="write the figure here, as SVG")

    def handle(self, *args: Any, **options: Any) -> None:
        project = find_project(options["project"])
        if options["approaches"]:
            round = self._start(project, options)
            self.stdout.write(f"Queued round {round.number}: {round.runs.count()} runs")
            if not options["wait"]:
                return
            self._work_on(round)
        found = tables(project)
        if not found:
            raise CommandError("Nothing is measured yet: name --approaches, and --wait for them.")
        self._print(found[0])
        if options["csv"]:
            options["csv"].write_text(as_csv(found[0]), "utf-8")
        if options["figure"]:
            options["figure"].write_text(figure.svg(found[0].rows, majority=found[0].majority), "utf-8")

    def _start(self, project: Project, options: dict[str, Any]) -> TrainingRound:
        try:
            return prompt_tuning.start_prompt_tuning(
                project=project,
                by=None,
                verbalizer=_verbalizer(project, options["verbalizer"]),
                templates=_templates(project, options["templates"]),
                settings=settings_of(options["approaches"], shots=options["shots"], seeds=options["seeds"]),
            )
        except (NotPossible, InvalidConfig) as why:
            raise CommandError(str(why)) from why

    def _work_on(self, round: TrainingRound) -> None:
        """Work until the round has ended; another worker may take its runs."""
        worker = Worker()
        while round.is_active:
            if not worker.work_once():
                time.sleep(1)
            round.refresh_from_db()
            self.stderr.write(f"{round.runs.filter(finished_at__isnull=False).count()} of {round.runs.count()} runs")
        if round.reason:
            raise CommandError(round.reason)

    def _print(self, table: MethodTable) -> None:
        self.stdout.write(f"{'method':<24}{'mean':>8}{'sd':>8}{'interval':>18}{'labels':>8}{'CPU s':>8}{'MB':>7}")
        for row in table.rows:
            sd = "" if row.sd is None else f"{row.sd:.3f}"
            ends = f"[{row.low:.3f}, {row.high:.3f}]"
            self.stdout.write(
                f"{row.label:<24}{row.mean:>8.3f}{sd:>8}{ends:>18}{row.labels:>8}{row.cpu_seconds:>8.0f}"
                f"{row.peak_rss_mb:>7.0f}"
            )
        for sentence in recommendation(table.rows):
            self.stdout.write(sentence)


def _templates(project: Project, names: list[str] | None) -> list[TemplateVersion]:
    found = newest_templates(project)
    if names is None:
        return found
    by_name = {template.name: template for template in found}
    if unknown := [name for name in names if name not in by_name]:
        raise CommandError(f"There is no template {unknown[0]!r}; there are {', '.join(by_name) or 'none'}.")
    return [by_name[name] for name in names]


def _verbalizer(project: Project, name: str | None) -> VerbalizerVersion:
    by_name = {verbalizer.name: verbalizer for verbalizer in newest_verbalizers(project)}
    if name is None and len(by_name) == 1:
        return next(iter(by_name.values()))
    if name not in by_name:
        raise CommandError(f"Name the verbalizer; there are {', '.join(by_name) or 'none yet'}.")
    return by_name[name]
