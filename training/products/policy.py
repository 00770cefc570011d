"""Policies: each successful run is a new version, and the one in use from then on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib.auth.models import User
from django.utils.translation import gettext, gettext_noop

from annotation.actions import projects
from annotation.models import PolicyVersion, Project, Prompt
from training.ancestry import base_version
from training.instructions.report import NAMES
from training.methods import Method
from training.methods.plans import heads_wanted
from training.models import RunStatus, TrainingRun
from training.phrases import phrase
from training.products.adapters import too_small
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
        method, config = planned.method, planned.config
        if self.learns_from_scores(method) and (why_not := no_reward_model(planned) or no_heads(planned)):
            return why_not
        if config.get("train", "lora") == "lora" and self.name not in planned.made_before:
            return too_small(planned.project, method.name, config, method.config())
        return ""

    def inputs_for(self, run: TrainingRun) -> dict[str, Any]:
        inputs = super().inputs_for(run)
        inputs["versions"]["reference"] = reference_of(run)
        if scored_by := newest_for(run):
            inputs["reward_model"] = scored_by
        return inputs

    def settle(self, run: TrainingRun) -> None:
        """Store the new version, and put it into use if it passed its gate. An unchanged policy is no new version."""
        if run.keeps_nothing:
            return
        project = run.round.project
        checkpoint = str(run.directory.checkpoint_path)
        policy = projects.add_policy(project=project, checkpoint=checkpoint, parent=started_from(run))
        if run.result.get("gate", {}).get("passed", True):
            store_promotion(policy=policy, by=None, why=f"Made by {run.label} in {run.round}.")
        TrainingRun.objects.filter(pk=run.pk).update(policy=policy)

    def override_gate(self, run: TrainingRun, by: User) -> None:
        """Put the version into use although it did not pass its gate, as `by` decided."""
        if run.policy is not None and not run.result["gate"]["passed"]:
            why = f"{by} let {run.round} go on, although {run.policy} did not pass its gate."
            store_promotion(policy=run.policy, by=by, why=why)

    def sections(self, project: Project, runs: Sequence[TrainingRun]) -> Iterator[Section]:
        measured = [run.result for run in runs if all(split in run.result for split in NAMES)]
        if measured and (by_cluster := _by_cluster(measured[-1])):
            yield Section("training/products/unseen_tasks.html", by_cluster, "slices")
        finished = [run for run in runs if run.status == RunStatus.SUCCEEDED]
        if finished and (samples := _samples(finished[-1])):
            yield Section("training/products/samples.html", samples, "samples")


PRODUCT = Policy()


def reference_of(run: TrainingRun) -> int:
    """Return the number of the version that the KL of a run is measured to, and that holds it near.

    An adapter learns over its base. PPO on all weights keeps the reward model's base beside it, which is version 0.
    """
    if run.method == "ppo" and run.config.get("train") == "full":
        return 0
    return base_version(current_policy(run.round.project_id)).number


def started_from(run: TrainingRun) -> PolicyVersion:
    """Return the version that a run started from; another may be in use by the time it ends."""
    number = run.directory.config()["inputs"].get("versions", {}).get("policy")
    if number is None:
        return current_policy(run.round.project_id)
    return run.round.project.policies.get(number=number)


def no_reward_model(planned: Planned) -> str:
    """Return why a run that needs a reward model cannot start; empty where there is one, or will be."""
    if REWARD_MODEL.name in planned.made_before or reward_models(planned.project):
        return ""
    return gettext("%(method)s needs a reward model that passed its gate: put the method reward before it.") % {
        "method": gettext(planned.method.label)
    }


def no_heads(planned: Planned) -> str:
    """Return why a setting that needs several heads does nothing with the newest reward model."""
    if REWARD_MODEL.name in planned.made_before or not planned.config:
        return ""  # one that the round trains is in its settings
    newest = reward_models(planned.project)[0]
    heads = newest.config.get("heads", 1)
    for name, least in planned.method.config(**planned.config).needed_heads().items():
        if heads < least:
            found = phrase("that of round %(round)s has %(heads)s", round=newest.round.number, heads=heads)
            return f"{planned.method.name}.{name} {heads_wanted(least, found).translated(gettext)}."
    return ""


def _by_cluster(result: Row) -> list[dict[str, Any]]:
    """Return what became of unseen wordings and tasks: a title with its figures as a whole and by cluster."""
    return [
        {"title": title, "rows": [{"cluster": gettext_noop("All of them"), **found}, *found["clusters"]]}
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
    return [{"prompt": prompts.get(row["prompt_id"], gettext("(deleted)")), **row} for row in chosen]
