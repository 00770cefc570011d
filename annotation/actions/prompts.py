"""Taking what a file brings: prompts with answers and votes, and labelled texts. All or nothing."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from annotation import audit
from annotation.actions import import_votes, labels, upload_contents
from annotation.actions.import_reports import ImportReport
from annotation.actions.tasks import blind_candidates, open_task
from annotation.imports import LabelRow, LabelVote, ParsedPrompts, PromptRow, RefusedRow
from annotation.imports.rows import ACCEPTABLE
from annotation.judged.preferences import Vote, merge
from annotation.models import (
    AuditAction,
    Completion,
    ImportedJudgment,
    ImportedLabel,
    ImportStatus,
    Project,
    Prompt,
    PromptUpload,
    Source,
    Split,
    Task,
)

__all__ = ["ImportReport", "dry_run", "import_prompts", "sort_labels", "sort_rows", "take_upload"]

IMPORT = "import"  # origin of answers that came in to be ranked or judged, and of the tasks opened for them
AT_ONCE = 500


class SortedRows(NamedTuple):
    """What sorting the rows of a file found, for a project in this state."""

    state: tuple[Any, ...]
    fresh: list[FreshRow]
    report: ImportReport


@dataclass
class FreshRow:
    """A row that brings something new: its prompt, or answers and votes for a prompt that is there.

    `votes` are those that are new, by their digest; `texts` the new answers.
    """

    row: PromptRow
    digest: str
    texts: list[str]
    votes: dict[str, Any]


@dataclass
class FreshLabels:
    """A labelled text with the votes on it that are new, and the number of each."""

    row: LabelRow
    digest: str
    votes: list[tuple[int, LabelVote]]


def import_prompts(
    *,
    project: Project,
    parsed: ParsedPrompts,
    by: User | None,
    upload: PromptUpload | None = None,
    looked: SortedRows | None = None,
) -> ImportReport:
    """Take every row that brings something new and return what became of each. All or nothing.

    Prompts that come with two answers or more and no vote become ranking tasks. Votes count as judgments of the source
    "imported". Rows are sorted before the transaction, and once more in it where another import came between.
    """
    looked = looked or look(project, parsed)
    with transaction.atomic():
        # Other imports wait; people at work do not: no row that they write needs this lock.
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        if _state(project) != looked.state:
            looked = look(project, parsed)
        fresh, report = looked.fresh, looked.report
        prompts = _store_prompts(project, fresh, upload)
        report.tasks, report.held_back = _store_additions(project, fresh, prompts, upload)
        for part in _in_parts([prompt.pk for prompt in prompts.values()]):
            labels.open_label_tasks(project=project, prompts=project.prompts.filter(pk__in=part))
        if parsed.labels:
            _store_labels(project, parsed, report, upload)
        if upload is None:  # an upload is recorded once, not for each of its batches
            audit.record(AuditAction.IMPORTED, by=by, project=project, what="file", rows=report.rows)
    return report


def look(project: Project, parsed: ParsedPrompts) -> SortedRows:
    """Return which rows bring something new, and the state of the project that this holds for."""
    state = _state(project)
    return SortedRows(state, *sort_rows(project, parsed))


def _state(project: Project) -> tuple[Any, ...]:
    """Return what changes when an import stores or takes back anything that rows are compared with."""
    imported = {"prompt__project": project}
    newest = [
        project.prompts.order_by("-pk"),
        Completion.objects.filter(source=Source.IMPORTED, **imported).order_by("-pk"),
        ImportedJudgment.objects.filter(**imported).order_by("-pk"),
    ]
    undoing = PromptUpload.objects.filter(project=project, status=ImportStatus.UNDOING).values_list("pk", flat=True)
    return (*(rows.values_list("pk", flat=True).first() for rows in newest), *undoing)


def dry_run(project: Project | None, parsed: ParsedPrompts) -> ImportReport:
    """Return the report that an import would give, and import nothing; without a project, that of an empty one."""
    fresh, report = sort_rows(project, parsed)
    report.tasks, report.held_back = _tasks_to_open(project, fresh)
    if parsed.labels:
        sort_labels(project, parsed, report)
    return report


def take_upload(*, upload: PromptUpload, parsed: ParsedPrompts, by: User) -> ImportReport:
    """Import an uploaded file; its report stays, its content goes. A second click changes nothing."""
    looked = look(upload.project, parsed)
    with transaction.atomic():
        pending = PromptUpload.objects.select_for_update().get(pk=upload.pk)
        if pending.report is not None:
            return ImportReport.from_json(pending.report)
        report = import_prompts(project=pending.project, parsed=parsed, by=by, upload=pending, looked=looked)
        audit.record(
            AuditAction.IMPORTED, by=by, project=pending.project, what=f"upload {pending.pk}", rows=report.rows
        )
        upload_contents.forget(upload)
        PromptUpload.objects.filter(pk=upload.pk).update(
            report=report.as_json(), parsed=None, status=ImportStatus.TAKEN, heartbeat_at=timezone.now()
        )
    return report


def sort_rows(project: Project | None, parsed: ParsedPrompts) -> tuple[list[FreshRow], ImportReport]:
    """Return the rows that bring something the project does not have yet, and the report of an import of them."""
    report = ImportReport.of(parsed)
    digests = [Prompt.digest_of(row.messages) for row in parsed.rows]
    known = _known_prompts(project, digests)
    known_ids = _known_ids(project, parsed.rows)
    adding = {digest for digest, row in zip(digests, parsed.rows, strict=True) if row.answers or row.references}
    have = _known_additions(known, adding)
    seen: dict[str, int] = {}
    fresh: list[FreshRow] = []
    for row, digest in zip(parsed.rows, digests, strict=True):
        texts = [text for text in _texts(row) if text not in have[digest]]
        votes = {key: vote for key, vote in import_votes.by_digest(row).items() if key not in have[digest]}
        if digest in seen and not texts and not votes:
            report.duplicates.append(RefusedRow(row.line, f"the same prompt as line {seen[digest]}"))
        elif digest in known and not texts and not votes:
            report.duplicates.append(RefusedRow(row.line, "this project already has the prompt"))
        elif row.external_id and known_ids.get(row.external_id, digest) != digest:
            report.refused.append(RefusedRow(row.line, f"id {row.external_id!r} already belongs to another prompt"))
        else:
            seen.setdefault(digest, row.line)
            if row.external_id:
                known_ids[row.external_id] = digest
            have[digest] |= {*texts, *votes}
            report.answers += len(texts)
            report.votes += len(votes)
            report.labels += sum(name == ACCEPTABLE for vote in votes.values() for _, name, _ in vote.ratings)
            fresh.append(FreshRow(row, digest, texts, votes))
    report.pairs = _preferences(fresh)
    report.taken = len(fresh)
    report.refused.sort(key=lambda refused: refused.line)
    return fresh, report


def _preferences(fresh: list[FreshRow]) -> int:
    """Return how many pairs of answers the new votes put in an order, those of several rows together."""
    number: dict[str, int] = {}
    votes: dict[tuple[str, frozenset[int]], list[Vote]] = defaultdict(list)
    for each in fresh:
        for vote in each.votes.values():
            if vote.orders:
                place = [number.setdefault(text, len(number)) for text in each.row.completions]
                tiers = [[place[at] for at in tier] for tier in vote.tiers]
                unranked = [place[at] for at in vote.unranked]
                group = frozenset(at for tier in tiers for at in tier)
                votes[each.digest, group].append(Vote(tiers, weight=vote.weight, unranked=unranked))
    return sum(len(merge(group)[0]) for group in votes.values())


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
    for some in _in_parts(digests):
        stored = project.imported_labels.filter(digest__in=some)
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


def _store_labels(project: Project, parsed: ParsedPrompts, report: ImportReport, upload: PromptUpload | None) -> None:
    fresh, _ = sort_labels(project, parsed, report)
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


def _store_prompts(project: Project, fresh: list[FreshRow], upload: PromptUpload | None) -> dict[str, Prompt]:
    """Return the prompts of the rows by digest; those that are missing are made."""
    prompts = _known_prompts(project, [each.digest for each in fresh])
    new: dict[str, Prompt] = {}
    for each in fresh:
        if each.digest not in prompts and each.digest not in new:
            new[each.digest] = Prompt(
                project=project,
                messages=each.row.messages,
                digest=each.digest,
                external_id=each.row.external_id,
                category=each.row.category,
                split=Split.of(each.digest),
                upload=upload,
            )
    Prompt.objects.bulk_create(
        new.values(),
        batch_size=AT_ONCE,
        # Feedback does not wait for imports, and may have brought the same prompt since it was looked for.
        update_conflicts=True,
        unique_fields=["project", "digest"],
        update_fields=["digest"],
    )
    return prompts | new


def _store_additions(
    project: Project, fresh: list[FreshRow], prompts: dict[str, Prompt], upload: PromptUpload | None
) -> tuple[int, int]:
    """Store answers and votes, and open tasks; return the numbers of tasks and of answers held back."""
    adding = [each for each in fresh if each.texts or each.votes]
    if not adding:
        return 0, 0
    stored = _imported_answers(prompts[each.digest].pk for each in adding)
    new: list[Completion] = []
    for each in adding:
        prompt = prompts[each.digest]
        have = stored[prompt.pk]
        about = {answer.text: answer for answer in each.row.answers}
        for text in _texts(each.row):
            if text not in have:
                answer = about.get(text)
                have[text] = Completion(
                    prompt=prompt,
                    source=Source.IMPORTED,
                    text=text,
                    origin="" if text in each.row.references else IMPORT,
                    index=len(have),
                    finished=answer.finished if answer else True,
                    sampling={"model": answer.name} if answer and answer.name else {},
                    upload=upload,
                )
                new.append(have[text])
    Completion.objects.bulk_create(new, batch_size=AT_ONCE)
    votes = ((prompts[each.digest], each.row, each.votes, stored[prompts[each.digest].pk]) for each in adding)
    import_votes.store(votes, upload)
    return _open_tasks(project, adding, prompts, stored)


def _to_rank(fresh: list[FreshRow]) -> dict[str, list[str]]:
    """Return the answers to rank by the digest of their prompt, from rows without judgments."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for each in fresh:
        if (each.texts or each.votes) and not each.row.votes:
            found[each.digest] |= dict.fromkeys(each.row.completions)
    return {digest: list(texts) for digest, texts in found.items() if len(texts) > 1}


