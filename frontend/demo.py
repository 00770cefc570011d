"""The whole circle on a demo project, told in steps. `manage.py demo` is its command line.

Everything is done as it would be by people: simulated annotators sign in over HTTP, rounds go through the queue, the
worker runs the recipes. Only the project, its members and the start of the rounds are made directly.
"""

from __future__ import annotations

import json
import secrets
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User

from annotation.actions import projects, prompts
from annotation.errors import NotPossible
from annotation.imports import parse_prompts
from annotation.models import Project, Ranking, ReferenceAnswer, Role, Task
from annotation.simulated_judges import SentimentJudge, SimulatedJudge
from annotation.simulation import Habits, WorkTally, simulate
from annotation.stats.bootstrap import ratio_interval, rounded
from frontend.server import EmbeddedServer
from training.actions.rounds import start_round
from training.methods.plans import FULL_ROUND
from training.models import ACTIVE, RoundStatus, RunStatus, TrainingRound, TrainingRun
from training.worker.preparation import prepare_model

SAMPLE_PROMPTS = Path(settings.BASE_DIR) / "annotation" / "sample_prompts.jsonl"
ANNOTATORS = 3
ANNOTATOR_NAMES = [f"annotator-{number}" for number in range(1, ANNOTATORS + 1)]
REPORT = Path(settings.HOME) / "report.json"
GUIDELINES = """\
Prefer answers that are **kind and positive** in tone and that answer what was asked.

- Two answers that you could not choose between are a *tie*.
- An answer that is rude or gloomy is *unacceptable*, however well it is written.
"""
CANDIDATES = 6  # answers per ranking: fifteen pairs, from reading six short texts
RESPONSE_LENGTH = 24  # tokens: a round of the demo is to be over within minutes on two cores
# What differs from the methods' defaults. Full fits fifteen minutes on two quiet cores, small fits five.
FULL: dict[str, dict[str, Any]] = {
    "sample": {"completions_per_prompt": CANDIDATES},
    # The demo shows the whole loop; the round page has the result of the gate. Its figures in the docs are without the
    # line: few of its rankings have one, and with it no gain was seen here.
    "reward": {"gate": "report", "line": False},
    "ppo": {"episodes": 640, "learning_rate": 6e-4, "kl_coef": 0.03, "eval_completions": 4},
}
SMALL: dict[str, dict[str, Any]] = {
    "sample": {**FULL["sample"], "prompts": 40},
    "reward": {**FULL["reward"], "reference_samples": 32},
    "ppo": {**FULL["ppo"], "episodes": 192, "learning_rate": 1e-3, "eval_completions": 2},
}
ANSWERED_AGAIN = 0.4  # share of the prompts that the new policy answers: enough to open the next round's tasks


