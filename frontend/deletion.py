"""Delete a project with everything in it, rows and files; and say beforehand what that is."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.apps import apps
from django.contrib.auth.models import User
from django.db import models, transaction
from django.utils.translation import gettext

from annotation import audit
from annotation.errors import NotPossible
from annotation.exports.files import renderings_of
from annotation.models import AuditAction, DatasetSnapshot, Project
from training.models import TrainingRun

# In this order no row is deleted that another one still needs. What is not named goes with what it belongs to.
ORDER = (
    ("training.Autopilot", "project"),
    ("training.Exchange", "project"),
    ("training.Promotion", "project"),
    ("training.TrainingRound", "project"),
    ("annotation.AIJudge", "project"),
    ("annotation.Ranking", "assignment__project"),
    ("annotation.Label", "assignment__project"),
    ("annotation.UnaryJudgment", "assignment__project"),
    ("annotation.ReferenceAnswer", "assignment__project"),
    ("annotation.ProposalReview", "assignment__project"),
    ("annotation.Comparison", "evaluation__project"),
    ("annotation.Evaluation", "project"),
    ("annotation.Task", "project"),
    ("annotation.Feedback", "project"),
    ("annotation.Completion", "prompt__project"),
    ("annotation.Prompt", "project"),
    ("annotation.ProposalBatch", "project"),
    ("annotation.DatasetSnapshot", "project"),
    ("annotation.PolicyVersion", "project"),
)


@dataclass
class Deletion:
    """What goes: rows by what they are, and files."""

    rows: dict[str, int] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)


def look(project: Project) -> Deletion:
    """Return what deleting the project would take away."""
    found = Deletion(files=sorted(_files_of(project)))
    for label, path in ORDER:
        model = apps.get_model(label)
        if count := model._default_manager.filter(**{path: project}).count():
            found.rows[str(model._meta.verbose_name_plural)] = count
    found.rows["members"] = project.memberships.count()
    return found


def delete_project(project: Project, *, by: User | None) -> Deletion:
    """Delete a project; return what went. Raises NotPossible while a round of it is active.

    A file that another project's snapshot shares stays. The audit log keeps its rows about the project.
    """
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)
        if project.rounds.active().exists():
            raise NotPossible(gettext("A round is active in this project. Cancel it first, or wait until it ends."))
        gone = look(project)
        audit.record(AuditAction.PROJECT_DELETED, by=by, project=project, what=project.slug, rows=gone.rows)
        for label, path in ORDER:
            _delete(apps.get_model(label)._default_manager.filter(**{path: project}))
        project.delete()
    for file in gone.files:
        if file.is_dir():
            shutil.rmtree(file)
        else:
            file.unlink(missing_ok=True)
    return gone


def _delete(rows: models.QuerySet[Any]) -> None:
    """Delete rows, later ones first where they refer to earlier ones of the same table."""
    own = [each for each in rows.model._meta.concrete_fields if each.related_model is rows.model]
    if not any(each.remote_field.on_delete is models.PROTECT for each in own):
        rows.delete()
        return
    for row in rows.order_by("-pk"):
        row.delete()


def _files_of(project: Project) -> set[Path]:
    shared = DatasetSnapshot.objects.exclude(project=project).values("sha256")
    own = project.snapshots.exclude(sha256__in=shared)
    files = {snapshot.path for snapshot in own}
    for snapshot in own:
        files |= set(renderings_of(snapshot))
    files |= {run.directory.path for run in TrainingRun.objects.filter(round__project=project)}
    return {path for path in files if path.exists()}