def _tasks_to_open(project: Project | None, fresh: list[FreshRow]) -> tuple[int, int]:
    """Return how many tasks an import would open, and how many answers it would hold back."""
    wanted = _to_rank(fresh)
    known = _known_prompts(project, list(wanted))
    has_one = _have_tasks(project) if project else set()
    opened = held = 0
    for digest, texts in wanted.items():
        if digest in known and known[digest].pk in has_one:
            continue
        kept = blind_candidates([Completion(text=text) for text in texts], project or Project())
        held += len(texts) - len(kept)
        opened += len(kept) > 1
    return opened, held


def _have_tasks(project: Project) -> set[int]:
    return set(Task.objects.filter(project=project, origin=IMPORT, kind="ranking").values_list("prompt_id", flat=True))


def _open_tasks(
    project: Project, adding: list[FreshRow], prompts: dict[str, Prompt], stored: dict[int, dict[str, Completion]]
) -> tuple[int, int]:
    """Open a ranking task for each prompt with two answers or more, once; return how many, and how many were held."""
    has_one = _have_tasks(project)
    opened = held = 0
    for digest, texts in _to_rank(adding).items():
        prompt = prompts[digest]
        if prompt.pk in has_one:
            continue
        answers = [stored[prompt.pk][text] for text in texts]
        kept = blind_candidates(answers, project)
        held += len(answers) - len(kept)
        if len(kept) > 1:
            chosen = kept[: project.candidates_per_task]
            open_task(prompt=prompt, kind="ranking", candidates=chosen, seats=project.seats_per_task, origin=IMPORT)
            opened += 1
    return opened, held


