"""Taking what a file brings: prompts with answers and preferences, or labelled texts. All or nothing."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from annotation.actions import labels
from annotation.actions.tasks import open_task
from annotation.exports.writers import safe_cell
from annotation.imports import LabelRow, ParsedPrompts, PromptRow, RefusedRow
from annotation.models import (
    Completion,
    ImportedLabel,
    ImportedPreference,
    Project,
    Prompt,
    PromptUpload,
    Source,
    Split,
    Task,
)

IMPORT = "import"  # origin of answers that came in to be ranked or in a pair, and of the tasks opened for them
AT_ONCE = 500

# What a row adds to its prompt: an answer by its text, or a pair by both.
Addition = tuple[str, ...]


@dataclass
class ImportReport:
    """What became of every row of a file. `taken` counts rows."""

    taken: int = 0
    answers: int = 0
    pairs: int = 0
    tasks: int = 0
    duplicates: list[RefusedRow] = field(default_factory=list)
    refused: list[RefusedRow] = field(default_factory=list)

    def __str__(self) -> str:
        brought = {"answers": self.answers, "preferences": self.pairs, "tasks opened": self.tasks}
        more = "".join(f", {count} {name}" for name, count in brought.items() if count)
        return f"{self.taken} taken, {len(self.duplicates)} duplicate, {len(self.refused)} refused{more}"

    def add(self, other: ImportReport) -> None:
        self.taken += other.taken
        self.answers += other.answers
        self.pairs += other.pairs
        self.tasks += other.tasks
        self.duplicates += other.duplicates
        self.refused += other.refused

    def as_json(self) -> dict[str, Any]:
        numbers = {name: getattr(self, name) for name in ("taken", "answers", "pairs", "tasks")}
        lists = {"duplicates": self.duplicates, "refused": self.refused}
        return numbers | {name: [[row.line, row.reason] for row in rows] for name, rows in lists.items()}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> ImportReport:
        duplicates, refused = ([RefusedRow(*row) for row in given[name]] for name in ("duplicates", "refused"))
        return cls(given["taken"], given["answers"], given["pairs"], given["tasks"], duplicates, refused)

    def as_csv(self) -> str:
        """Every row that was not taken, for whoever mends the file."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["line", "what", "reason"])
        rows = [(row.line, "refused", row.reason) for row in self.refused]
        rows += [(row.line, "duplicate", row.reason) for row in self.duplicates]
        writer.writerows((line, what, safe_cell(reason)) for line, what, reason in sorted(rows))
        return text.getvalue()


@dataclass
class FreshRow:
    """A row that brings something new: its prompt, or answers and pairs for a prompt that is there."""

    row: PromptRow
    digest: str
    additions: list[Addition]


def import_prompts(*, project: Project, parsed: ParsedPrompts, by: User | None) -> ImportReport:
    """Take every row that brings something new; say of every other one why not. All or nothing.

    Prompts that come with two answers or more become ranking tasks. Pairs count as judgments of the source "imported".
    """
    with transaction.atomic():
        # Other imports wait; people at work do not: no row that they write needs this lock.
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        if parsed.labels:
            return _import_labels(project, parsed)
        fresh, report = sort_rows(project, parsed)
        prompts = _store_prompts(project, fresh)
        report.tasks = _store_additions(project, fresh, prompts)
        for part in _in_parts([prompt.pk for prompt in prompts.values()]):
            labels.open_label_tasks(project=project, prompts=project.prompts.filter(pk__in=part))
    return report


def dry_run(project: Project, parsed: ParsedPrompts) -> ImportReport:
    """The report that an import would give, and no import."""
    return sort_labels(project, parsed)[1] if parsed.labels else sort_rows(project, parsed)[1]


def take_upload(*, upload: PromptUpload, parsed: ParsedPrompts, by: User) -> ImportReport:
    """Import an uploaded file; its report stays, its content goes. A second click changes nothing."""
    with transaction.atomic():
        pending = PromptUpload.objects.select_for_update().get(pk=upload.pk)
        if pending.report is not None:
            return ImportReport.from_json(pending.report)
        report = import_prompts(project=pending.project, parsed=parsed, by=by)
        PromptUpload.objects.filter(pk=upload.pk).update(report=report.as_json(), content=b"")
    return report


