"""Freeing space: what runs left behind and nothing needs any more.

Never touched: the checkpoint of a policy version, and the model below it; what an unfinished run starts from; a round
that failed and may be tried again, until a later one has succeeded; the newest reward model, which the next round may
train against; and of every run its settings, figures, samples and log.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.db.models import Exists, OuterRef, Q, QuerySet

from annotation import audit
from annotation.models import AuditAction, PolicyVersion, Project
from training.archives import size_on_disk
from training.models import (
    ACTIVE,
    FINAL,
    WAITING,
    Package,
    PackageStatus,
    RoundStatus,
    RunStatus,
    TrainingRound,
    TrainingRun,
)
from training.products.reward_model import reward_models
from training.rundir import where_now

KEEP_LAST = 3  # rounds whose artefacts stay as they are


@dataclass(frozen=True)
class Leftover:
    """A folder or file that could go, and why nothing needs it."""

    path: Path
    bytes: int
    what: str


def leftovers(project: Project, keep_last: int = KEEP_LAST) -> list[Leftover]:
    """Return what can be deleted, largest first."""
    needed = needed_paths()
    found = [
        Leftover(path, size, what)
        for path, what in [*_of_runs(project, keep_last), *_of_packages(project)]
        if path.exists()
        and not any(_holds(path, other) or _holds(other, path) for other in needed)
        and (size := size_on_disk(path) if path.is_dir() else path.stat().st_size)
    ]
    return sorted(found, key=lambda leftover: leftover.bytes, reverse=True)


def prune(project: Project, keep_last: int = KEEP_LAST) -> list[Leftover]:
    """Delete what can be deleted and return it; what could not be deleted now is found again the next time."""
    freed = leftovers(project, keep_last)
    for leftover in freed:
        if leftover.path.is_dir():
            shutil.rmtree(leftover.path, ignore_errors=True)
        else:
            leftover.path.unlink(missing_ok=True)
    gone = [package.pk for package in Package.objects.filter(policy__project=project) if not package.path.exists()]
    Package.objects.filter(pk__in=gone, status=PackageStatus.READY).delete()
    size = sum(leftover.bytes for leftover in freed)
    audit.record(AuditAction.SPACE_FREED, project=project, what=f"{len(freed)} files and folders", bytes=size)
    return freed


def needed_paths() -> set[Path]:
    """Return the paths that anything still needs, in all projects: they may share a base model."""
    needed = {Path(checkpoint) for checkpoint in PolicyVersion.objects.values_list("checkpoint", flat=True)}
    for checkpoint in list(needed):
        try:
            base = json.loads((checkpoint / "adapter_config.json").read_text("utf-8"))["base_model_name_or_path"]
        except (OSError, ValueError, KeyError):
            continue
        needed.add(Path(where_now(base, checkpoint)))
    for run in TrainingRun.objects.filter(
        ~Q(status__in=FINAL) | Q(round__status__in=[*ACTIVE, *WAITING]) | Q(round__in=_to_be_tried_again())
    ):
        needed.add(run.directory.path)
        if run.directory.is_prepared():
            needed |= {Path(value) for value in run.directory.config()["inputs"].values() if isinstance(value, str)}
    for project in Project.objects.all():
        needed |= {run.directory.checkpoint_path for run in reward_models(project)[:1]}
    return {path.resolve() for path in needed}


def _to_be_tried_again() -> QuerySet[TrainingRound]:
    later = TrainingRound.objects.filter(
        project=OuterRef("project"), number__gt=OuterRef("number"), status=RoundStatus.SUCCEEDED
    )
    return TrainingRound.objects.filter(~Exists(later), status=RoundStatus.FAILED)


def _of_runs(project: Project, keep_last: int) -> Iterator[tuple[Path, str]]:
    newest = project.rounds.order_by("-number").values_list("number", flat=True).first() or 0
    old = TrainingRun.objects.filter(round__project=project, round__number__lte=newest - keep_last, status__in=FINAL)
    for run in old.select_related("round"):
        directory, name = run.directory, f"{run.label} of {run.round}"
        for path in directory.path.glob("state*"):
            yield path, f"state of {name}, which is over"
        if run.status == RunStatus.SUCCEEDED:
            yield directory.checkpoint_path, f"checkpoint of {name}"
        else:
            yield directory.checkpoint_path, f"checkpoint of {name}, which did not succeed"
        yield directory.path / "trl", f"scratch of {name}"


def _of_packages(project: Project) -> Iterator[tuple[Path, str]]:
    for package in Package.objects.filter(policy__project=project, status=PackageStatus.READY).select_related("policy"):
        yield package.path, f"merged copy of {package.policy}, which can be made again"


def _holds(folder: Path, path: Path) -> bool:
    """Return whether `path` is the folder or lies in it."""
    return path.resolve().is_relative_to(folder.resolve())
