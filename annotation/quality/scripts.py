"""The language of a text, as far as its script tells it."""

from __future__ import annotations

import unicodedata
from collections import Counter

from django.utils.translation import gettext_noop

READ = 2000  # characters of a text
LATIN, CHINESE, JAPANESE, KOREAN = (
    gettext_noop("Latin script"),
    gettext_noop("Chinese"),
    gettext_noop("Japanese"),
    gettext_noop("Korean"),
)
CYRILLIC, ARABIC, OTHER = gettext_noop("Cyrillic script"), gettext_noop("Arabic script"), gettext_noop("other script")
NO_LETTERS = gettext_noop("no letters")
NAMES = {
    "LATIN": LATIN,
    "CJK": CHINESE,
    "HIRAGANA": JAPANESE,
    "KATAKANA": JAPANESE,
    "HANGUL": KOREAN,
    "CYRILLIC": CYRILLIC,
    "ARABIC": ARABIC,
}
KANA_SHARE = 0.1  # of the letters: Japanese is written with Chinese characters, too


def language_of_text(text: str) -> str:
    """Return the language or script of most letters of a text."""
    counts: Counter[str] = Counter()
    for letter in text[:READ]:
        if letter.isalpha():
            name = "LATIN" if letter.isascii() else unicodedata.name(letter, "").partition(" ")[0]
            counts[NAMES.get(name, OTHER)] += 1
    if not counts:
        return NO_LETTERS
    if counts[JAPANESE] > KANA_SHARE * counts.total():
        return JAPANESE
    return counts.most_common(1)[0][0]
