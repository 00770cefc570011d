"""Reward models: what scores answers as people would."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib.auth.models import User
from django.utils.translation import gettext, gettext_noop

from annotation import pseudonyms, stored
from annotation.models import Project
from training.models import TrainingRun
from training.products.adapters import has_adapter
from training.products.base import Planned, Product, Section

SLICES = {
    "margin": gettext_noop("By preference margin"),
    "length_gap": gettext_noop("By length difference, tokens"),
    "annotator": gettext_noop("By annotator"),
    "policy": gettext_noop("By newest policy version among the responses"),
}


class RewardModel(Product):
    name = "reward_model"
    chance = 0.5  # of two responses one is preferred
    order = 20
    is_training = True

    def refusal(self, planned: Planned) -> str:
        """Return why it cannot start from an adapter that is not there."""
        start = planned.config.get("start", "fresh")
        if start == "previous" and self.name not in planned.made_before and not reward_models(planned.project):
            return gettext("reward.start: there is no earlier reward model that passed its gate. Set it to fresh.")
        if start == "policy" and "policy" not in planned.made_before and not has_adapter(planned.project):
            return gettext("reward.start: the active version has no adapter to start from. Set it to fresh.")
        return ""

    def inputs_for(self, run: TrainingRun) -> dict[str, Any]:
        inputs = super().inputs_for(run)
        inputs["base_model"] = run.round.project.policies.get(number=0).checkpoint
        if previous := newest_for(run):
            inputs["previous"] = previous
        return inputs

    def sections(self, project: Project, runs: Sequence[TrainingRun]) -> Iterator[Section]:
        """Yield where the last reward model is right more and less often: headings with rows of `result["slices"]`."""
        found = runs[-1].result.get("slices") or {}
        members = User.objects.filter(memberships__project=project)
        people = {f"annotator-{user.pk}": pseudonyms.known_as(project.pk, user) for user in members}
        slices = [
            {
                "title": title,
                "rows": [
                    {**row, "label": people.get(row["label"]) or stored.translated(row["label"])} for row in found[name]
                ],
            }
            for name, title in SLICES.items()
            if found.get(name)
        ]
        if slices:
            yield Section("training/products/slices.html", slices, "slices")


PRODUCT = RewardModel()


def trained_reward_models(project: Project | int) -> list[TrainingRun]:
    """Return the runs that made a reward model, past the gate or not, in the order of their rounds."""
    runs = TrainingRun.objects.succeeded().making(PRODUCT.name).filter(round__project=project)
    return list(runs.select_related("round").order_by("round__number", "position"))


def reward_models(project: Project | int) -> list[TrainingRun]:
    """Return the runs whose reward model may be trained against, the newest first."""
    return [run for run in reversed(trained_reward_models(project)) if not run.closed_gate]


def newest_for(run: TrainingRun) -> str:
    """Return the folder of the reward model that the run uses: its own round's, or else the newest; "" for none."""
    usable = reward_models(run.round.project)
    own = [made for made in usable if made.round_id == run.round_id]
    return next((str(made.directory.checkpoint_path) for made in own + usable), "")
