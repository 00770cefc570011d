"""Everything about a person: given to them as a file, and erased when they ask for it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from axes.models import AccessAttempt
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core import serializers
from django.db import models, transaction
from django.utils import timezone

from annotation import audit
from annotation.actions import snapshots
from annotation.actions.projects import refuse_to_lose_an_admin
from annotation.exports.files import renderings_of
from annotation.models import (
    Assignment,
    AuditAction,
    Completion,
    DatasetSnapshot,
    Delivery,
    Invitation,
    MailMessage,
    Membership,
    Notification,
    PracticeRound,
    Preferences,
    Project,
    PromptUpload,
    SavedView,
    Token,
)
from annotation.pseudonyms import pseudonym
from training.models import TrainingRun

SECRET = {"password", "digest", "secret"}  # what signs in is in no file
REMOVED = "[removed at the request of its author]"
# Texts that a person wrote, and what stands there afterwards: by model, the path to the person, and the fields.
TEXTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("annotation.Ranking", "assignment__annotator", {"rationale": ""}),
    ("annotation.Label", "assignment__annotator", {"comment": ""}),
    ("annotation.UnaryJudgment", "assignment__annotator", {"comment": ""}),
    ("annotation.FirstVersion", "assignment__annotator", {"text": REMOVED}),
    ("annotation.Assignment", "annotator", {"draft": {}, "skip_reason": ""}),
    ("annotation.Revision", "assignment__annotator", {"answer": {}, "reason": REMOVED}),
    ("annotation.Revision", "asked_by", {"reason": REMOVED}),
    ("annotation.Flag", "raised_by", {"note": ""}),
    ("annotation.Alarm", "raised_by", {"note": REMOVED}),
    ("annotation.Adjudication", "adjudicated_by", {"note": ""}),
    ("annotation.GoldAnswer", "marked_by", {"note": ""}),
    ("annotation.Exclusion", "annotator", {"reason": REMOVED}),
    ("annotation.Exclusion", "excluded_by", {"reason": REMOVED}),
    ("annotation.ReviewComment", "author", {"text": REMOVED}),
    ("annotation.ReviewComment", "assignment__annotator", {"text": REMOVED}),
    ("training.Exchange", "asked_by", {"messages": [{"role": "user", "content": REMOVED}]}),
    ("training.Promotion", "by", {"why": REMOVED}),
)


def rows_about(user: User) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the rows of each table that name this person, directly or through an assignment of theirs."""
    yield "account", _plain([user])
    for model, paths in _paths_to_people().items():
        wanted = models.Q()
        for path in paths:
            wanted |= models.Q(**{path: user.pk})
        if rows := _plain(model._default_manager.filter(wanted).order_by("pk")):
            yield model._meta.model_name or "", rows
    if tried := _plain(AccessAttempt.objects.filter(username=user.get_username())):
        yield "failed_sign_ins", tried


def _paths_to_people() -> dict[type[models.Model], list[str]]:
    """Return for each model the look-ups that lead to a person."""
    found: dict[type[models.Model], list[str]] = {}
    for model in apps.get_models():
        for each in model._meta.get_fields():
            if not isinstance(each, models.ForeignKey):
                continue
            if each.related_model is User:
                found.setdefault(model, []).append(each.name)
            elif each.related_model is Assignment:
                found.setdefault(model, []).append(f"{each.name}__annotator")
    return found


def _plain(rows: Any) -> list[dict[str, Any]]:
    plain = serializers.serialize("python", rows)
    return [
        {"id": row["pk"]} | {name: value for name, value in row["fields"].items() if name not in SECRET}
        for row in plain
    ]


def write_data_of(user: User, file: IO[bytes], *, by: User | None) -> dict[str, int]:
    """Write a ZIP with one JSON file for each table, and return the number of rows of each."""
    counts = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, rows in rows_about(user):
            counts[name] = len(rows)
            archive.writestr(f"{name}.json", json.dumps(rows, ensure_ascii=False, indent=1, default=_as_text))
        contents = {"account": user.get_username(), "made_at": timezone.now().isoformat(), "rows": counts}
        archive.writestr("contents.json", json.dumps(contents, ensure_ascii=False, indent=1))
    audit.record(AuditAction.PERSON_EXPORTED, by=by, subject=user, rows=sum(counts.values()))
    return counts


def _as_text(value: Any) -> str:
    return bytes(value).decode("utf-8", "replace") if isinstance(value, (bytes, memoryview)) else str(value)