class Demo:
    def __init__(self, *, server: EmbeddedServer, small: bool, say: Callable[[str], object]) -> None:
        self.server, self.small, self.say = server, small, say
        self.judge: SimulatedJudge = SentimentJudge()
        self.seconds: dict[str, float] = {}
        self.tally = WorkTally()
        self.password = secrets.token_urlsafe(12)  # of the demo's accounts; another one at each start

    def go_on(self) -> dict[str, Any] | None:
        """Serve a demo that has gone round before, with a new password, and return its report; None without one."""
        if not REPORT.exists():
            return None
        project = Project.objects.filter(slug__startswith="demo").order_by("pk").last()
        if project is None:
            return None
        self._accounts()
        self._serve(project)
        report: dict[str, Any] = json.loads(REPORT.read_text(encoding="utf-8"))
        return report

    def run(self) -> dict[str, Any]:
        """Set up, go round the circle once, and report."""
        with self._stage("set up"):
            project = self._set_up()
        self._serve(project)
        with self._stage("sample"):
            self._run_round(project, ["sample"])
        with self._stage("annotate"):
            self._annotate(project)
        before = Task.objects.filter(project=project).count()
        finished = self._run_round(project, list(FULL_ROUND))
        for run in finished.runs.all():
            if run.started_at and run.finished_at:
                name = f"{run.method} again" if run.method in self.seconds else run.method
                self.seconds[name] = round((run.finished_at - run.started_at).total_seconds(), 1)
        report = self._report(project, finished, tasks_before=before)
        REPORT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        return report

    def _serve(self, project: Project) -> None:
        self.server.start()
        self._wait_for_server()
        self.say(f"\nOpen it at {self.server.url}/projects/{project.slug}/")
        self.say(f"Sign in as admin, annotator-1, … annotator-{ANNOTATORS}; password {self.password}")
        self.say("This password is stored nowhere in clear; the next start of the demo sets another one.\n")

    def _accounts(self) -> tuple[User, list[User]]:
        """Make the demo's accounts where they are missing, and set their password; return admin and annotators."""
        admin = self._account("admin", is_staff=True, is_superuser=True)
        return admin, [self._account(name) for name in ANNOTATOR_NAMES]

    def _account(self, username: str, **flags: bool) -> User:
        user, _ = User.objects.get_or_create(username=username, defaults=flags)
        user.set_password(self.password)
        user.save()
        return user

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 1)

    def _set_up(self) -> Project:
        admin, annotators = self._accounts()
        project = projects.create_project(
            project=Project(
                name=_free_name(),
                guidelines=GUIDELINES,
                candidates_per_task=CANDIDATES,
                reference_share=0.1,
                answer_tokens=RESPONSE_LENGTH,
            ),
            by=admin,
        )
        for account in annotators:
            projects.set_member(project=project, user=account, role=Role.ANNOTATOR, by=admin)
        parsed = parse_prompts(SAMPLE_PROMPTS.read_bytes(), SAMPLE_PROMPTS.name)
        report = prompts.import_prompts(project=project, parsed=parsed, by=admin)
        self.say(f"Prompts: {report}")
        self.say(f"Preparing {project.base_model} …")
        checkpoint = prepare_model(project.base_model, say=self.say)
        projects.register_base_policy(project=project, checkpoint=str(checkpoint))
        return project

    def _wait_for_server(self) -> None:
        for _ in range(100):
            try:
                with urllib.request.urlopen(f"{self.server.url}/health/", timeout=5):
                    return
            except OSError:
                time.sleep(0.1)
        raise NotPossible(f"The server did not come up at {self.server.url}. Is the port in use? Try --port.")

    def _run_round(self, project: Project, methods: list[str]) -> TrainingRound:
        started = start_round(project=project, methods=methods, settings=self._settings(project, methods), by=None)
        said = ""
        while True:
            started.refresh_from_db()
            runs = list(started.runs.all())
            if (line := " · ".join(_describe(run) for run in runs)) != said:
                self.say(f"  {started}: {line}")
                said = line
            if started.status not in ACTIVE:
                break
            time.sleep(2)
        if started.status != RoundStatus.SUCCEEDED:
            error = next((run.error for run in runs if run.error), "")
            raise NotPossible(f"{started} is {started.status}: {started.reason}\n{error}")
        return started

    def _settings(self, project: Project, methods: list[str]) -> dict[str, dict[str, Any]]:
        differing = SMALL if self.small else FULL
        chosen = {method: dict(differing[method]) for method in methods}
        if methods == list(FULL_ROUND):
            asked = chosen["sample"].get("prompts") or project.prompts.count()
            chosen["sample"]["prompts"] = round(ANSWERED_AGAIN * asked)
        return chosen

    def _annotate(self, project: Project) -> None:
        self.say(f"{ANNOTATORS} simulated annotators sign in and work through the queue …")
        self.tally += simulate(
            url=self.server.url,
            project=project.slug,
            logins=[(name, self.password) for name in ANNOTATOR_NAMES],
            judge=self.judge,
            habits=Habits(noise=0.1),
        )
        self.say(f"  {self.tally.rankings} rankings, {self.tally.references} references, {self.tally.skipped} skipped")

    def _report(self, project: Project, finished: TrainingRound, *, tasks_before: int) -> dict[str, Any]:
        results = {run.method: run.result for run in finished.runs.all()}
        ppo_run = finished.runs.get(method="ppo")
        trained_on = finished.runs.get(method="reward").snapshot
        assert trained_on is not None
        reward, ppo = results["reward"], results["ppo"]
        return {
            "tasks": tasks_before,
            "rankings": Ranking.objects.filter(assignment__project=project).count(),
            "references": ReferenceAnswer.objects.filter(assignment__project=project).count(),
            "pairs": trained_on.counts.get("train pairs", 0) + trained_on.counts.get("eval pairs", 0),
            "reward_model": {name: reward[name] for name in ("accuracy", "ci95", "n", "length_baseline")},
            "policy": {
                **{name: ppo[name] for name in ("score_before", "score_after", "kl", "episodes")},
                **gold_change(ppo_run, self.judge),
            },
            "new_tasks_opened": Task.objects.filter(project=project).count() - tasks_before,
            "seconds": {**self.seconds, "total": round(sum(self.seconds.values()), 1)},
        }


def gold_change(ppo_run: TrainingRun, judge: SimulatedJudge) -> dict[str, Any]:
    """Return the judge's mean change from the answers before to those after, with a bootstrap interval.

    Prompts are resampled, not answers: answers to one prompt are alike.
    """
    by_prompt: dict[int, list[tuple[float, float]]] = {}
    for row in ppo_run.directory.samples():
        scores = judge.score(row["before"]), judge.score(row["after"])
        by_prompt.setdefault(row["prompt_id"], []).append(scores)
    prompts_seen = list(by_prompt.values())

    def means(groups: list[list[tuple[float, float]]]) -> tuple[float, float]:
        pairs = [pair for group in groups for pair in group]
        return sum(before for before, _ in pairs) / len(pairs), sum(after for _, after in pairs) / len(pairs)

    changes = [sum(after - before for before, after in group) for group in prompts_seen]
    before, after = means(prompts_seen)
    return {
        "gold_before": round(before, 4),
        "gold_after": round(after, 4),
        "gold_change_ci95": rounded(ratio_interval(changes, list(map(len, prompts_seen)))),
        "n": sum(len(group) for group in prompts_seen),
    }


def _free_name() -> str:
    """Return an unused project name: a demo that runs again makes a project of its own."""
    number = Project.objects.filter(slug__startswith="demo").count() + 1
    return "Demo" if number == 1 else f"Demo {number}"


def _describe(run: TrainingRun) -> str:
    if run.status == RunStatus.RUNNING and run.progress_total:
        return f"{run.label} {run.progress_done}/{run.progress_total} {run.progress_unit}"
    return f"{run.label} {run.get_status_display().lower()}"
