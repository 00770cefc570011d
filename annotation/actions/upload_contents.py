"""The bytes of an uploaded file: small ones in its row, large ones in chunks, so that nobody holds a whole file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import chain
from typing import IO, BinaryIO, cast

from django.utils.translation import ngettext

from annotation.imports.packed import packed
from annotation.models import PromptUpload, UploadChunk

CHUNK = 4 * 2**20


def keep(upload: PromptUpload, file: BinaryIO) -> None:
    """Store what a file holds with a new upload, and the upload itself."""
    file.seek(0)
    pieces = iter(lambda: file.read(CHUNK), b"")
    first, second = next(pieces, b""), next(pieces, None)
    upload.content = b"" if second else first
    upload.save()
    if second:
        for number, piece in enumerate(chain([first, second], pieces)):
            UploadChunk.objects.create(upload=upload, number=number, data=piece)


def as_one(files: Sequence[tuple[str, BinaryIO]], archive: IO[bytes]) -> tuple[str, BinaryIO, list[str]]:
    """Return the name and the content of a file, or of `archive` with the data files of several; last, the others.

    Raises UnreadableFile where none of several holds data.
    """
    if len(files) == 1:
        return (*files[0], [])
    names, left = packed(files, archive)
    more = ngettext("%(name)s and %(count)s more", "%(name)s and %(count)s more", len(names) - 1)
    shown = more % {"name": names[0], "count": len(names) - 1} if len(names) > 1 else names[0]
    archive.seek(0)
    return f"{shown}.zip", cast(BinaryIO, archive), left


def opened(upload: PromptUpload) -> BinaryIO:
    """Return the file as it was sent, to be read at any place."""
    if not upload.chunks.exists():
        return io.BytesIO(bytes(upload.content))
    return cast(BinaryIO, io.BufferedReader(_Chunks(upload)))


def forget(upload: PromptUpload) -> None:
    """Delete the file as it was sent."""
    upload.chunks.all().delete()
    PromptUpload.objects.filter(pk=upload.pk).update(content=b"")


class _Chunks(io.RawIOBase):
    """A file over its chunks, of which one is in memory."""

    def __init__(self, upload: PromptUpload) -> None:
        last = upload.chunks.order_by("-number").values_list("number", "data")[0]
        self.upload, self.position, self.size = upload, 0, last[0] * CHUNK + len(last[1])
        self.number, self.chunk = last[0], bytes(last[1])

    def readable(self) -> bool:
        """Return True: it is there to be read."""
        return True

    def seekable(self) -> bool:
        """Return True: chunks are numbered."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place and return it, as any file does."""
        self.position = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence])
        return self.position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer from the chunk at this place; return how many bytes there were."""
        if self.position >= self.size:
            return 0
        number, offset = divmod(self.position, CHUNK)
        if number != self.number:
            self.chunk = bytes(self.upload.chunks.values_list("data", flat=True).get(number=number))
            self.number = number
        piece = self.chunk[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        self.position += len(piece)
        return len(piece)