@dataclass
class Erasure:
    """What an erasure does: rows whose texts go, rows that are deleted, projects whose judgments count no more, and
    files that still hold something."""

    texts: dict[str, int] = field(default_factory=dict)
    deleted: dict[str, int] = field(default_factory=dict)
    projects: list[Project] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def look(user: User) -> Erasure:
    """Return what erasing this person would do, without doing it."""
    found = Erasure(projects=_projects_with_judgments(user))
    for label, path, _ in TEXTS:
        model = apps.get_model(label)
        if count := model._default_manager.filter(**{path: user.pk}).count():
            found.texts[model.__name__] = found.texts.get(model.__name__, 0) + count
    if count := Completion.objects.filter(author_id=user.pk).count():
        found.texts["Completion"] = count
    for rows in _to_delete(user):
        if count := rows.count():
            found.deleted[rows.model.__name__] = count
    held = [
        snapshot
        for project in found.projects
        for snapshot in project.snapshots.all()
        if snapshots.holds(snapshot, user)
    ]
    found.files = sorted(_files_of(held))
    return found


@transaction.atomic
def erase(user: User, *, by: User | None) -> Erasure:
    """Remove a person: texts, memberships, tokens, the name; judgments stay as numbers that count no more.

    Rows are kept where others refer to them, by a number and no name. Files are not changed: what a model was trained
    on stays what it was; those that hold something are returned. Raises NotPossible for the only admin of a project and
    for the only superuser.
    """
    refuse_to_lose_an_admin(user)
    found = look(user)
    for project in found.projects:
        snapshots.withdraw(project=project, person=user, by=by)
    for label, path, values in TEXTS:
        apps.get_model(label)._default_manager.filter(**{path: user.pk}).update(**values)
    reviews = apps.get_model("annotation.ProposalReview")._default_manager.filter(assignment__annotator=user)
    reviews.filter(verdict="edit").update(instruction=REMOVED, input="", output=REMOVED)
    Completion.objects.filter(author_id=user.pk).update(text="", withdrawn_at=timezone.now())
    _forget_the_name(user)
    for rows in _to_delete(user):
        rows.delete()
    _close(user)
    audit.record(AuditAction.PERSON_ERASED, by=by, subject=user, projects=[project.pk for project in found.projects])
    return found


def _projects_with_judgments(user: User) -> list[Project]:
    return list(Project.objects.filter(assignments__annotator=user).distinct().order_by("pk"))


def _to_delete(user: User) -> list[models.QuerySet[Any]]:
    name = user.get_username()
    return [
        Membership.objects.filter(user=user),
        SavedView.objects.filter(owner=user),
        Preferences.objects.filter(user=user),
        Token.objects.filter(user=user),
        PromptUpload.objects.filter(uploaded_by=user),
        Notification.objects.filter(user=user),
        PracticeRound.objects.filter(annotator=user),
        MailMessage.objects.filter(models.Q(user=user) | _of_address(user)),
        Invitation.objects.filter(_of_address(user)),
        Delivery.objects.filter(_told_of(name)),
        AccessAttempt.objects.filter(username=name),
        SocialAccount.objects.filter(user=user),
        EmailAddress.objects.filter(user=user),
        LogEntry.objects.filter(models.Q(user=user) | models.Q(content_type__model="user", object_id=str(user.pk))),
    ]


def _of_address(user: User) -> models.Q:
    """Return the condition for rows that hold the mail address of a person; none where they have no address."""
    return models.Q(address__iexact=user.email) if user.email else models.Q(pk__in=[])


def _told_of(name: str) -> models.Q:
    """Return the condition for messages of webhooks that hold a user name, and what that person reported."""
    fields = [json.dumps({field: name}, ensure_ascii=False)[1:-1] for field in ("raised_by", "asked_for_by")]
    return models.Q(body__contains=fields[0]) | models.Q(body__contains=fields[1])


def _forget_the_name(user: User) -> None:
    """Take the person out of the lines that tell why a round stopped: their user name, and what they reported."""
    rounds = apps.get_model("training.TrainingRound")._default_manager
    for verb in ("Cancelled", "Paused"):
        rounds.filter(reason=f"{verb} by {user.get_username()}.").update(reason=f"{verb}.")
    for project in Project.objects.filter(alarms__raised_by=user).distinct():
        reported = f"{pseudonym(project.pk, user.pk)} reported a model problem"
        rounds.filter(project=project, reason__startswith=reported).update(reason="A model problem was reported.")


def _close(user: User) -> None:
    user.username, user.email, user.first_name, user.last_name = f"erased-{user.pk}", "", "", ""
    user.is_active = user.is_staff = user.is_superuser = False
    user.last_login = None
    user.set_unusable_password()
    user.save()
    user.groups.clear()
    user.user_permissions.clear()


def _files_of(held: list[DatasetSnapshot]) -> set[Path]:
    """Return the files that hold rows of these snapshots: themselves, downloads made of them, and runs from them."""
    files = {snapshot.path for snapshot in held}
    for snapshot in held:
        files |= set(renderings_of(snapshot))
    files |= {run.directory.path for run in TrainingRun.objects.filter(snapshot__in=held)}
    return {path for path in files if path.exists()}