def sort_rows(project: Project, parsed: ParsedPrompts) -> tuple[list[FreshRow], ImportReport]:
    """Rows that bring something the project does not have yet, and the report an import of them would give."""
    report = ImportReport(refused=list(parsed.refused))
    digests = [Prompt.digest_of(row.messages) for row in parsed.rows]
    known = _known_prompts(project, digests)
    known_ids = _known_ids(project, parsed.rows)
    have = _known_additions(known, {digest for digest, row in zip(digests, parsed.rows, strict=True) if _texts(row)})
    seen: dict[str, int] = {}
    fresh: list[FreshRow] = []
    for row, digest in zip(parsed.rows, digests, strict=True):
        additions = [each for each in _additions(row) if each not in have[digest]]
        if digest in seen and not additions:
            report.duplicates.append(RefusedRow(row.line, f"the same prompt as line {seen[digest]}"))
        elif digest in known and not additions:
            report.duplicates.append(RefusedRow(row.line, "this project has the prompt already"))
        elif row.external_id and known_ids.get(row.external_id, digest) != digest:
            report.refused.append(RefusedRow(row.line, f"id {row.external_id!r} already stands for another prompt"))
        else:
            seen.setdefault(digest, row.line)
            if row.external_id:
                known_ids[row.external_id] = digest
            have[digest] |= set(additions)
            report.answers += sum(len(each) == 1 for each in additions)
            report.pairs += sum(len(each) == 2 for each in additions)
            fresh.append(FreshRow(row, digest, additions))
    report.taken = len(fresh)
    report.refused.sort(key=lambda refused: refused.line)
    return fresh, report


def sort_labels(project: Project, parsed: ParsedPrompts) -> tuple[list[tuple[LabelRow, str]], ImportReport]:
    report = ImportReport(refused=list(parsed.refused))
    digests = [_digest(row.text) for row in parsed.labels]
    found: dict[str, str] = {}
    for some in _in_parts(digests):
        found |= dict(project.imported_labels.filter(digest__in=some).values_list("digest", "label"))
    fresh = []
    for row, digest in zip(parsed.labels, digests, strict=True):
        if digest not in found:
            found[digest] = row.label
            fresh.append((row, digest))
        elif found[digest] == row.label:
            report.duplicates.append(RefusedRow(row.line, "this project has the text with this label already"))
        else:
            report.refused.append(RefusedRow(row.line, f"the text is labelled {found[digest]!r} already"))
    report.taken = len(fresh)
    report.refused.sort(key=lambda refused: refused.line)
    return fresh, report


def _import_labels(project: Project, parsed: ParsedPrompts) -> ImportReport:
    fresh, report = sort_labels(project, parsed)
    ImportedLabel.objects.bulk_create(
        [
            ImportedLabel(project=project, text=row.text, label=row.label, digest=digest, split=Split.of(digest))
            for row, digest in fresh
        ],
        batch_size=AT_ONCE,
    )
    return report


def _store_prompts(project: Project, fresh: list[FreshRow]) -> dict[str, Prompt]:
    """The prompts of the rows by digest; those that are missing are made."""
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
            )
    Prompt.objects.bulk_create(new.values(), batch_size=AT_ONCE)
    return prompts | new


def _store_additions(project: Project, fresh: list[FreshRow], prompts: dict[str, Prompt]) -> int:
    """Answers, pairs and, where there is something to rank, tasks; gives the number of tasks."""
    adding = [each for each in fresh if each.additions]
    if not adding:
        return 0
    texts = _imported_texts(prompts[each.digest].pk for each in adding)
    new: list[Completion] = []
    for each in adding:
        prompt = prompts[each.digest]
        have = texts[prompt.pk]
        for text in _texts(each.row):
            if text not in have:
                origin = "" if text == each.row.reference else IMPORT
                completion = Completion(
                    prompt=prompt, source=Source.IMPORTED, text=text, origin=origin, index=len(have)
                )
                have[text] = completion
                new.append(completion)
    Completion.objects.bulk_create(new, batch_size=AT_ONCE)
    pairs = [
        ImportedPreference(
            prompt=prompts[each.digest],
            chosen=texts[prompts[each.digest].pk][pair.chosen],
            rejected=texts[prompts[each.digest].pk][pair.rejected],
            margin=pair.margin,
        )
        for each in adding
        for pair in _new_pairs(each)
    ]
    ImportedPreference.objects.bulk_create(pairs, batch_size=AT_ONCE)
    return _open_tasks(project, adding, prompts, texts)