def _texts(row: PromptRow) -> list[str]:
    """Return every answer in a row, once."""
    return list(dict.fromkeys((*row.references, *row.completions)))


def _known_prompts(project: Project | None, digests: list[str]) -> dict[str, Prompt]:
    found: dict[str, Prompt] = {}
    if project is None:
        return found
    for some in _in_parts(digests):
        found |= {prompt.digest: prompt for prompt in project.prompts.filter(digest__in=some).only("digest", "project")}
    return found


def _known_ids(project: Project | None, rows: list[PromptRow]) -> dict[str, str]:
    """Return the digest of the prompt behind each id."""
    found: dict[str, str] = {}
    if project is None:
        return found
    for some in _in_parts([row.external_id for row in rows if row.external_id]):
        found |= dict(project.prompts.filter(external_id__in=some).values_list("external_id", "digest"))
    return found


def _known_additions(known: dict[str, Prompt], wanted: set[str]) -> dict[str, set[str]]:
    """Return the texts and the digests of votes that prompts have, for those that a row wants to add to."""
    have: dict[str, set[str]] = defaultdict(set)
    digest_of = {prompt.pk: digest for digest, prompt in known.items() if digest in wanted}
    for pk, answers in _imported_answers(digest_of).items():
        have[digest_of[pk]] |= set(answers)
    for some in _in_parts(list(digest_of)):
        for pk, digest in import_votes.known(some):
            have[digest_of[pk]].add(digest)
    return have


def _imported_answers(prompts: Iterable[int]) -> dict[int, dict[str, Completion]]:
    found: dict[int, dict[str, Completion]] = defaultdict(dict)
    for some in _in_parts(list(dict.fromkeys(prompts))):
        for completion in Completion.objects.filter(prompt__in=some, source=Source.IMPORTED).order_by("pk"):
            found[completion.prompt_id].setdefault(completion.text, completion)
    return found


def _in_parts(values: list[Any]) -> Iterator[list[Any]]:
    """Yield as many values as one query takes."""
    for start in range(0, len(values), AT_ONCE):
        yield values[start : start + AT_ONCE]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
