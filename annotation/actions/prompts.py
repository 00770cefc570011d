"""Taking what a file brings: prompts with answers and votes, and labelled texts. All or nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext

from annotation import audit
from annotation.actions import import_labels, import_votes, labels, table_statistics, upload_contents
from annotation.actions.import_labels import FreshLabels, sort_labels
from annotation.actions.import_reports import ImportReport
from annotation.actions.tasks import blind_candidates, divided, open_tasks
from annotation.errors import NotPossible
from annotation.imports import ParsedPrompts, PromptRow, RefusedRow
from annotation.judged.preferences import Vote, merge
from annotation.models import (
    AuditAction,
    Completion,
    ImportedJudgment,
    ImportStatus,
    Project,
    Prompt,
    PromptUpload,
    Source,
    Split,
    Task,
)
from annotation.stats.unpaired import ACCEPTABLE

__all__ = ["ImportReport", "dry_run", "import_prompts", "sort_labels", "sort_rows", "take_upload"]

IMPORT = "import"  # origin of answers that came in to be ranked or judged, and of the tasks opened for them
AT_ONCE = 500
TRIES = 30  # of rows that other imports overtake

Stored = TypeVar("Stored")


class SortedRows(NamedTuple):
    """What sorting the rows of a file found, for a project in this state. `to_rank` is by the digest of a prompt.

    `known` are the prompts of the rows that were there, and `newest_vote` the last vote on one of them.
    """

    state: tuple[Any, ...]
    known: list[int]
    newest_vote: int | None
    fresh: list[FreshRow]
    labels: list[FreshLabels]
    to_rank: dict[str, ToRank]
    report: ImportReport


@dataclass
class FreshRow:
    """A row that brings something new: its prompt, or answers and votes for a prompt that is there.

    `votes` are those that are new, by their digest; `texts` the new answers; `is_known` says that its prompt is there.
    """

    row: PromptRow
    digest: str
    texts: list[str]
    votes: dict[str, Any]
    is_known: bool


class ToRank(NamedTuple):
    """The answers to a prompt that may stand beside each other in a blind task, and how many may not."""

    texts: list[str]
    held_back: int


def import_prompts(
    *,
    project: Project,
    parsed: ParsedPrompts,
    by: User | None,
    upload: PromptUpload | None = None,
    also: Callable[[ImportReport], object] | None = None,
) -> ImportReport:
    """Take every row that brings something new and return what became of each. All or nothing.

    Prompts that come with two answers or more and no vote become ranking tasks, or unary tasks from one answer on.
    Votes count as judgments of the source "imported". `also` is called in the same transaction.
    """

    def store(looked: SortedRows) -> ImportReport:
        report = store_rows(project, looked, upload)
        if upload is None:  # an upload is recorded once, not for each of its batches
            audit.record(AuditAction.IMPORTED, by=by, project=project, what="file", rows=report.rows)
        if also:
            also(report)
        return report

    report = with_sorted_rows(project, parsed, store)
    table_statistics.refresh()
    return report


def with_sorted_rows(project: Project, parsed: ParsedPrompts, store: Callable[[SortedRows], Stored]) -> Stored:
    """Sort the rows, call `store` with them in a transaction of which their state is true, and return what it returns.

    Nothing is computed in the transaction, for which everybody who writes would wait: where another import of the
    project came between, it ends and the rows are sorted anew. Raises NotPossible where others never stop.
    """
    for _ in range(TRIES):
        looked = look(project, parsed)
        with transaction.atomic():
            # Other imports wait; people at work do not: no row that they write needs this lock.
            Project.objects.select_for_update(no_key=True).get(pk=project.pk)
            if _state(project) == looked.state and _newest_vote(looked.known) == looked.newest_vote:
                return store(looked)
    raise NotPossible(
        gettext("Other files are being imported into this project. Nothing of this one was imported. Try again later.")
    )


def look(project: Project, parsed: ParsedPrompts) -> SortedRows:
    """Return what the rows bring that is new, and the state of the project that this holds for."""
    state = _state(project)  # first: a prompt that comes after it changes it
    digests = [Prompt.digest_of(row.messages) for row in parsed.rows]
    known = [prompt.pk for prompt in _known_prompts(project, digests).values()]
    newest_vote = _newest_vote(known)
    fresh, report = sort_rows(project, parsed, digests)
    fresh_labels = sort_labels(project, parsed, report)[0] if parsed.labels else []
    return SortedRows(state, known, newest_vote, fresh, fresh_labels, _ranked(project, fresh), report)


def _state(project: Project) -> tuple[Any, ...]:
    """Return what changes when an import stores or takes back anything that rows are compared with, votes aside."""
    newest = [
        project.prompts.order_by("-pk"),
        # No join: of many completions of other projects none would be read.
        Completion.objects.filter(source=Source.IMPORTED, project=project).order_by("-pk"),
        project.imported_labels.order_by("-pk"),
    ]
    undone = PromptUpload.objects.filter(project=project, status__in=[ImportStatus.UNDOING, ImportStatus.UNDONE])
    return (
        *(rows.values_list("pk", flat=True).first() for rows in newest),
        *undone.order_by("pk").values_list("pk", "status"),
    )


def _newest_vote(prompts: list[int]) -> int | None:
    """Return the last imported vote on one of these prompts: of all of a project SQLite would read every prompt."""
    newest = [
        ImportedJudgment.objects.filter(prompt__in=some).aggregate(newest=Max("pk"))["newest"]
        for some in _in_parts(prompts)
    ]
    return max(filter(None, newest), default=None)


def store_rows(project: Project, looked: SortedRows, upload: PromptUpload | None) -> ImportReport:
    """Store what sorted rows bring, and return the report. Call it in `with_sorted_rows`."""
    report = looked.report
    prompts = _store_prompts(project, looked.fresh, upload)
    report.tasks, report.held_back = _store_additions(project, looked, prompts, upload)
    for part in _in_parts([prompt.pk for prompt in prompts.values()]):
        labels.open_label_tasks(project=project, prompts=project.prompts.filter(pk__in=part))
    import_labels.store(project, looked.labels, upload)
    return report


def dry_run(project: Project | None, parsed: ParsedPrompts) -> ImportReport:
    """Return the report that an import would give, and import nothing; without a project, that of an empty one."""
    fresh, report = sort_rows(project, parsed)
    report.tasks, report.held_back = _tasks_to_open(project, fresh)
    if parsed.labels:
        sort_labels(project, parsed, report)
    return report


def take_upload(*, upload: PromptUpload, parsed: ParsedPrompts, by: User) -> ImportReport:
    """Import an uploaded file; its report stays, its content goes. A second click changes nothing."""

    def take(looked: SortedRows) -> ImportReport:
        pending = PromptUpload.objects.select_for_update().get(pk=upload.pk)
        if pending.report is not None:
            return ImportReport.from_json(pending.report)
        report = store_rows(pending.project, looked, pending)
        audit.record(
            AuditAction.IMPORTED, by=by, project=pending.project, what=f"upload {pending.pk}", rows=report.rows
        )
        upload_contents.forget(upload)
        PromptUpload.objects.filter(pk=upload.pk).update(
            report=report.as_json(), parsed=None, status=ImportStatus.TAKEN, heartbeat_at=timezone.now()
        )
        return report

    return with_sorted_rows(upload.project, parsed, take)


def sort_rows(
    project: Project | None, parsed: ParsedPrompts, digests: list[str] | None = None
) -> tuple[list[FreshRow], ImportReport]:
    """Return the rows that bring something the project does not have yet, and the report of an import of them.

    `digests` are those of the rows' prompts, where they are known already.
    """
    report = ImportReport.of(parsed)
    digests = digests or [Prompt.digest_of(row.messages) for row in parsed.rows]
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
            fresh.append(FreshRow(row, digest, texts, votes, digest in known))
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


def _store_prompts(project: Project, fresh: list[FreshRow], upload: PromptUpload | None) -> dict[str, Prompt]:
    """Return the prompts of the rows by digest; those that are missing are made."""
    prompts = _known_prompts(project, [each.digest for each in fresh if each.is_known])
    new: dict[str, Prompt] = {}
    for each in fresh:
        if each.digest not in prompts and each.digest not in new:
            new[each.digest] = Prompt(
                project_id=project.pk,
                messages=each.row.messages,
                digest=each.digest,
                external_id=each.row.external_id,
                category=each.row.category,
                split=Split.of(each.digest),
                upload_id=upload.pk if upload else None,
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
    project: Project, looked: SortedRows, prompts: dict[str, Prompt], upload: PromptUpload | None
) -> tuple[int, int]:
    """Store answers and votes, and open tasks; return the numbers of tasks and of answers held back."""
    adding = [each for each in looked.fresh if each.texts or each.votes]
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
                    project_id=project.pk,
                    prompt_id=prompt.pk,
                    source=Source.IMPORTED,
                    text=text,
                    origin="" if text in each.row.references else IMPORT,
                    index=len(have),
                    finished=answer.finished if answer else True,
                    sampling={"model": answer.name} if answer and answer.name else {},
                    upload_id=upload.pk if upload else None,
                )
                new.append(have[text])
    Completion.objects.bulk_create(new, batch_size=AT_ONCE)
    votes = ((prompts[each.digest], each.row, each.votes, stored[prompts[each.digest].pk]) for each in adding)
    import_votes.store(votes, upload)
    return _open_tasks(project, looked.to_rank, prompts, stored)


def _ranked(project: Project | None, fresh: list[FreshRow]) -> dict[str, ToRank]:
    """Return the answers to rank by the digest of their prompt, from rows without judgments."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for each in fresh:
        if (each.texts or each.votes) and not each.row.votes:
            found[each.digest] |= dict.fromkeys(each.row.completions)
    ranked = {}
    for digest, texts in found.items():
        of = project or Project()
        if divided(of, digest, list(texts)):
            kept = blind_candidates([Completion(text=text) for text in texts], of)
            ranked[digest] = ToRank([answer.text for answer in kept], len(texts) - len(kept))
    return ranked


