"""Policies: each successful run is a new version, and the one in use from then on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from annotation.actions import projects
from annotation.models import Project, Prompt
from training.instructions.report import NAMES
from training.methods import Method
from training.models import RunStatus, TrainingRun
from training.products.base import Planned, Product, Section
from training.products.promotions import current_policy, store_promotion
from training.products.reward_model import PRODUCT as REWARD_MODEL
from training.products.reward_model import newest_for, reward_models
from training.rundir import Row

SAMPLES_SHOWN = 20


class Policy(Product):
    name = "policy"
    order = 30
    is_training = True

    def learns_from_scores(self, method: Method) -> bool:
        """Return whether it draws its own answers, which a reward model has to score."""
        return method.data == "prompt-only"

    def refusal(self, planned: Planned) -> str:
        return no_reward_model(planned) if self.learns_from_scores(planned.method) else ""

    def inputs_for(self, run: TrainingRun) -> dict[str, Any]:
        inputs = super().inputs_for(run)
        if scored_by := newest_for(run):
            inputs["reward_model"] = scored_by
        return inputs

    def settle(self, run: TrainingRun) -> None:
        project = run.round.project
        checkpoint = str(run.directory.checkpoint_path)
        policy = projects.add_policy(project=project, checkpoint=checkpoint, parent=current_policy(project))
        store_promotion(policy=policy, by=None, why=f"Made by {run.label} in {run.round}.")
        TrainingRun.objects.filter(pk=run.pk).update(policy=policy)

    def sections(self, project: Project, runs: Sequence[TrainingRun]) -> Iterator[Section]:
        measured = [run.result for run in runs if all(split in run.result for split in NAMES)]
        if measured and (by_cluster := _by_cluster(measured[-1])):
            yield Section("training/products/unseen_tasks.html", by_cluster)
        finished = [run for run in runs if run.status == RunStatus.SUCCEEDED]
        if finished and (samples := _samples(finished[-1])):
            yield Section("training/products/samples.html", samples)


PRODUCT = Policy()


def no_reward_model(planned: Planned) -> str:
    """Return why a run that needs a reward model cannot start; empty where there is one, or will be."""
    if REWARD_MODEL.name in planned.made_before or reward_models(planned.project):
        return ""
    label = planned.method.label
    return f"{label} needs a reward model that passed its gate: put the method reward before it."


def _by_cluster(result: Row) -> list[dict[str, Any]]:
    """Return what became of unseen wordings and tasks: a title with its figures as a whole and by cluster."""
    return [
        {"title": title, "rows": [{"cluster": "All of them", **found}, *found["clusters"]]}
        for split, title in NAMES.items()
        if (found := result[split])["n"]
    ]


def _samples(run: TrainingRun) -> list[Row]:
    """Return answers to eval prompts before and after, evenly picked from the largest gain to the largest loss."""
    rows = list(run.directory.samples())
    if all(row["score_before"] is not None for row in rows):  # scored by a reward model
        rows.sort(key=lambda row: row["score_before"] - row["score_after"])
    chosen = [rows[place * len(rows) // SAMPLES_SHOWN] for place in range(SAMPLES_SHOWN)] if rows else []
    chosen = list({id(row): row for row in chosen}.values())  # fewer rows than places: each only once
    prompts = Prompt.objects.in_bulk([row["prompt_id"] for row in chosen])
    return [{"prompt": prompts.get(row["prompt_id"], "(deleted)"), **row} for row in chosen]
