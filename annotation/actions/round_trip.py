"""A format out of one project and into another: what it loses, and whether the export page says so."""

from __future__ import annotations

import io
from dataclasses import dataclass

from django.utils import timezone

from annotation.actions.prompts import import_prompts
from annotation.errors import NotPossible
from annotation.exports.context import SnapshotContext, SnapshotRow
from annotation.exports.facts import ABOUT, facts_of, invented, lost
from annotation.exports.files import DownloadOptions
from annotation.exports.formats import FORMATS
from annotation.exports.types import EXPORTS
from annotation.imports import RefusedRow, parse_prompts
from annotation.models import Project


@dataclass(frozen=True)
class Trip:
    """What was lost, what was added without being in the source, and the rows that the import refused.

    `problem` is why no file was written, in the words of the export page.
    """

    lost: set[str]
    unnamed: set[str]
    invented: set[str]
    refused: list[RefusedRow]
    problem: str = ""

    @property
    def kind(self) -> str:
        """Return whole, named_loss, or silent_loss where the format does not name what is lost or invented."""
        if self.unnamed or self.invented or self.refused:
            return "silent_loss"
        return "named_loss" if self.lost else "whole"


def trip(source: Project, target: Project, name: str, file: str = "jsonl") -> Trip:
    """Write a project in a format, read the file into an empty project, and compare what both know."""
    format = FORMATS[name]
    cutoff = timezone.now()
    problem = ""
    try:
        rows: list[SnapshotRow] = list(EXPORTS[format.made_from](SnapshotContext(source, cutoff)))
    except NotPossible as refusal:
        rows, problem = [], str(refusal)
    content = io.BytesIO()
    DownloadOptions(name, file).write(lambda: iter(rows), content)
    refused: list[RefusedRow] = []
    if content.getvalue():  # of responses that are judged alone some formats hold no row
        parsed = parse_prompts(content.getvalue(), f"rows.{file}")
        refused = import_prompts(project=target, parsed=parsed, by=None).refused
    folded = "systems" in format.loses
    before, after = facts_of(source, cutoff, folded=folded), facts_of(target, timezone.now(), folded=folded)
    missing = lost(before, after, ABOUT[format.made_from])
    unnamed = set() if problem else missing - set(format.loses)
    return Trip(missing, unnamed, invented(before, after) - set(format.adds), refused, problem)
