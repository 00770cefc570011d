"""Tables of methods: the runs of a project that have finished, those that can be compared together.

Only runs on the same texts, with the same base model, verbalizer and number of labelled texts stand in one table.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

from annotation.models import DatasetSnapshot, Project
from annotation.quality.labels import label_report
from training.models import TrainingRun
from training.products.classifier import PRODUCT as CLASSIFIER
from training.products.classifier import rows_of
from training.prompt_tuning.approach_rows import ApproachRow


@dataclass
class MethodTable:
    """Rows that can be compared, the best first."""

    snapshot: DatasetSnapshot
    verbalizer: str
    shots: int
    majority: float
    rows: list[ApproachRow]
    runs: list[TrainingRun] = field(default_factory=list)

    @property
    def key(self) -> str:
        return f"{self.snapshot.number}-{self.verbalizer}-{self.shots}"


def tables(project: Project) -> list[MethodTable]:
    """Return a table for each snapshot on which methods were measured, newest first."""
    runs = TrainingRun.objects.succeeded().making(CLASSIFIER.name).filter(round__project=project)
    grouped: dict[tuple[Any, ...], list[TrainingRun]] = defaultdict(list)
    for run in runs.select_related("snapshot", "round").order_by("round__number", "position"):
        assert run.snapshot is not None  # it was started with one
        words = run.inputs["verbalizer"]
        key: tuple[Any, ...] = (run.snapshot.sha256, words["id"], run.config["shots"], run.config["epochs"])
        grouped[key].append(run)
    report = label_report(project)
    pace = report["median_seconds"] if report else None
    found = [_table(group, pace) for group in grouped.values()]
    return sorted(found, key=lambda table: table.runs[-1].pk, reverse=True)


def _table(runs: list[TrainingRun], seconds_per_label: float | None) -> MethodTable:
    newest = runs[-1]
    assert newest.snapshot is not None
    return MethodTable(
        snapshot=newest.snapshot,
        verbalizer=f"{newest.inputs['verbalizer']['name']} ({newest.inputs['verbalizer']['version']})",
        shots=newest.config["shots"],
        majority=newest.result["majority"],
        rows=[
            row if seconds_per_label is None else replace(row, annotator_minutes=row.labels * seconds_per_label / 60)
            for row in rows_of(runs)
        ],
        runs=runs,
    )


COLUMNS = (
    "approach",
    "label",
    "mean",
    "sd",
    "low",
    "high",
    "macro_f1",
    "seeds",
    "n_test",
    "labels",
    "annotator_minutes",
    "train_seconds",
    "cpu_seconds",
    "watt_hours",
    "peak_rss_mb",
    "trainable_parameters",
    "artefact_bytes",
    "ms_per_text",
)


def as_csv(table: MethodTable) -> str:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for row in table.rows:
        values = [getattr(row, name) for name in COLUMNS]
        writer.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in values])
    return file.getvalue()
