"""Folders as ZIP over HTTP, written while they are sent: memory stays flat however large the weights are."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

CHUNK = 1024 * 1024


class _Sent(io.RawIOBase):
    """What was written since it was taken last; no seeking, so sizes follow the data."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken, self.parts = b"".join(self.parts), []
        return taken


def zipped(files: list[tuple[str, Path | str]]) -> Iterator[bytes]:
    """Name and path (or the text itself) of each file. Stored, not deflated: weights do not get smaller."""
    out = _Sent()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, source in files:
            if isinstance(source, str):
                archive.writestr(name, source)
                yield out.take()
                continue
            with source.open("rb") as file, archive.open(name, "w", force_zip64=True) as entry:
                while chunk := file.read(CHUNK):
                    entry.write(chunk)
                    yield out.take()
    yield out.take()
