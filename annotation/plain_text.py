"""Characters that no text needs and that a database refuses; for texts of people, programs and models alike."""

from __future__ import annotations

import re

# NUL and the other control characters except tab and line breaks, halves of surrogate pairs, and the noncharacters
# that Unicode keeps for programs. What steers the direction of text stays: people write from right to left.
NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def cleaned_text(text: str) -> str:
    """Return the text without those characters."""
    return NO_TEXT.sub("", text)
