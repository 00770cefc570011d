"""From bytes to text, piece by piece: UTF-8 or UTF-16, with \\n for every line end."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import Protocol

from annotation.imports.refusals import UnreadableFile

PIECE = 2**20  # bytes that are read at once
MAX_LINE = 16 * 2**20  # characters of a line, and of one item of a JSON list
MARKS = (("utf-8", codecs.BOM_UTF8), ("utf-16-le", codecs.BOM_UTF16_LE), ("utf-16-be", codecs.BOM_UTF16_BE))


class Readable(Protocol):
    """What gives bytes: a file, a member of an archive, or bytes in memory."""

    def read(self, size: int = -1, /) -> bytes: ...


class FileText:
    """A file as text, of which `buffer` holds what is read and not yet dropped.

    It begins on line `line` of the file, behind `column` characters of that line. Raises UnreadableFile, with the
    place, for bytes that are no text.
    """

    def __init__(self, file: Readable) -> None:
        self.file, self.buffer, self.ended = file, "", False
        self.line, self.column = 1, 0
        piece = file.read(PIECE)
        encoding, mark = next(((name, bom) for name, bom in MARKS if piece.startswith(bom)), ("utf-8", b""))
        self.encoding, self.position = encoding, len(mark)
        self._bytes = codecs.getincrementaldecoder(encoding)()
        self._lines = io.IncrementalNewlineDecoder(None, translate=True)
        self._decode(piece[len(mark) :])
        # ASCII in UTF-16 without its mark is valid UTF-8 in which every second character is NUL.
        if "\0" in self.buffer and self.buffer.count("\0") * 2 >= len(self.buffer):
            raise UnreadableFile(
                "The file is mostly NUL bytes: it is not text, or it is UTF-16 without a byte order mark. "
                "Save it as UTF-8 and upload it again."
            )

    def more(self) -> bool:
        """Add the next piece to the buffer; return False where there is none."""
        if not self.ended:
            self._decode(self.file.read(PIECE))
        return not self.ended

    def _decode(self, piece: bytes) -> None:
        self.ended = not piece
        try:
            text = self._bytes.decode(piece, final=self.ended)
        except UnicodeDecodeError as error:
            before = self._lines.decode(error.object[: error.start].decode(self.encoding, "ignore"))
            waiting = len(error.object) - len(piece)  # the first bytes of a character that the piece before ended in
            line = self.line + self.buffer.count("\n") + before.count("\n")
            raise UnreadableFile(
                f"Byte {self.position - waiting + error.start} of the file, on line {line}, "
                f"is not valid {self.encoding[:6].upper().rstrip('-')}. Save the file as UTF-8 and upload it again."
            ) from None
        self.position += len(piece)
        self.buffer += self._lines.decode(text, final=self.ended)

    def drop(self, position: int) -> None:
        """Forget the buffer before `position`."""
        self.line += self.buffer.count("\n", 0, position)
        newline = self.buffer.rfind("\n", 0, position)
        self.column = position - newline - 1 if newline >= 0 else self.column + position
        self.buffer = self.buffer[position:]

    def is_blank(self) -> bool:
        """Return whether the file holds nothing but space."""
        while not self.buffer.strip() and self.more():
            if len(self.buffer) > MAX_LINE and not self.buffer.strip():
                self.drop(len(self.buffer))
        return not self.buffer.strip()

    def lines(self) -> Iterator[str]:
        """Yield each line from the buffer's first on, without its end. Not cut at U+2028 or at a form feed."""
        number = self.line
        while True:
            *whole, rest = self.buffer.split("\n")
            self.line += len(whole)
            self.buffer = rest
            yield from whole
            number += len(whole)
            if len(rest) > MAX_LINE:
                raise UnreadableFile(f"Line {number} is longer than {MAX_LINE // 2**20} MB.")
            if not self.more():
                # The last piece may have brought a line end that waited for its second half.
                last = self.buffer.split("\n")
                self.buffer = ""
                yield from last if last[-1] else last[:-1]
                return


def unix_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
