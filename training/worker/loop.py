"""The worker: takes queued runs, starts their recipes as processes, carries what they write into the database.

It imports no tensor library, so it may share a process with the pages; any number of them may run beside each other.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.db import close_old_connections, connections

from annotation import live
from annotation.actions import labels
from annotation.delivery import dispatch
from annotation.models import Prompt, SnapshotType
from training.actions import autopilot, compared, packages, policies, rounds, runs
from training.instructions import data as instructions
from training.instructions.pool import EXAMPLES, examples
from training.methods import InstructionTuningConfig, SampleConfig
from training.models import RunStatus, TrainingRun
from training.rundir import Row
from training.worker.executors import Executor, Process
from training.worker.executors.local import LocalExecutor

logger = logging.getLogger(__name__)


class Worker:
    """`stop` ends it in good order: a run in progress goes back into the queue and is resumed by the next worker."""

    def __init__(self, executor: Executor | None = None) -> None:
        self.executor: Executor = executor or LocalExecutor()
        self.stopping = threading.Event()

    def run_forever(self) -> None:
        # Beside the runs, which take hours: webhooks and mail go out within seconds.
        sender = threading.Thread(target=self.deliver_forever, name="dispatch", daemon=True)
        sender.start()
        self._repeat(self.work_once)
        sender.join()

    def deliver_forever(self) -> None:
        try:
            self._repeat(dispatch.deliver_next)
        finally:
            connections.close_all()

    def _repeat(self, work: Callable[[], bool]) -> None:
        while not self.stopping.is_set():
            try:
                busy = work()
            except Exception:
                # The database may be away for a moment; a worker that gives up then is a stuck queue.
                logger.exception("The worker stumbled and goes on")
                busy = False
            close_old_connections()
            if not busy:
                self.stopping.wait(settings.TRAINING_POLL_SECONDS)

    def run_until_idle(self) -> None:
        """For commands and tests: go on while there is something to do."""
        while not self.stopping.is_set() and self.work_once():
            pass
        while not self.stopping.is_set() and dispatch.deliver_next():
            pass

    def stop(self) -> None:
        self.stopping.set()

    def work_once(self) -> bool:
        """Take one run, if there is one, and see it to its end."""
        runs.reclaim_lost_runs()
        rounds.pause_alarmed()
        autopilot.look()
        run = runs.claim_run()
        if run is None:
            return packages.make_next()
        logger.info("%s of %s: attempt %s", run, run.round.project, run.attempt)
        live.announce(run.round.project_id, "round")
        try:
            self._supervise(run)
        except runs.InvalidTransition as lost:
            logger.info("%s", lost)
        return True

    def _supervise(self, run: TrainingRun) -> None:
        directory = run.directory
        self.executor.stop_leftover(directory)
        if not directory.is_prepared():
            try:
                directory.prepare(config=config_for(run), rows=rows_for(run))
            except Exception as problem:
                logger.exception("Could not prepare %s", run)
                runs.fail_run(run=run, error=f"Could not prepare the run: {problem}")
                return
        try:
            process = self.executor.start(run.spec.recipe, directory)
        except OSError as problem:
            logger.exception("Could not start %s", run)
            runs.fail_run(run=run, error=f"Could not start the process: {problem}")
            return
        try:
            exit_code = self._follow(run, process)
        except runs.Paused as paused:
            exit_code = None
            logger.info("%s", paused)
        finally:
            process.stop()
        if exit_code is None:
            runs.put_back(run=run)
            logger.info("%s goes back into the queue", run)
            live.announce(run.round.project_id, "round")
            return
        runs.settle_run(run=run, exit_code=exit_code)
        run.refresh_from_db(fields=["status"])
        logger.info("%s: %s", run, RunStatus(run.status).label)

    def _follow(self, run: TrainingRun, process: Process) -> int | None:
        """Copy metrics and progress until the process ends; None if the worker itself was stopped before that."""
        offset, last_beat, progress = 0, 0.0, None
        while (exit_code := process.poll()) is None:
            if self.stopping.wait(settings.TRAINING_POLL_SECONDS):
                return None
            rows, offset = run.directory.metrics_since(offset)
            news = runs.save_metrics(run=run, rows=rows)
            current = run.directory.progress()
            if news or current != progress or time.monotonic() - last_beat > settings.TRAINING_HEARTBEAT_SECONDS:
                rounds.pause_alarmed()
                runs.heartbeat(run=run, progress=current)
                if news or current != progress:
                    live.announce(run.round.project_id, "round")
                progress, last_beat = current, time.monotonic()
        return exit_code


def config_for(run: TrainingRun) -> dict[str, Any]:
    """What a recipe finds in config.json: its settings, and the paths it starts from."""
    return {"method": run.method, "settings": run.config, "inputs": inputs_for(run)}


def inputs_for(run: TrainingRun) -> dict[str, Any]:
    """What a run starts from: folders of models, by what it makes; and for a classifier what it is asked with."""
    project = run.round.project
    inputs: dict[str, Any] = {"policy": policies.current_policy(project).checkpoint}
    scored_by = runs.reward_models(project)
    own = [made for made in scored_by if made.round_id == run.round_id]
    newest = next((str(made.directory.checkpoint_path) for made in own + scored_by), None)
    match run.spec.makes:
        case "classifier":
            inputs["policy"] = project.policies.get(number=0).checkpoint
            inputs["templates"] = [template["body"] for template in run.inputs["templates"]]
            inputs["verbalizer"] = run.inputs["verbalizer"]["words"]
        case "reward_model":
            inputs["base_model"] = project.policies.get(number=0).checkpoint
            if newest:
                inputs["previous"] = newest
        case "comparisons":
            version, opponent = compared.sides(run)
            inputs = {"version": version.checkpoint, "opponent": opponent and opponent.checkpoint}
        case "completions":
            inputs |= _authors(run)
            if newest and run.config.get("choose_by") == "disagreement":
                inputs["reward_model"] = newest
        case "policy" if newest:
            inputs["reward_model"] = newest
    return inputs


def _authors(run: TrainingRun) -> dict[str, Any]:
    """Which versions answer beside the policy, and the number of each: it may be another one when the run ends."""
    current = policies.current_policy(run.round.project_id)
    versions = {"policy": current}
    others = run.round.project.policies.exclude(pk=current.pk)
    if run.config.get("base_share") and (base := others.filter(number=0).first()):
        versions["base"] = base
    if run.config.get("older_share") and (older := list(others.filter(number__gt=0, number__lt=current.number))):
        versions["older"] = random.Random(f"older {run.pk}").choice(older)
    paths = {author: version.checkpoint for author, version in versions.items()}
    return {**paths, "versions": {author: version.number for author, version in versions.items()}}


def rows_for(run: TrainingRun) -> Iterator[Row]:
    """What a recipe finds in data.jsonl."""
    if run.spec.data in SnapshotType.values:
        if run.snapshot is None:
            raise ValueError("The run has no snapshot of judgments.")
        with run.snapshot.path.open(encoding="utf-8") as file:
            for row in map(json.loads, file):
                if run.spec.makes != "classifier" or row["label"] in run.inputs["verbalizer"]["words"]:
                    yield row
        if run.spec.makes == "classifier" and run.round.project.uncertain_first:
            yield from labels.unlabelled(run.round.project)
        return
    if run.spec.data == EXAMPLES:
        yield from examples(run.round.project)
        return
    if run.spec.config is InstructionTuningConfig:
        yield from instructions.rows_for(run.round.project, InstructionTuningConfig(**run.config))
        return
    if run.spec.makes == "comparisons":
        for prompt in compared.prompts_for(run):
            yield {"prompt_id": prompt.pk, "messages": prompt.messages, "split": prompt.split}
        return
    prompts = list(Prompt.objects.filter(project=run.round.project_id, withdrawn_at=None).order_by("id"))
    wanted = SampleConfig(**run.config).asked if run.spec.makes == "completions" else 0
    if 0 < wanted < len(prompts):
        chosen = random.Random(f"run {run.pk}").sample(prompts, wanted)
        prompts = sorted(chosen, key=lambda prompt: prompt.pk)
    for prompt in prompts:
        yield {"prompt_id": prompt.pk, "messages": prompt.messages, "split": prompt.split}