def _new_pairs(fresh: FreshRow) -> Iterator[Any]:
    wanted = set(fresh.additions)
    for pair in fresh.row.pairs:
        if (pair.chosen, pair.rejected) in wanted:
            wanted.discard((pair.chosen, pair.rejected))
            yield pair


def _open_tasks(
    project: Project, adding: list[FreshRow], prompts: dict[str, Prompt], texts: dict[int, dict[str, Completion]]
) -> int:
    """A ranking task for each prompt with two answers or more, once; pairs are judged already."""
    candidates: dict[int, dict[str, Completion]] = defaultdict(dict)
    for each in adding:
        if not each.row.pairs:
            prompt = prompts[each.digest].pk
            candidates[prompt] |= {text: texts[prompt][text] for text in each.row.completions}
    by_pk = {prompt.pk: prompt for prompt in prompts.values()}
    has_one = set(
        Task.objects.filter(project=project, origin=IMPORT, kind="ranking").values_list("prompt_id", flat=True)
    )
    opened = 0
    for pk, answers in candidates.items():
        if len(answers) >= 2 and pk not in has_one:
            chosen = list(answers.values())[: project.candidates_per_task]
            open_task(prompt=by_pk[pk], kind="ranking", candidates=chosen, seats=project.seats_per_task, origin=IMPORT)
            opened += 1
    return opened


def _texts(row: PromptRow) -> list[str]:
    """Every answer in a row, once."""
    pairs = [text for pair in row.pairs for text in (pair.chosen, pair.rejected)]
    return list(dict.fromkeys(text for text in (row.reference, *row.completions, *pairs) if text))


def _additions(row: PromptRow) -> list[Addition]:
    return [
        *((text,) for text in _texts(row)),
        *dict.fromkeys((pair.chosen, pair.rejected) for pair in row.pairs),
    ]


def _known_prompts(project: Project, digests: list[str]) -> dict[str, Prompt]:
    found: dict[str, Prompt] = {}
    for some in _in_parts(digests):
        found |= {prompt.digest: prompt for prompt in project.prompts.filter(digest__in=some).only("digest", "project")}
    return found


def _known_ids(project: Project, rows: list[PromptRow]) -> dict[str, str]:
    """Which prompt stands behind each id, by digest."""
    found: dict[str, str] = {}
    for some in _in_parts([row.external_id for row in rows if row.external_id]):
        found |= dict(project.prompts.filter(external_id__in=some).values_list("external_id", "digest"))
    return found


def _known_additions(known: dict[str, Prompt], wanted: set[str]) -> dict[str, set[Addition]]:
    """What prompts have been brought before, for those that a row wants to add to."""
    have: dict[str, set[Addition]] = defaultdict(set)
    digest_of = {prompt.pk: digest for digest, prompt in known.items() if digest in wanted}
    for pk, texts in _imported_texts(digest_of).items():
        have[digest_of[pk]] |= {(text,) for text in texts}
    for some in _in_parts(list(digest_of)):
        pairs = ImportedPreference.objects.filter(prompt__in=some)
        for pk, chosen, rejected in pairs.values_list("prompt_id", "chosen__text", "rejected__text"):
            have[digest_of[pk]].add((chosen, rejected))
    return have


def _imported_texts(prompts: Iterable[int]) -> dict[int, dict[str, Completion]]:
    found: dict[int, dict[str, Completion]] = defaultdict(dict)
    for some in _in_parts(list(dict.fromkeys(prompts))):
        for completion in Completion.objects.filter(prompt__in=some, source=Source.IMPORTED).order_by("pk"):
            found[completion.prompt_id].setdefault(completion.text, completion)
    return found


def _in_parts(values: list[Any]) -> Iterator[list[Any]]:
    """As many as one query takes."""
    for start in range(0, len(values), AT_ONCE):
        yield values[start : start + AT_ONCE]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
