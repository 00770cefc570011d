"""The snapshot type classification: texts with one label each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from operator import itemgetter

from django.utils.translation import gettext_noop

from annotation.exports.context import SnapshotContext, SnapshotRow, conversation_text, date_text
from annotation.judged.counted import IMPORTED
from annotation.judged.imported_labels import labelled_texts
from annotation.judged.rows import labels_that_count

NOTHING_LABELLED = gettext_noop(
    "No response is marked unacceptable and no labelled text imported yet, so there are no classes."
)


def classification_rows(context: SnapshotContext) -> Iterator[SnapshotRow]:
    """Yield one row per text with a label: judged answers, texts that people labelled, and imported texts.

    Answers are labelled acceptable or unacceptable; the text of an answer is its whole conversation. `votes` are
    everybody's, `share` the part of their weight for the label. An answer with as many votes for one as for the other
    is left out; a text whose votes are tied comes last, with null for its label.
    """
    tied: list[SnapshotRow] = []
    for row in _rows(context):
        if row["label"] is None:
            tied.append(row)
        else:
            yield row
    yield from tied
    found = sum(context.counts[name] for name in ("unacceptable", "acceptable", "labelled texts", "imported texts"))
    context.require_some(found, NOTHING_LABELLED)


def _rows(context: SnapshotContext) -> Iterator[SnapshotRow]:
    for task, *_ in context.tasks():
        for pk, answer in task.answers.items():
            said = [(judgment, judgment.finds_good(pk)) for judgment in task.judgments]
            below = sum(judgment.weight for judgment, good in said if good is False)
            above = sum(judgment.weight for judgment, good in said if good)
            if below == above:
                context.counts["answers without a class"] += 1
                continue
            label = "unacceptable" if below > above else "acceptable"
            context.counts[label] += 1
            conversation = [*task.messages, {"role": "assistant", "content": answer.text}]
            votes = [
                _vote("acceptable" if good else "unacceptable", judgment.who, judgment.at, judgment.weight)
                for judgment, good in said
                if good is not None
            ]
            share = max(below, above) / (below + above)
            yield _labelled(conversation_text(conversation), label, (task.split, "people"), share, votes)
    yield from _labels_of_people(context)
    if context.wanted.wants("imported"):
        for labelled in labelled_texts(context.project, context.cutoff):
            context.counts["imported texts" if labelled.label else "texts whose labels are tied"] += 1
            votes = [
                _vote(vote.label, f"{IMPORTED}:{vote.annotator}" if vote.annotator else IMPORTED, vote.labelled_at)
                for vote in labelled.votes
            ]
            yield _labelled(labelled.text, labelled.label, (labelled.split, IMPORTED), labelled.share, votes)


def _labels_of_people(context: SnapshotContext) -> Iterator[SnapshotRow]:
    """Yield the texts that people labelled, with the majority label; a text whose first two labels tie is left out."""
    if not context.wanted.wants("label"):
        return
    given = labels_that_count(context.project).filter(created_at__lte=context.cutoff)
    given = given.exclude(assignment__annotator__in=context.decisions.excluded)
    by_task = given.order_by("assignment__task_id", "pk").values_list(
        "assignment__task_id",
        "label",
        "assignment__annotator_id",
        "created_at",
        "assignment__task__prompt__messages",
        "assignment__task__prompt__split",
    )
    for _, group in groupby(by_task.iterator(2000), key=itemgetter(0)):
        weights: dict[str, float] = defaultdict(float)
        votes = []
        rows = list(group)
        *_, messages, split = rows[0]
        for _, label, annotator, at, *_ in rows:
            if reason := context.wanted.refusal(annotator, at):
                context.counts[f"labels {reason}"] += 1
                continue
            weight = context.decisions.weight(annotator)
            weights[label] += weight
            votes.append(_vote(label, f"annotator-{annotator}", at, weight))
            if context.tally:
                context.tally.see_writer(annotator)
        if not votes:
            continue
        (label, most), *others = sorted(weights.items(), key=lambda vote: -vote[1])
        share = most / sum(weights.values())
        text = messages[0]["content"] if len(messages) == 1 else conversation_text(messages)
        if others and others[0][1] == most:
            context.counts["texts whose labels are tied"] += 1
            yield _labelled(text, None, (split, "annotators"), share, votes)
        elif share < context.wanted.min_agreement:
            context.counts["texts below the minimum agreement"] += 1
        else:
            context.counts["labelled texts"] += 1
            yield _labelled(text, label, (split, "annotators"), share, votes)


def _vote(label: str, who: str, at: datetime | None, weight: float = 1.0) -> SnapshotRow:
    return {"label": label, "annotator": who, "at": date_text(at), "weight": float(weight)}


def _labelled(
    text: str, label: str | None, origin: tuple[str, str], share: float, votes: list[SnapshotRow]
) -> SnapshotRow:
    split, source = origin
    return {
        "text": text,
        "label": label,
        "split": split,
        "source": source,
        "share": round(share, 4),
        "votes": votes,
    }
