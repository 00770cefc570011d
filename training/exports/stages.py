"""What of a round can be repeated with other tools, on which rows. Both tools read the same rows: TRL's types."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.utils.translation import gettext

from annotation.errors import NotPossible
from annotation.judged.preferences import Vote, merge
from annotation.models import PolicyVersion, Project, SnapshotType
from training.instructions.recast import prompt_text
from training.methods import METHODS, making
from training.models import TrainingRound, TrainingRun
from training.products import product_of
from training.products.promotions import current_policy
from training.products.reward_model import PRODUCT as REWARD_MODEL
from training.products.reward_model import reward_models
from training.rundir import Row

# What the bundled model is called on the Hugging Face hub.
HUB_NAMES = {"smollm2-135m-instruct": "HuggingFaceTB/SmolLM2-135M-Instruct"}


NO_COUNTERPART = {
    "prompt_tuning": "prompt tuning: neither tool has templates and verbalizers",
    "self_instruct": "self-instruct: proposals are for Prefloop's own reviewers",
    "distil": "best-of-n distillation: neither tool samples, scores and pairs responses in one stage",
    "evaluate": "the evaluation: it asks Prefloop's annotators",
}


@dataclass(frozen=True)
class Tool:
    """A tool that can repeat a round: the `TOOL` of a module of this package."""

    name: str  # in URLs
    label: str
    how_to_run: str  # for the README
    methods: Container[str]  # those that it has a counterpart of
    # Texts by file name; from the stages, the base model, and the adapter to start from ("" for none).
    files: Callable[[list[ExportedStage], str, str], dict[str, str]]
    # What is not as in Prefloop; from the stages, and the version that the round began with ("" for version 0).
    differences: Callable[[list[ExportedStage], str], list[str]]
    order: int = 1000  # place on the menu
    left_out: Mapping[str, str] = field(default_factory=lambda: NO_COUNTERPART)  # why, by method


@dataclass(frozen=True)
class ExportedStage:
    """One run of the round. `files` are its data by split, as they are called in the folder."""

    name: str
    run: TrainingRun
    files: dict[str, str]

    @property
    def method(self) -> str:
        return self.run.method

    @property
    def config(self) -> Row:
        """Return every setting; one added since the run was made has its default."""
        return METHODS[self.method].config().as_json() | dict(self.run.config)

    def rows(self, split: str) -> Iterator[Row]:
        to_rows = ROWS[self.run.spec.data]
        for row in rows_of(self.run):
            if (row["split"] == "train") == (split == "train"):
                yield from to_rows(row, self.config)

    def lines(self, split: str) -> Iterator[bytes]:
        for row in self.rows(split):
            yield json.dumps(row, ensure_ascii=False).encode() + b"\n"

    def count(self, split: str) -> int:
        return sum(1 for _ in self.rows(split))

    @property
    def trains_all_weights(self) -> bool:
        return bool(self.config.get("train") == "full")

    @property
    def pairs_per_ranking(self) -> int:
        """Return the approximate number of pairs per ranking, by which batch sizes are multiplied."""
        counts: dict[str, int] = self.run.snapshot.counts if self.run.snapshot else {}
        return max(1, round(counts.get("train pairs", 0) / max(counts.get("train tasks", 0), 1)))


def stages_of(round: TrainingRound, tool: Tool) -> tuple[list[ExportedStage], list[str]]:
    """Return the stages that the tool can repeat, in their order, and in words what is left out.

    Raises NotPossible where nothing remains.
    """
    found = list(round.runs.select_related("round__project", "snapshot"))
    reasons = {run.method: _without_counterpart(run, tool) for run in found}
    left_out = [reasons[run.method] for run in found if reasons[run.method]]
    kept = [run for run in found if not reasons[run.method]]
    if not kept:
        raise NotPossible(
            gettext("Nothing of this round can be repeated with %(tool)s: %(reasons)s.")
            % {"tool": tool.label, "reasons": "; ".join(left_out)}
        )
    kept = [*_teachers(kept), *kept]
    return [_stage(number, run) for number, run in enumerate(kept, start=1)], left_out


def _without_counterpart(run: TrainingRun, tool: Tool) -> str:
    """Return why a run cannot be repeated with the tool; empty where it can."""
    if run.method in tool.methods and run.spec.data in ROWS:
        return ""
    return tool.left_out.get(run.method, f"{run.label}: {tool.label} has no counterpart that Prefloop knows of")


def _stage(number: int, run: TrainingRun) -> ExportedStage:
    name = f"{number}-{run.method}"
    splits = set()
    for row in rows_of(run):
        splits.add("train" if row["split"] == "train" else "eval")
        if len(splits) == 2:
            break
    return ExportedStage(
        name, run, {split: f"data/{name}-{split}.jsonl" for split in ("train", "eval") if split in splits}
    )


def _teachers(kept: list[TrainingRun]) -> list[TrainingRun]:
    """Return the run of an earlier round that made the reward model; a list, empty where none is needed."""
    for run in kept:
        if run.method in making(REWARD_MODEL.name):
            return []
        if product_of(run.spec).learns_from_scores(run.spec):
            break
    else:
        return []
    made = {str(each.directory.checkpoint_path): each for each in reward_models(run.round.project)}
    used = run.directory.config()["inputs"].get("reward_model") if run.directory.is_prepared() else next(iter(made), "")
    if used not in made:
        raise NotPossible(
            gettext("The reward model that taught this round is not among those of the project any more.")
        )
    return [made[used]]


def rows_of(run: TrainingRun) -> Iterator[Row]:
    """Return the rows of a run's data: of its snapshot, or of its run directory."""
    if run.snapshot is None and run.directory.is_prepared():
        return run.directory.rows()
    return product_of(run.spec).rows_for(run)


