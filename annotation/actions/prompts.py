from __future__ import annotations

from dataclasses import dataclass, field

from django.contrib.auth.models import User
from django.db import transaction

from annotation.imports import ParsedPrompts, PromptRow, RefusedRow
from annotation.models import Completion, Project, Prompt, Source, Split


@dataclass
class ImportReport:
    """What became of every row of a file."""

    taken: int = 0
    duplicates: list[RefusedRow] = field(default_factory=list)
    refused: list[RefusedRow] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.taken} taken, {len(self.duplicates)} duplicate, {len(self.refused)} refused"


def import_prompts(*, project: Project, parsed: ParsedPrompts, by: User | None) -> ImportReport:
    """Take every row that is new; say of every other one why not. All or nothing."""
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)
        fresh, report = sort_rows(project, parsed)
        prompts = Prompt.objects.bulk_create(
            [
                Prompt(
                    project=project,
                    messages=row.messages,
                    digest=digest,
                    external_id=row.external_id,
                    category=row.category,
                    split=Split.of(digest),
                )
                for row, digest in fresh
            ],
            batch_size=500,
        )
        Completion.objects.bulk_create(
            [
                Completion(prompt=prompt, source=Source.IMPORTED, text=row.reference)
                for prompt, (row, _) in zip(prompts, fresh, strict=True)
                if row.reference
            ],
            batch_size=500,
        )
    return report


def sort_rows(project: Project, parsed: ParsedPrompts) -> tuple[list[tuple[PromptRow, str]], ImportReport]:
    """Rows that the project does not have yet, with their digests, and the report an import of them would give."""
    report = ImportReport(refused=list(parsed.refused))
    known = dict(project.prompts.values_list("digest", "id"))
    known_ids = set(project.prompts.exclude(external_id="").values_list("external_id", flat=True))
    seen: dict[str, int] = {}
    fresh: list[tuple[PromptRow, str]] = []
    for row in parsed.rows:
        digest = Prompt.digest_of(row.messages)
        if digest in seen:
            report.duplicates.append(RefusedRow(row.line, f"the same prompt as line {seen[digest]}"))
        elif digest in known:
            report.duplicates.append(RefusedRow(row.line, "this project has the prompt already"))
        elif row.external_id and row.external_id in known_ids:
            report.refused.append(RefusedRow(row.line, f"id {row.external_id!r} already stands for another prompt"))
        else:
            seen[digest] = row.line
            if row.external_id:
                known_ids.add(row.external_id)
            fresh.append((row, digest))
    report.taken = len(fresh)
    report.refused.sort(key=lambda refused: refused.line)
    return fresh, report
