"""The whole circle, nothing faked: a tiny model, the real worker and recipes, annotators over HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annotation.actions import projects
from annotation.models import Completion, Ranking, ReferenceAnswer, Role, Source, Task
from annotation.simulated_judges import LengthJudge
from annotation.simulation import Habits, simulate
from tests.conftest import PASSWORD
from tests.forked import ForkingExecutor
from tests.tiny_model import tiny_checkpoint
from training.actions.rounds import go_on, start_round
from training.models import Metric, RoundStatus, RunStatus
from training.worker.loop import Worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.recipes]

SETTINGS = {
    "sample": {"max_new_tokens": 8, "batch_size": 16},
    # One head: no judge says whether a random model of 32 dimensions got better, so the admin decides.
    "reward": {"heads": 1},
    "ppo": {
        "gate": "stop",
        "episodes": 32,
        "batch_size": 16,
        "minibatch_size": 8,
        "max_new_tokens": 8,
        "top_blocks": 1,
        "lora_rank": 4,
        "ppo_epochs": 2,
    },
}


def run_round(project, methods, opens_gates=None, executor=None):
    round = start_round(
        project=project, methods=methods, by=None, settings={method: SETTINGS[method] for method in methods}
    )
    Worker(executor).run_until_idle()
    round.refresh_from_db()
    if opens_gates:
        # The judge goes by length, so there is nothing by which a reward model could beat going by length.
        assert (round.status, round.runs.get(method="ppo").status) == (RoundStatus.STOPPED, RunStatus.QUEUED)
        go_on(round=round, by=opens_gates)
        Worker(executor).run_until_idle()
        round.refresh_from_db()
        assert (round.status, round.runs.get(method="ppo").status) == (RoundStatus.STOPPED, RunStatus.SUCCEEDED)
        go_on(round=round, by=opens_gates)
        Worker(executor).run_until_idle()
        round.refresh_from_db()
    assert round.status == RunStatus.SUCCEEDED, [run.error for run in round.runs.all()]
    return round


def test_round_and_round(project, admin, annotator, stranger, make_prompt, live_server, settings, tmp_path: Path):
    settings.TRAINING_POLL_SECONDS = 0.1
    checkpoint = tmp_path / "tiny"
    tiny_checkpoint(checkpoint)
    base = projects.register_base_policy(project=project, checkpoint=str(checkpoint))
    project.reference_share = 0.3
    project.save()
    projects.set_member(project=project, user=stranger, role=Role.ANNOTATOR, by=admin)
    for number in range(16):
        make_prompt(f"Tell me about thing {number}.", split="eval" if number % 4 == 0 else "train")

    # The base policy answers, and two people judge what it said.
    run_round(project, ["sample"], executor=ForkingExecutor())
    assert Completion.objects.filter(policy=base, logprob__lt=0, tokens__gte=1).count() == 16 * 4
    opened = Task.objects.count()
    logins = [(user.username, PASSWORD) for user in (annotator, stranger)]
    habits = Habits(noise=0, skip_share=0)
    tally = simulate(url=live_server.url, project=project.slug, logins=logins, judge=LengthJudge(), habits=habits)
    assert tally.rankings == Ranking.objects.count() > 8
    assert tally.references == ReferenceAnswer.objects.count() > 0
    assert tally.rankings + tally.references == opened

    # Their rankings make a reward model, PPO a new policy, its answers new tasks: twice.
    for number in (1, 2):
        before = Task.objects.count()
        # The first round's recipes start as the worker starts them; the others are forked: 4 s less each.
        executor = None if number == 1 else ForkingExecutor()
        round = run_round(project, ["reward", "ppo", "sample"], opens_gates=admin, executor=executor)
        reward, ppo, sample = round.runs.all()
        assert 0 <= reward.result["accuracy"] <= 1
        assert ppo.policy.number == number
        assert ppo.policy.parent.number == number - 1
        assert (Path(ppo.policy.checkpoint) / "adapter_config.json").exists()
        kl = list(Metric.objects.filter(run=ppo, name="objective/kl").order_by("step").values_list("value", flat=True))
        assert len(kl) == 2
        assert ppo.result["episodes"] == 32
        held_out = set(project.prompts.filter(split="eval").values_list("pk", flat=True))
        assert {row["prompt_id"] for row in ppo.directory.samples()} == held_out
        assert Completion.objects.filter(policy=ppo.policy).count() == 16 * 4
        assert Task.objects.count() > before
        if number == 1:
            assert abs(kl[0]) < 1e-4  # before its first update the policy is the reference
            # What people wrote stands among the answers to rank, and nothing tells it from the others.
            origin = f"run-{sample.pk}"
            mixed = Task.objects.filter(origin=origin, kind="ranking", candidates__source=Source.PERSON)
            assert mixed.count() == ReferenceAnswer.objects.values("completion__prompt").distinct().count()

    # Lineage: from the newest weight file back to the rankings.
    lines = reward.snapshot.path.read_text("utf-8").splitlines()
    assert {json.loads(line)["prompt_id"] for line in lines} <= set(project.prompts.values_list("pk", flat=True))
    assert reward.snapshot.counts["rankings"] == Ranking.objects.count()
