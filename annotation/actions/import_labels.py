"""What a file says about the labels of texts: which votes are new, and as rows of ImportedLabel."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime

from annotation.actions.import_reports import ImportReport
from annotation.imports import LabelRow, LabelVote, ParsedPrompts, RefusedRow
from annotation.models import ImportedLabel, Project, PromptUpload, Split

AT_ONCE = 500


@dataclass
class FreshLabels:
    """A labelled text with the votes on it that are new, and the number of each."""

    row: LabelRow
    digest: str
    votes: list[tuple[int, LabelVote]]


def sort_labels(
    project: Project | None, parsed: ParsedPrompts, report: ImportReport | None = None
) -> tuple[list[FreshLabels], ImportReport]:
    """Return the votes on labels that are new, and the report with what becomes of the rows added.

    A second vote of a person whom the file names, or of nobody in particular, on the same text is refused where it
    gives another label, and a duplicate where it gives the same.
    """
    report = report or ImportReport.of(parsed)
    digests = [_digest(row.text) for row in parsed.labels]
    have = _known_labels(project, digests)
    fresh: list[FreshLabels] = []
    for row, digest in zip(parsed.labels, digests, strict=True):
        votes, conflict = _new_label_votes(row, have[digest])
        if conflict:
            report.refused.append(RefusedRow(row.line, conflict))
        elif not votes:
            report.duplicates.append(RefusedRow(row.line, "this project already has the text with this label"))
        else:
            have[digest] |= {(vote.annotator, number): vote.label for number, vote in votes}
            fresh.append(FreshLabels(row, digest, votes))
    report.taken += len(fresh)
    report.labels += len(fresh)
    report.votes += sum(len(each.votes) for each in fresh if len(each.row.votes) > 1)
    report.refused.sort(key=lambda refused: refused.line)
    report.duplicates.sort(key=lambda row: row.line)
    return fresh, report


def _known_labels(project: Project | None, digests: list[str]) -> dict[str, dict[tuple[str, int], str]]:
    """Return the labels of texts by who gave them and the number of the vote."""
    found: dict[str, dict[tuple[str, int], str]] = defaultdict(dict)
    if project is None:
        return found
    for start in range(0, len(digests), AT_ONCE):
        stored = project.imported_labels.filter(digest__in=digests[start : start + AT_ONCE])
        for digest, annotator, number, label in stored.values_list("digest", "annotator", "number", "label"):
            found[digest][annotator, number] = label
    return found


def _new_label_votes(row: LabelRow, have: dict[tuple[str, int], str]) -> tuple[list[tuple[int, LabelVote]], str]:
    """Return the votes of a row that are new, with their numbers, and why the row is refused."""
    unnamed = [label for (annotator, _), label in have.items() if not annotator]
    left = Counter(unnamed)
    found: list[tuple[int, LabelVote]] = []
    for vote in row.votes:
        if vote.annotator:
            before = have.get((vote.annotator, 1))
            if before is not None and before != vote.label:
                return [], f"{vote.annotator[:40]!r} labelled the text {before!r} already"
            if before is None:
                found.append((1, vote))
        elif len(row.votes) == 1 and unnamed and vote.label not in unnamed:
            return [], f"the text is labelled {unnamed[0]!r} already"
        elif left[vote.label]:
            left[vote.label] -= 1
        else:
            found.append((0, vote))
    number = max((number for (annotator, number) in have if not annotator), default=0)
    numbered = []
    for given, vote in found:
        number += not given
        numbered.append((given or number, vote))
    return numbered, ""


def store(project: Project, fresh: list[FreshLabels], upload: PromptUpload | None) -> None:
    """Store votes on labels that are new."""
    ImportedLabel.objects.bulk_create(
        [
            ImportedLabel(
                project=project,
                text=each.row.text,
                label=vote.label,
                annotator=vote.annotator,
                number=number,
                labelled_at=datetime.fromisoformat(vote.at) if vote.at else None,
                digest=each.digest,
                split=Split.of(each.digest),
                upload=upload,
            )
            for each in fresh
            for number, vote in each.votes
        ],
        batch_size=AT_ONCE,
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