# --- rows ------------------------------------------------------------------------------------------------------


def prompts(row: Row, _: Row) -> Iterator[Row]:
    yield {"prompt": row["messages"], "prompt_id": row["prompt_id"]}


def _stated(number: int | None) -> int | None:
    """Return a number, or None for -1, which marks a missing value in a column of numbers."""
    return None if number is None or number < 0 else number


def pairs(row: Row, config: Row) -> Iterator[Row]:
    """Yield a ranked task as pairs, with a `margin` on request only: TRL subtracts that column wherever it exists."""
    votes = [
        Vote(
            ranking["tiers"],
            weight=ranking["weight"],
            unranked=ranking.get("unranked", ()),
            strength=_stated(ranking.get("strength")),
        )
        for ranking in row["rankings"]
    ]
    texts = [candidate["text"] for candidate in row["candidates"]]
    for pair in merge(votes)[0]:
        yield {
            "prompt": row["prompt"],
            "chosen": [{"role": "assistant", "content": texts[pair.chosen]}],
            "rejected": [{"role": "assistant", "content": texts[pair.rejected]}],
            **({"margin": config["margin"] * pair.margin} if config["margin"] else {}),
            "share": pair.share,
            "prompt_id": row["prompt_id"],
            "group_id": row["group_id"],
        }


def preferences(row: Row, _: Row) -> Iterator[Row]:
    yield {name: row[name] for name in ("prompt", "chosen", "rejected", "share", "prompt_id", "group_id")}


def imitated(row: Row, _: Row) -> Iterator[Row]:
    yield {name: row[name] for name in ("prompt", "completion", "prompt_id")}


def instructions(row: Row, _: Row) -> Iterator[Row]:
    yield {
        "prompt": [{"role": "user", "content": prompt_text(row)}],
        "completion": [{"role": "assistant", "content": row["output"]}],
        "task": row["task"],
        "unseen": "" if row["split"] == "train" else row["split"],
    }


# By the data that a method reads.
ROWS: dict[str, Callable[[Row, Row], Iterator[Row]]] = {
    "prompt-only": prompts,
    "ranking": pairs,
    "preference": preferences,
    "prompt-completion": imitated,
    "instructions": instructions,
}


# --- where it starts -------------------------------------------------------------------------------------------


def start_of(round: TrainingRound) -> PolicyVersion:
    """Return the version that the round started from."""
    first = round.runs.order_by("position").first()
    if first is not None and first.directory.is_prepared():
        given = first.directory.config()["inputs"].get("policy")
        if found := round.project.policies.filter(checkpoint=given).first():
            return found
    return current_policy(round.project)


def base_name(project: Project) -> str:
    """Return the base model's name on the hub; empty where it is a folder on this machine."""
    named = project.base_model
    if named in HUB_NAMES:
        return HUB_NAMES[named]
    return "" if Path(named).is_absolute() or Path(named).exists() else named


def snapshot_facts(stage: ExportedStage) -> dict[str, Any] | None:
    snapshot = stage.run.snapshot
    if snapshot is None:
        return None
    unit = SnapshotType(snapshot.type).unit
    return {"number": snapshot.number, "sha256": snapshot.sha256, "rows": snapshot.rows, "unit": unit}
