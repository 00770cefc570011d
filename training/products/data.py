"""What methods read: DATA, by the name that a method gives in `data`. Snapshot types have TRL's names."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext, gettext_noop

from annotation.errors import NotPossible
from annotation.exports import EXPORTS, NO_GOOD_ANSWER, SnapshotContext
from annotation.judged.rows import rankings_that_count, unary_that_count
from annotation.models import Completion, ImportedJudgment, Project, Prompt, ReferenceAnswer, SnapshotType, Source
from training.instructions import data as instructions
from training.instructions.pool import examples
from training.methods import InstructionTuningConfig, Method
from training.models import TrainingRun
from training.rundir import Row

NOTHING_RANKED = gettext_noop(
    "There are no rankings yet, so there is nothing to train on: %(method)s learns from rankings."
)

OF_SPLIT = {"train": gettext_noop("train prompts"), "eval": gettext_noop("eval prompts")}


@dataclass(frozen=True)
class RowCounts:
    """Rows that a run would read if it started now, by split or whatever tells them apart; or why there are none."""

    unit: str
    rows: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""


class Data:
    """One kind of data. `snapshot_type` is what a round freezes for it, None where nothing is."""

    snapshot_type: SnapshotType | None = None
    needs_prompts: bool = False

    def refusal(self, project: Project, method: Method) -> str:
        """Return why there is nothing to learn from; empty where there is something."""
        return ""

    def rows(self, run: TrainingRun) -> Iterator[Row]:
        """Yield the rows of data.jsonl."""
        raise NotImplementedError

    def count(self, project: Project, config: Mapping[str, Any]) -> RowCounts:
        """Return what a run with this config would read."""
        raise NotImplementedError


class NoData(Data):
    """For recipes that read nothing but their settings and inputs."""

    def rows(self, run: TrainingRun) -> Iterator[Row]:
        yield from ()

    def count(self, project: Project, config: Mapping[str, Any]) -> RowCounts:
        return RowCounts(gettext_noop("rows"))


class Snapshot(Data):
    """Judgments, frozen when the round starts."""

    def __init__(self, type: SnapshotType) -> None:
        self.snapshot_type = type
        self.needs_prompts = type is not SnapshotType.CLASSIFICATION

    def refusal(self, project: Project, method: Method) -> str:
        match self.snapshot_type:
            case SnapshotType.PREFERENCE if not _is_ranked(project):
                return gettext(NOTHING_RANKED) % {"method": gettext(method.label)}
            case SnapshotType.RANKING if not _is_ranked(project) and not unary_that_count(project).exists():
                return gettext(NOTHING_RANKED) % {"method": gettext(method.label)}
            case SnapshotType.PROMPT_COMPLETION if not _is_ranked(project):
                if not _has_references(project):
                    needs = gettext("%(method)s needs such responses.") % {"method": gettext(method.label)}
                    return f"{gettext(NO_GOOD_ANSWER)} {needs}"
        return ""

    def rows(self, run: TrainingRun) -> Iterator[Row]:
        if run.snapshot is None:
            raise ValueError("The run has no snapshot of judgments.")
        with run.snapshot.path.open(encoding="utf-8") as file:
            for row in map(json.loads, file):
                if row.get("label", "") is not None:  # votes on the label that are tied teach nothing
                    yield row

    def count(self, project: Project, config: Mapping[str, Any]) -> RowCounts:
        assert self.snapshot_type is not None
        context = SnapshotContext(project, timezone.now())
        try:
            rows = sum(row.get("label", "") is not None for row in EXPORTS[self.snapshot_type](context))
        except NotPossible as why:
            return RowCounts("rows", problem=str(why))
        return RowCounts("rows", rows, {name: count for name, count in context.counts.items() if count})


def _has_references(project: Project) -> bool:
    """Return whether anybody wrote a reference answer, here or in a file that was imported."""
    written = ReferenceAnswer.objects.filter(assignment__project=project)
    imported = Completion.objects.filter(prompt__project=project, source=Source.IMPORTED, origin="", withdrawn_at=None)
    return written.exists() or imported.exists()


def _is_ranked(project: Project) -> bool:
    imported = ImportedJudgment.objects.filter(prompt__project=project)
    return rankings_that_count(project).exists() or imported.exists()


class Prompts(Data):
    """All prompts of the project that were not withdrawn."""

    needs_prompts = True

    def rows(self, run: TrainingRun) -> Iterator[Row]:
        return prompt_rows(Prompt.objects.filter(project=run.round.project_id, withdrawn_at=None).order_by("id"))

    def count(self, project: Project, config: Mapping[str, Any]) -> RowCounts:
        splits = Counter(project.prompts.values_list("split", flat=True))
        return RowCounts(
            gettext_noop("prompts"),
            splits.total(),
            {OF_SPLIT.get(split, split): count for split, count in sorted(splits.items())},
        )


def prompt_rows(prompts: Iterable[Prompt]) -> Iterator[Row]:
    """Yield prompts as recipes read them."""
    for prompt in prompts:
        yield {"prompt_id": prompt.pk, "messages": prompt.messages, "split": prompt.split}


class Examples(Data):
    """Tasks that a request for further tasks may show: seed tasks, and proposals that people accepted."""

    def rows(self, run: TrainingRun) -> Iterator[Row]:
        return examples(run.round.project)

    def count(self, project: Project, config: Mapping[str, Any]) -> RowCounts:
        found = Counter(row["id"].partition(":")[0] for row in examples(project))
        counts = {gettext_noop("seed tasks"): found["seed"], gettext_noop("accepted proposals"): found["proposal"]}
        return RowCounts(gettext_noop("examples"), found.total(), counts)


class Instructions(Data):
    """Tasks worded as instructions."""

    needs_prompts = True

    def rows(self, run: TrainingRun) -> Iterator[Row]:
        return instructions.rows_for(run.round.project, InstructionTuningConfig(**run.config))

    def count(self, project: Project, config: Mapping[str, Any]) -> RowCounts:
        try:
            rows = list(instructions.rows_for(project, InstructionTuningConfig(**config)))
        except NotPossible as why:
            return RowCounts("instructions", problem=str(why))
        splits = Counter(row["split"].replace("_", " ") for row in rows)
        return RowCounts(gettext_noop("instructions"), len(rows), dict(splits))


DATA: dict[str, Data] = {
    **{type.value: Snapshot(type) for type in SnapshotType},
    "prompt-only": Prompts(),
    "examples": Examples(),
    "instructions": Instructions(),
    "": NoData(),
}
