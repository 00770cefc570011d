"""What a file holds once it is unpacked: the data files in a zip archive, and gzip. Nothing is unpacked whole."""

from __future__ import annotations

import gzip
import io
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from typing import IO, BinaryIO, cast

from django.utils.translation import gettext_noop

from annotation.imports.folders import SUFFIXES, TEXTS, is_data
from annotation.imports.refusals import UnreadableFile

CHUNK = 2**20
GZIP = "The file ends in .gz but is not whole gzip. Pack it again."
ZIP = gettext_noop("The file ends in .zip but cannot be unpacked. Pack it again, without a password.")
MOST_FILES = 1000  # in one archive
BROKEN = (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError)


@dataclass(frozen=True)
class FileLimits:
    """How much a file may hold once it is unpacked."""

    bytes: int
    rows: int
    values: int  # of a table


@dataclass(frozen=True)
class DataFile:
    """A data file: its content, its name without the ending of its packing, and which of several it is."""

    file: BinaryIO
    name: str
    label: str = ""


def members(file: BinaryIO, filename: str, most_bytes: int) -> Generator[DataFile]:
    """Yield the data files in a file: those in an archive by name, or the file itself, unpacked up to `most_bytes`."""
    if not filename.lower().endswith(".zip"):
        yield _unpacked(file, filename, most_bytes)
        return
    try:
        archive = zipfile.ZipFile(file)
    except BROKEN:
        raise UnreadableFile(ZIP) from None
    with archive:
        found = _data_in(archive)
        budget = UnpackBudget(most_bytes)
        for each in found:
            try:
                content = archive.open(each)
            except BROKEN:
                raise UnreadableFile(ZIP) from None
            with content:
                counted = cast(BinaryIO, Counted(content, budget, ZIP))
                member = _unpacked(counted, each.filename, most_bytes, budget)
                yield DataFile(member.file, member.name, each.filename if len(found) > 1 else "")


def _data_in(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the data files of an archive by name; what tools and people put beside them is left alone."""
    files = sorted((each for each in archive.infolist() if not each.is_dir()), key=lambda each: each.filename)
    found = [each for each in files if is_data(each.filename)]
    if not found:
        found = [each for each in files if is_data(each.filename, TEXTS)]
    if not found:
        there = ", ".join(each.filename[:60] for each in files[:5]) or "nothing"
        raise UnreadableFile(f"The .zip file holds no data file, only {there}. Known are {', '.join(SUFFIXES)}.")
    if len(found) > MOST_FILES:
        raise UnreadableFile(f"The .zip file holds {len(found):,} data files; pack at most {MOST_FILES:,}.")
    return found


def packed(files: Sequence[tuple[str, BinaryIO]], into: IO[bytes]) -> tuple[list[str], list[str]]:
    """Write the data files among these into a zip archive; return the names in it, and those that were left out.

    Two files of one name get numbers. Raises UnreadableFile where none holds data.
    """
    names = [name for name, _ in files]
    suffixes = SUFFIXES if any(is_data(name) for name in names) else TEXTS
    taken: list[str] = []
    with zipfile.ZipFile(into, "w") as archive:
        for name, file in files:
            if not is_data(name, suffixes):
                continue
            stem, dot, ending = name.partition(".")
            same = (f"{stem}-{number}{dot}{ending}" for number in count(2))
            unique = next(each for each in (name, *islice(same, len(files))) if each not in taken)
            taken.append(unique)
            with archive.open(unique, "w", force_zip64=True) as member:
                file.seek(0)
                shutil.copyfileobj(file, member)
    if not taken:
        raise UnreadableFile(
            f"None of {', '.join(names[:5])} is a data file. Known are {', '.join(SUFFIXES + TEXTS)}; "
            "choose a .zip file alone."
        )
    return taken, [name for name in names if not is_data(name, suffixes)]


def _unpacked(file: BinaryIO, filename: str, most_bytes: int, budget: UnpackBudget | None = None) -> DataFile:
    if not filename.lower().endswith(".gz"):
        return DataFile(file, filename)
    content = Counted(gzip.GzipFile(fileobj=file), budget or UnpackBudget(most_bytes), GZIP)
    return DataFile(cast(BinaryIO, content), filename[:-3])


@dataclass
class UnpackBudget:
    """How many bytes may still be unpacked."""

    left: int


class Counted(io.RawIOBase):
    """Content that is unpacked while it is read, so that a bomb is never unpacked whole."""

    def __init__(self, content: IO[bytes] | gzip.GzipFile, budget: UnpackBudget, broken: str) -> None:
        self.content, self.budget, self.broken = content, budget, broken
        self.most = budget.left

    def readable(self) -> bool:
        """Return True: that is what it is for."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes. Raises UnreadableFile where they cannot be unpacked, or are too many."""
        try:
            piece = self.content.read(size if size >= 0 else self.budget.left + 1)
        except BROKEN:
            raise UnreadableFile(self.broken) from None
        self.budget.left -= len(piece)
        if self.budget.left < 0:
            raise UnreadableFile(too_large(self.most, unpacked=True))
        return piece


def too_large(most_bytes: int, *, unpacked: bool = False) -> str:
    """Return why a file is refused that is larger than so many bytes, as it was sent or once unpacked."""
    text = gettext_noop("The file is larger than %(size)s. Split it into smaller files.")
    if unpacked:
        text = gettext_noop("Unpacked, the file is larger than %(size)s. Split it into smaller files.")
    return text % {"size": size_of(most_bytes)}


def size_of(count: int) -> str:
    """Return a number of bytes in MB, or in GB where it is a whole number of them."""
    return f"{count // 2**30} GB" if count >= 2**30 else f"{count // 2**20} MB"


@contextmanager
def seekable(file: BinaryIO) -> Iterator[BinaryIO]:
    """Yield a file that can be read at any place: the file itself, or what it holds in a temporary file."""
    if not isinstance(file, Counted):
        yield file
        return
    with tempfile.TemporaryFile() as whole:
        while piece := file.read(CHUNK):
            whole.write(piece)
        whole.seek(0)
        yield cast(BinaryIO, whole)
