"""What the demo's report says is counted, not guessed."""

from __future__ import annotations

import io
import os
import sys

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from annotation.models import Project, Role
from frontend import demo
from frontend.server import EmbeddedServer
from training.models import TrainingRound, TrainingRun

pytestmark = pytest.mark.django_db


class CountsStars:
    def score(self, answer: str) -> float:
        return float(answer.count("*"))

    def improve(self, answer: str) -> str:
        return answer


@pytest.fixture
def ppo_run(project) -> TrainingRun:
    round = TrainingRound.objects.create(project=project, number=1)
    run = TrainingRun.objects.create(round=round, position=0, method="ppo")
    run.directory.path.mkdir(parents=True)
    return run


def test_gold_is_the_mean_of_what_the_judge_says_with_an_interval_over_prompts(ppo_run):
    for prompt in range(20):
        for _ in range(2):
            ppo_run.directory.log_sample({"prompt_id": prompt, "before": "*", "after": "***" if prompt % 2 else "**"})
    change = demo.gold_change(ppo_run, CountsStars())
    assert change["gold_before"] == 1.0
    assert change["gold_after"] == 2.5
    assert change["n"] == 40
    low, high = change["gold_change_ci95"]
    assert 1.2 < low < 1.5 < high < 1.8


def test_answers_to_one_prompt_do_not_count_as_independent(ppo_run):
    """Two prompts with very many answers are still only two prompts: the interval spans both."""
    for prompt, after in ((1, "*"), (2, "***")):
        for _ in range(50):
            ppo_run.directory.log_sample({"prompt_id": prompt, "before": "*", "after": after})
    assert demo.gold_change(ppo_run, CountsStars())["gold_change_ci95"] == [0.0, 2.0]


def test_the_demo_project_has_prompts_people_and_a_policy(db, monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "prepare_model", lambda model, say: tmp_path / "model")
    said: list[str] = []
    server = EmbeddedServer(host="127.0.0.1", port=0, with_worker=False)
    show = demo.Demo(server=server, small=True, say=said.append)
    first, second = show._set_up(), show._set_up()
    assert [first.slug, second.slug] == ["demo", "demo-2"]
    assert first.prompts.count() >= 120
    assert {"train", "eval"} == set(first.prompts.values_list("split", flat=True))
    assert first.memberships.filter(role=Role.ANNOTATOR).count() == demo.ANNOTATORS
    assert first.policies.get().checkpoint == str(tmp_path / "model")


def test_each_start_has_another_password_and_goes_on_with_the_demo_that_is_there(db, monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "prepare_model", lambda model, say: tmp_path / "model")
    monkeypatch.setattr(demo, "REPORT", tmp_path / "report.json")
    said: list[str] = []
    server = EmbeddedServer(host="127.0.0.1", port=0, with_worker=False)
    first = demo.Demo(server=server, small=True, say=said.append)
    assert first.go_on() is None  # nothing has run yet
    first._set_up()
    assert first.go_on() is None  # it was interrupted
    (tmp_path / "report.json").write_text('{"tasks": 40}')
    second = demo.Demo(server=server, small=True, say=said.append)
    monkeypatch.setattr(second, "_wait_for_server", lambda: None)
    monkeypatch.setattr(server, "start", lambda: None)
    assert second.go_on() == {"tasks": 40}
    assert Project.objects.get().slug == "demo"
    assert first.password != second.password
    assert sum(second.password in line for line in said) == 1
    for user in User.objects.all():
        assert (user.check_password(first.password), user.check_password(second.password)) == (False, True)
    assert set(User.objects.values_list("username", flat=True)) == {"admin", *demo.ANNOTATOR_NAMES}


def test_the_demo_touches_no_account_of_the_server_beside_it(db, monkeypatch, settings, tmp_path):
    """`demo` starts itself again on a folder of its own before it makes anything."""
    settings.HOME = tmp_path
    monkeypatch.setenv("DATABASE_URL", "postgres://real/work")
    own = User.objects.create_superuser("admin", password="my own passphrase")
    started: list[tuple[str, list[str], dict[str, str]]] = []

    def exec_instead(*arguments):
        started.append(arguments)
        raise SystemExit

    monkeypatch.setattr(os, "execve", exec_instead)
    with pytest.raises(SystemExit):
        call_command("demo", "--exit", stdout=io.StringIO())
    ((program, arguments, environment),) = started
    assert (program, arguments[0]) == (sys.executable, sys.executable)
    assert environment["PREFLOOP_HOME"] == str(tmp_path / "demo")
    assert "DATABASE_URL" not in environment
    own.refresh_from_db()
    assert own.check_password("my own passphrase")
    assert list(User.objects.all()) == [own]
