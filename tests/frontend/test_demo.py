"""What the demo's report says is counted, not guessed."""

from __future__ import annotations

import pytest

from annotation.models import Role
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
