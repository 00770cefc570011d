"""Folders as ZIP over HTTP, written while they are sent: memory stays flat however large the weights are."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

CHUNK = 1024 * 1024
FileSource = Path | str | Callable[[], Iterable[bytes]]  # a file, a text, or what makes the bytes when they are wanted


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


def chunks(source: FileSource) -> Iterator[bytes]:
    if isinstance(source, str):
        yield source.encode()
    elif isinstance(source, Path):
        with source.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    else:
        yield from source()


def zipped(files: Iterable[tuple[str, FileSource]]) -> Iterator[bytes]:
    """Yield a ZIP of names and sources, stored without compression: weights do not get smaller."""
    out = _Sent()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, source in files:
            with archive.open(name, "w", force_zip64=True) as entry:
                for chunk in chunks(source):
                    entry.write(chunk)
                    if sum(map(len, out.parts)) >= CHUNK:
                        yield out.take()
            yield out.take()
    yield out.take()


def size_on_disk(folder: str | Path) -> int | None:
    """Return the bytes of a folder; None where it does not exist on this machine."""
    path = Path(folder)
    if not path.is_dir():
        return None
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
