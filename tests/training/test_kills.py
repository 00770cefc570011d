"""Workers killed with -9 at fixed steps of their runs: what they trained ends with the very weights of an unbroken run.

Everything is real: a database in a file, workers as processes, PPO on a tiny model. The recipe's own process survives
its worker, as it does after a real kill, and the next worker has to deal with it. What is killed first, and what goes
on after kills, is started as a server starts it; the other recipes are forked (tests/forked.py).
"""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import NIGHTLY
from tests.frontend.test_serve import begin, environment_of, manage
from tests.tiny_model import tiny_checkpoint

pytestmark = [pytest.mark.recipes, pytest.mark.xdist_group("kills")]
ROOT = Path(__file__).resolve().parent.parent.parent
KILLED_RUNS = 10 if NIGHTLY else 2
SILENCE = 1.0  # seconds after which a worker counts as gone; a minute is the default

# With one head the reward model has no judge, so the last update is kept, whatever it is worth.
SET_UP = """
import uuid
from django.contrib.auth.models import User
from annotation.actions import judgments, projects, assignments, tasks, queue
from annotation.models import Completion, Project, Prompt, Source
admin = User.objects.create_user("admin")
project = projects.create_project(project=Project(name="Letters"), by=admin)
policy = projects.register_base_policy(project=project, checkpoint={checkpoint!r})
for number in range(12):
    messages = [{{"role": "user", "content": f"Question {{number}}"}}]
    split = "eval" if number % 4 == 0 else "train"
    prompt = Prompt.objects.create(project=project, messages=messages, digest=Prompt.digest_of(messages), split=split)
    texts = ["the sea is calm", "the sky is green and warm", "rain"]
    made = [Completion.objects.create(prompt=prompt, source=Source.POLICY, policy=policy, text=text) for text in texts]
    tasks.open_task(prompt=prompt, kind="ranking", candidates=made, seats=1)
while seat := queue.claim_next(project=project, by=admin):
    answer = {{"tiers": [[pk] for pk in sorted(seat.shown_order)], "unacceptable": [], "rationale": ""}}
    judgments.submit(assignment=seat, client_uuid=uuid.uuid4(), answer=answer, active_ms=900)
from training.actions.rounds import start_round
start_round(project=project, methods=["reward"], by=admin, settings={{"reward": {{
    "gate": "report", "heads": 1, "learning_curve": 0, "reference_samples": 8, "max_new_tokens": 6}}}})
"""
NEXT = """
from django.contrib.auth.models import User
from annotation.models import Project
from training.actions.policies import promote
from training.products.promotions import current_policy
from training.actions.rounds import start_round
project, admin = Project.objects.get(), User.objects.get()
if current_policy(project).number:
    promote(policy=project.policies.get(number=0), by=admin, why="From the same start again.")
round = start_round(project=project, methods=["ppo"], by=admin, settings={"ppo": {
    "episodes": 64, "batch_size": 8, "minibatch_size": 8, "completions_per_prompt": 2, "max_new_tokens": 6,
    "top_blocks": 1, "lora_rank": 2, "ppo_epochs": 2, "eval_every": 0, "eval_completions": 1,
    "length_floor": 0, "distinct_floor": 0, "entropy_floor": 0, "clipfrac_limit": 1, "kl_limit": 10000,
    "save_every": 1}})
print(round.runs.get().pk)
"""

WORKS_UNTIL = """
import sys
from tests import forked
from training.executors.local import LocalExecutor
from training.worker.loop import Worker

class PausingExecutor(LocalExecutor):
    def command(self, recipe, directory):
        arguments = ["tests.recipes.killing", recipe, str(directory.path), "pause", "{step}"]
        return [sys.executable, "-m", *arguments] if {step} == 1 else forked.command(*arguments)

Worker(PausingExecutor()).run_until_idle()
"""
WORKS_FORKED = """
from tests.forked import ForkingExecutor
from training.worker.loop import Worker
Worker(ForkingExecutor()).run_until_idle()
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    lost = {"PREFLOOP_LOST_AFTER_SECONDS": str(SILENCE), "OMP_NUM_THREADS": "1"}
    environment = environment_of(tmp_path / "home") | lost
    checkpoint = str(tiny_checkpoint(tmp_path / "base"))
    begin(environment, SET_UP.format(checkpoint=checkpoint) + WORKS_FORKED)
    return environment


def work(environment: dict[str, str]) -> None:
    command = [sys.executable, "manage.py", "run_worker", "--until-idle"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def kill_worker(environment: dict[str, str], run: Path, step: int) -> None:
    """Start a worker whose recipe waits after `step` updates, and kill it there."""
    command = [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", WORKS_UNTIL.format(step=step)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    paused = run / "paused"
    while not paused.exists():
        assert process.poll() is None, (run / "log.txt").read_text()
        time.sleep(0.02)
    process.kill()
    process.wait()
    paused.unlink()


def start(environment: dict[str, str], then: str = "") -> int:
    return int(manage(environment, "shell", "--verbosity", "0", "-c", NEXT + then).stdout.split()[0])


def status(home: Path, run: int) -> str:
    with sqlite3.connect(home / "db.sqlite3") as database:
        return str(database.execute("SELECT status FROM training_trainingrun WHERE id = ?", [run]).fetchone()[0])


def folder_of(home: Path, run: int) -> Path:
    """Return the run directory: number and key."""
    with sqlite3.connect(home / "db.sqlite3") as database:
        key = database.execute("SELECT key FROM training_trainingrun WHERE id = ?", [run]).fetchone()[0]
    return home / "runs" / f"{run}-{key}"


def weights(home: Path, run: int) -> str:
    folder = folder_of(home, run) / "checkpoint"
    return hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()


def test_killed_runs_end_with_the_weights_of_an_unbroken_one(environment, tmp_path):
    home = tmp_path / "home"
    unbroken = start(environment, then=WORKS_FORKED)
    assert status(home, unbroken) == "succeeded", (folder_of(home, unbroken) / "log.txt").read_text()
    wanted = weights(home, unbroken)

    for kill in range(KILLED_RUNS):
        run = start(environment)
        folder = folder_of(home, run)
        for step in ((1, 8), (4,), (3, 6), (2,))[kill % 4]:  # of eight updates
            kill_worker(environment, folder, step)
            assert status(home, run) == "running"
            time.sleep(SILENCE + 0.1)
        work(environment)
        assert status(home, run) == "succeeded", (folder / "log.txt").read_text()
        assert weights(home, run) == wanted
