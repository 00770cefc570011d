"""Prompts by hand: added, and edited as a new version that takes the place of the old one."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop

from annotation import audit, stored
from annotation.actions import coverage, labels, records
from annotation.actions.import_reports import ImportReport
from annotation.actions.prompts import import_prompts
from annotation.errors import NotPossible
from annotation.imports import ParsedPrompts, UnreadableFile, parse_prompts
from annotation.models import Assignment, AuditAction, Project, Prompt, RecordKind, Split

Conversation = list[dict[str, str]]


def add_prompt(
    *, project: Project, messages: Conversation, by: User, category: str = "", external_id: str = "", split: str = ""
) -> Prompt:
    """Store and return a prompt; without a split its hash decides, as for imported ones.

    Raises NotPossible, with the reason, for what an import would refuse.
    """
    parsed = _parsed(messages, category, external_id)
    digest = Prompt.digest_of(parsed.rows[0].messages)

    def note(report: ImportReport) -> None:
        if not report.taken:
            why = "; ".join(stored.translated(row.reason) for row in [*report.refused, *report.duplicates])
            raise NotPossible(gettext("The prompt was not added: %(why)s.") % {"why": why})
        added = project.prompts.filter(digest=digest)
        if split:
            added.update(split=split)
        pk = added.get().pk
        records.note_change(project=project, record=RecordKind.PROMPT, pk=pk, what=gettext_noop("added by hand"), by=by)
        audit.record(AuditAction.PROMPT_ADDED, by=by, project=project, what=f"prompt {pk}")

    import_prompts(project=project, parsed=parsed, by=by, also=note)
    return project.prompts.get(digest=digest)


def edit_prompt(
    *, prompt: Prompt, messages: Conversation, by: User, category: str = "", close_tasks: bool = True
) -> Prompt:
    """Store an edited prompt as a new version and archive the old one; return the new one.

    The new version has the old one's split, so that what was held out stays so, and its id. Responses and annotations
    stay with the text that they are about. `close_tasks`: its open tasks go out of the queue. Where only the category
    differs no version is made. Raises NotPossible where the project has the text already, or the prompt was edited
    meanwhile.
    """
    said = _parsed(messages, category, "").rows[0].messages
    if Prompt.digest_of(said) == prompt.digest:
        records.set_category(project=prompt.project, prompts=[prompt], category=category, by=by)
        prompt.category = category
        return prompt
    return _store_version(prompt, said, category, close_tasks=close_tasks, by=by)


@transaction.atomic
def _store_version(prompt: Prompt, said: Any, category: str, *, close_tasks: bool, by: User) -> Prompt:
    project, digest = prompt.project, Prompt.digest_of(said)
    if project.prompts.filter(digest=digest).exists():
        raise NotPossible(gettext("The project already has a prompt with this text."))
    old = Prompt.objects.filter(pk=prompt.pk, replaced_by=None)
    now = timezone.now()
    if not Prompt.objects.filter(pk__in=old.values("pk")).update(withdrawn_at=now, external_id=""):
        raise NotPossible(gettext("This version was already edited. Edit the newest one."))
    try:
        with transaction.atomic():
            new = Prompt.objects.create(
                project=project,
                messages=said,
                digest=digest,
                external_id=prompt.external_id,
                category=category,
                split=Split(prompt.split),
                replaces=prompt,
            )
    except IntegrityError as conflict:
        raise NotPossible(gettext("This version was edited in the same moment. Edit the newest one.")) from conflict
    if close_tasks:
        is_open = Assignment.objects.empty().filter(task__prompt=prompt)
        coverage.close_empty_seats(project=project, tasks=sorted(set(is_open.values_list("task_id", flat=True))))
    labels.open_label_tasks(project=project, prompts=project.prompts.filter(pk=new.pk))
    by_new = gettext_noop("replaced by prompt %(prompt)s") % {"prompt": new.pk}
    of_old = gettext_noop("new version of prompt %(prompt)s") % {"prompt": prompt.pk}
    for pk, what in ((prompt.pk, by_new), (new.pk, of_old)):
        records.note_change(project=project, record=RecordKind.PROMPT, pk=pk, what=what, by=by)
    audit.record(
        AuditAction.PROMPT_EDITED, by=by, project=project, what=f"prompt {prompt.pk}", new=new.pk, old=prompt.pk
    )
    return new


def _parsed(messages: Conversation, category: str, external_id: str) -> ParsedPrompts:
    """Return a prompt as an import reads it. Raises NotPossible with the reason where it would be refused."""
    row = {"messages": messages, "category": category, "id": external_id}
    line = json.dumps({name: value for name, value in row.items() if value}, ensure_ascii=False)
    try:
        parsed = parse_prompts(line.encode(), "prompt.jsonl")
    except UnreadableFile as problem:
        raise NotPossible(str(problem)) from problem
    if parsed.refused or not parsed.rows:
        reasons = (stored.translated(refused.reason) for refused in parsed.refused)
        raise NotPossible("; ".join(f"{reason[:1].upper()}{reason[1:]}" for reason in reasons))
    return parsed
