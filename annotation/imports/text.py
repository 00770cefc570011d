"""From bytes to text: UTF-8 or UTF-16, with \\n for every line end."""

from __future__ import annotations

import codecs

from annotation.imports.refusals import UnreadableFile


def decode(data: bytes) -> str:
    """Return bytes as text: UTF-8, or UTF-16 with a byte order mark; line ends become \
    .
    """
    encoding, mark = "utf-8", b""
    for name, bom in [
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
    ]:
        if data.startswith(bom):
            encoding, mark = name, bom
    body = data[len(mark) :]
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        before = unix_lines(body[: error.start].decode(encoding, "ignore"))
        raise UnreadableFile(
            f"Byte {len(mark) + error.start} of the file, on line {before.count(chr(10)) + 1}, "
            f"is not valid {encoding[:6].upper().rstrip('-')}. Save the file as UTF-8 and upload it again."
        ) from None
    # ASCII in UTF-16 without its mark is valid UTF-8 in which every second character is NUL.
    if "\0" in text and text.count("\0") * 2 >= len(text):
        raise UnreadableFile(
            "The file is mostly NUL bytes: it is not text, or it is UTF-16 without a byte order mark. "
            "Save it as UTF-8 and upload it again."
        )
    return unix_lines(text)


def unix_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
