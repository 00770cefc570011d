"""What a served policy said, kept for a while: feedback that names a response by its ID finds its version and texts.

A served response becomes a record of the project, with its prompt, only once feedback is about it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from annotation import clock
from annotation.imports.feedback import FeedbackRow
from annotation.masking import Masker
from annotation.models import Completion, PolicyVersion, Project, Prompt, ServedResponse, Source, Split

ORIGIN = "served"
MARK = "chatcmpl-"
KEPT_DAYS = 30  # where the project does not say for how long feedback is kept


def store(
    *,
    project: Project,
    policy: PolicyVersion,
    messages: list[dict[str, str]],
    text: str,
    finished: bool,
    user: str,
    pk: uuid.UUID,
) -> ServedResponse:
    """Store what a version said, without personal data where the project masks it."""
    if project.mask_feedback:
        masker = Masker()
        messages = [{**message, "content": masker.text(message["content"])} for message in messages]
        text = masker.text(text)
    return ServedResponse.objects.create(
        pk=pk, project=project, policy=policy, messages=messages, text=text, finished=finished, user=user
    )


def with_records(project: Project, rows: Sequence[FeedbackRow]) -> list[FeedbackRow]:
    """Return the rows with the ID of a record in place of that of a served response; call it in a transaction.

    Where there is no such response the row keeps its `served`.
    """
    wanted = {row.served for row in rows if row.served}
    if not wanted:
        return list(rows)
    keys = {name: uuid.UUID(name.removeprefix(MARK)) for name in wanted}
    there = project.served_responses.select_related("policy").in_bulk(list(keys.values()))
    found = {name: _record(project, there[key]).pk for name, key in sorted(keys.items()) if key in there}
    return [replace(row, response_id=found[row.served], served="") if row.served in found else row for row in rows]


def _record(project: Project, served: ServedResponse) -> Completion:
    """Return the response of a version, made where it is not there yet."""
    origin = f"{ORIGIN}-{served.pk.hex}"
    known = Completion.objects.filter(project=project, origin=origin).first()
    if known is not None:
        return known
    digest = Prompt.digest_of(served.messages)
    prompt = project.prompts.filter(digest=digest).first() or Prompt.objects.create(
        project=project, messages=served.messages, digest=digest, split=Split.of(digest), of_feedback=True
    )
    return Completion.objects.create(
        prompt=prompt,
        source=Source.POLICY,
        policy=served.policy,
        origin=origin,
        text=served.text,
        finished=served.finished,
    )


def delete_old() -> int:
    """Delete served responses that are older than their projects keep feedback, or 30 days; return how many."""
    gone = 0
    for project in Project.objects.filter(served_responses__isnull=False).distinct():
        until = clock.now() - timedelta(days=project.feedback_days or KEPT_DAYS)
        gone += project.served_responses.filter(created_at__lt=until).delete()[0]
    return gone
