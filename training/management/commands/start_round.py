from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotation.errors import NotPossible
from annotation.management.commands.import_prompts import find_project
from training.actions import rounds
from training.methods import METHODS, InvalidConfig
from training.methods.presets import PRESETS, with_preset
from training.reports.forecasts import Forecast, forecast


class Command(BaseCommand):
    help = "Queue a training round; a worker runs it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, help="slug of the project")
        parser.add_argument(
            "--methods", nargs="+", choices=list(METHODS), help="in order; default: what makes sense now"
        )
        parser.add_argument("--preset", choices=list(PRESETS), default="standard", help="settings for a whole round")
        parser.add_argument("--dry-run", action="store_true", help="only say what it would train on, and how long")
        parser.add_argument(
            "--set",
            nargs="+",
            action="extend",
            default=[],
            metavar="METHOD.SETTING=VALUE",
            help="e.g. ppo.episodes=1280",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        project = find_project(options["project"])
        methods = list(options["methods"] or rounds.next_methods(project))
        filled = parse_settings(options["set"])
        settings = {**filled, **with_preset(options["preset"], methods, filled)}
        try:
            if options["dry_run"]:
                self.stdout.write(_in_words(forecast(project=project, methods=methods, settings=settings)))
                return
            started = rounds.start_round(project=project, methods=methods, settings=settings, by=None)
        except (NotPossible, InvalidConfig) as why:
            raise CommandError(str(why)) from why
        self.stdout.write(f"Queued {started}: {', '.join(run.method for run in started.runs.all())}")


def _in_words(found: Forecast) -> str:
    lines = [f"Cannot start: {found.refusal}"] if found.refusal else []
    for stage in found.stages:
        time = "time not known yet" if stage.seconds is None else f"about {stage.seconds:.0f} s"
        memory = "" if stage.memory_mb is None else f", {stage.memory_mb:,.0f} MB"
        lines.append(f"{stage.label}: {stage.problem or f'{stage.rows:,} {stage.unit}'}; {time}{memory}")
        if stage.most_memory_mb:
            lines.append(f"  at most {stage.most_memory_mb:,.0f} MB, by the model's shape")
        if stage.does_not_fit:
            lines.append(f"  does not fit on this machine: {stage.does_not_fit}")
        lines += [f"  {each.setting}: {each.before} -> {each.now}" for each in stage.from_defaults]
    return "\n".join(lines)


def parse_settings(pairs: list[str]) -> dict[str, dict[str, Any]]:
    """Return ["ppo.episodes=640"] as {"ppo": {"episodes": 640}}: values are JSON, or else text."""
    settings: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        method, dot, setting = name.partition(".")
        if not (equals and dot and method and setting):
            raise CommandError(f"{pair!r} should look like METHOD.SETTING=VALUE, for example ppo.episodes=640.")
        try:
            settings.setdefault(method, {})[setting] = json.loads(value)
        except json.JSONDecodeError:
            settings.setdefault(method, {})[setting] = value
    return settings
