"""A snapshot as a file to download: rows of a format and a split, in a file type."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.utils import timezone

from annotation.durable import make_folder, put_in_place
from annotation.exports.context import SnapshotRow
from annotation.exports.formats import FORMATS, STORED, Format
from annotation.exports.writers import MEDIA_TYPES, WRITERS, Rows, gzipped
from annotation.models import DatasetSnapshot, SnapshotType


class UnsupportedFormat(ValueError):
    """Raised where rows do not fit into a file format; the message gives the reason."""


@dataclass(frozen=True)
class DownloadOptions:
    """`rows` names a format, `file` a container; `split` is "train", "eval" or empty for both."""

    rows: str
    file: str = "jsonl"
    gzip: bool = False
    split: str = ""

    def __post_init__(self) -> None:
        if self.rows not in FORMATS:
            raise UnsupportedFormat(f"There is no format {self.rows!r}. Formats: {', '.join(FORMATS)}.")
        if self.file not in WRITERS:
            raise UnsupportedFormat(f"There is no file type {self.file!r}. Types: {', '.join(WRITERS)}.")
        if self.file == "csv" and not self.format.flat:
            flat = ", ".join(name for name, each in FORMATS.items() if each.flat)
            raise UnsupportedFormat(
                f"{self.format.label} has lists in its rows, which CSV has no place for. Flat: {flat}."
            )
        if self.split not in ("", "train", "eval"):
            raise UnsupportedFormat('The split is "train", "eval" or empty for both.')

    @property
    def format(self) -> Format:
        return FORMATS[self.rows]

    @property
    def suffix(self) -> str:
        return f".{self.file}" + (".gz" if self.gzip else "")

    @property
    def media_type(self) -> str:
        return "application/gzip" if self.gzip else MEDIA_TYPES[self.file]

    def name(self, stem: str) -> str:
        return "-".join(part for part in (stem, self.split) if part) + self.suffix

    def of(self, stored: Iterator[SnapshotRow]) -> Iterator[SnapshotRow]:
        """Yield a snapshot's rows of the wanted split, in the wanted format."""
        for row in stored:
            if not self.split or row["split"] == self.split:
                yield from self.format.rows(row)

    def write(self, stored: Rows, file: BinaryIO) -> int:
        """Write the file and return the number of rows."""
        writer = WRITERS[self.file]
        if self.gzip:
            with gzipped(file) as packed:
                return writer(lambda: self.of(stored()), packed)
        return writer(lambda: self.of(stored()), file)


def stored_rows(snapshot: DatasetSnapshot) -> Iterator[SnapshotRow]:
    with snapshot.path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def renderings_of(snapshot: DatasetSnapshot) -> list[Path]:
    """Return the files that were made of a snapshot for downloads."""
    return sorted((Path(settings.SNAPSHOT_DIR) / "renderings").glob(f"{snapshot.sha256}-*"))


def rendered(snapshot: DatasetSnapshot, options: DownloadOptions) -> Path:
    """Return the file, written once and cached: its bytes stay the same, so that downloads can resume."""
    if options.format.made_from != snapshot.type:
        raise UnsupportedFormat(f"{options.format.label} is made from a snapshot of type {options.format.made_from}.")
    if options == DownloadOptions(STORED[SnapshotType(snapshot.type)]):
        return snapshot.path
    folder = Path(settings.SNAPSHOT_DIR) / "renderings"
    make_folder(folder)
    path = folder / options.name(f"{snapshot.sha256}-{options.rows}")
    if not path.exists():
        temporary = folder / f"making-{os.getpid()}-{timezone.now().timestamp()}.tmp"
        try:
            with temporary.open("wb") as file:
                options.write(lambda: stored_rows(snapshot), file)
            put_in_place(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    return path
