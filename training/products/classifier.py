"""Classifiers: a model with a template and a verbalizer, or with a head of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext_noop

from annotation.actions import labels
from annotation.models import Project
from training.models import RunStatus, TrainingRun
from training.products.base import Product, Section
from training.prompt_tuning.approach_rows import ApproachRow, approach_row
from training.prompt_tuning.approaches import APPROACHES, approach_of
from training.rundir import Row


class Classifier(Product):
    name = "classifier"
    order = 10
    in_the_loop = False
    needs_inputs = gettext_noop(
        "Prompt tuning needs templates and a verbalizer: start it on its own page, or with compare_methods."
    )

    def inputs_for(self, run: TrainingRun) -> dict[str, Any]:
        return {
            "policy": run.round.project.policies.get(number=0).checkpoint,
            "templates": [template["body"] for template in run.inputs["templates"]],
            "verbalizer": run.inputs["verbalizer"]["words"],
        }

    def rows_for(self, run: TrainingRun) -> Iterator[Row]:
        """Yield the rows with a label of the verbalizer; and the unlabelled ones, where they are to be put in order."""
        known = run.inputs["verbalizer"]["words"]
        yield from (row for row in super().rows_for(run) if row["label"] in known)
        if run.round.project.uncertain_first:
            yield from labels.unlabelled(run.round.project)

    def settle(self, run: TrainingRun) -> None:
        """Open label tasks for the texts with the smallest margins, where the project has this switched on."""
        margins = {row["prompt_id"]: row["margin"] for row in run.directory.samples()}
        if margins and run.round.project.uncertain_first:
            control = labels.prioritise(project=run.round.project, margins=margins, seed=run.pk)
            run.result["ordered"] = {"texts": len(margins), "control_tasks": control}
            TrainingRun.objects.filter(pk=run.pk).update(result=run.result)

    def sections(self, project: Project, runs: Sequence[TrainingRun]) -> Iterator[Section]:
        if rows := rows_of(run for run in runs if run.status == RunStatus.SUCCEEDED):
            yield Section("training/products/classifiers.html", {"project": project, "rows": rows})
        if asked := [_predictions(run) for run in runs if run.result.get("wanted")]:
            yield Section("training/products/predictions.html", asked, "slices")


PRODUCT = Classifier()


def rows_of(runs: Iterable[TrainingRun]) -> list[ApproachRow]:
    """Return one row for each approach among the runs, the best first; of two runs with the same seed the later one."""
    results: dict[str, dict[int, Mapping[str, Any]]] = defaultdict(dict)
    for run in runs:
        if run.result and (name := approach_of(run.config)):
            results[name][run.config["seed"]] = run.result
    rows = [approach_row(name, list(by_seed.values())) for name, by_seed in results.items()]
    return sorted(rows, key=lambda row: row.mean, reverse=True)


def _predictions(run: TrainingRun) -> dict[str, Any]:
    """Return how often a classifier predicted each label, how often it was right, and its template."""
    result = run.result
    most = max([*result["said"].values(), *result["wanted"].values()])
    bars = [
        {"label": label, "wanted": count, "said": result["said"].get(label, 0), "most": most}
        for label, count in result["wanted"].items()
    ]
    name = approach_of(run.config)
    label = APPROACHES[name].label if name else run.config["tuning"]
    seed = run.config["seed"] if run.config["tuning"] != "zero_shot" else None
    return {"label": label, "seed": seed, "bars": bars, "result": result}