def _tasks_to_open(project: Project | None, fresh: list[FreshRow]) -> tuple[int, int]:
    """Return how many tasks an import would open, and how many answers it would hold back."""
    ranked = _ranked(project, fresh)
    known = _known_prompts(project, list(ranked))
    has_one = _have_tasks(prompt.pk for prompt in known.values())
    new = [(digest, each) for digest, each in ranked.items() if digest not in known or known[digest].pk not in has_one]
    of = project or Project()
    wanted = ((digest, each.texts[: of.candidates_per_task]) for digest, each in new)
    return sum(len(divided(of, digest, texts)) for digest, texts in wanted), sum(each.held_back for _, each in new)


def _have_tasks(prompts: Iterable[int]) -> set[int]:
    """Return which of the prompts have a ranking task, or unary tasks, of an import."""
    found: set[int] = set()
    for some in _in_parts(list(prompts)):
        tasks = Task.objects.filter(prompt__in=some, origin=IMPORT, kind__in=["ranking", "unary"])
        found |= {pk for pk in tasks.values_list("prompt_id", flat=True) if pk is not None}
    return found


def _open_tasks(
    project: Project, ranked: dict[str, ToRank], prompts: dict[str, Prompt], stored: dict[int, dict[str, Completion]]
) -> tuple[int, int]:
    """Open the tasks over the answers to each prompt, once; return how many, and how many answers were held back."""
    has_one = _have_tasks(prompts[digest].pk for digest in ranked)
    new = [(prompts[digest], each) for digest, each in ranked.items() if prompts[digest].pk not in has_one]
    wanted = [
        (prompt, [stored[prompt.pk][text] for text in each.texts[: project.candidates_per_task]])
        for prompt, each in new
    ]
    return open_tasks(project=project, wanted=wanted, origin=IMPORT), sum(each.held_back for _, each in new)


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
