"""Sentences that rows and files of runs hold in English, in the language of the reader.

Code makes such a sentence of a text of the catalog and its values: `gettext_noop("priority: %(priority)s") % {…}`, in
recipes `phrase("…", …)`. Here that text is found again by its literal parts, translated and filled with the values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext
from django.utils.translation.trans_real import catalog

PLACEHOLDER = re.compile(r"%\((\w+)\)s")
# Names of values that are texts themselves.
SENTENCES = {
    "about",
    "cause",
    "delimiter",
    "figures",
    "first",
    "kinds",
    "label",
    "mend_list",
    "problem",
    "reason",
    "refusal",
    "second",
    "stage",
}
SENTENCES |= {"queue", "what", "why", "yardstick"}
# Names of values that list texts with how often each was counted: "empty answer (3); prompt longer than 9 tokens (1)".
COUNTED = {"reasons"}
HOW_OFTEN = re.compile(r"(?P<reason>.+) \((?P<count>[\d,]+)\)", re.DOTALL)
# Letters of a text outside its placeholders: texts with fewer would fit anything. The second number is for those that
# begin with a placeholder and have no colon.
FEWEST_LETTERS = 4, 6
DEEPEST = 3


@dataclass(frozen=True)
class _Known:
    """A text of the catalog with placeholders: what sentences made of it begin and end with, and their pattern."""

    text: str
    begins: str
    ends: str
    pattern: re.Pattern[str]

    def values(self, sentence: str) -> dict[str, str] | None:
        if not (sentence.startswith(self.begins) and sentence.endswith(self.ends)):
            return None
        found = self.pattern.fullmatch(sentence)
        return found.groupdict() if found else None


def translated(sentence: str) -> str:
    """Return a stored English sentence in the language of the reader; unchanged where no text of the catalog fits."""
    if not sentence or (translation.get_language() or settings.LANGUAGE_CODE) == settings.LANGUAGE_CODE:
        return sentence
    return _translated(catalog(), sentence, DEEPEST)


@lru_cache(maxsize=4096)
def _translated(texts: Any, sentence: str, depth: int) -> str:
    found = gettext(sentence)
    if found != sentence or not depth:
        return found
    for known in _known(texts):
        values = known.values(sentence)
        if values is not None:
            return gettext(known.text) % {
                name: _value_translated(texts, name, value, depth - 1) for name, value in values.items()
            }
    # A stage of a round, or a file of an archive, and what was wrong with it.
    about, colon, why = sentence.partition(": ")
    if not (colon and why):
        return sentence
    return f"{_translated(texts, about, depth - 1)}: {_translated(texts, why, depth - 1)}"


def _value_translated(texts: Any, name: str, value: str, depth: int) -> str:
    counted = [HOW_OFTEN.fullmatch(each) for each in value.split("; ")] if name in COUNTED else []
    if counted and all(counted):
        reasons = {_translated(texts, each["reason"], depth): each["count"] for each in counted if each}
        return counted_reasons(reasons)
    return _translated(texts, value, depth) if name in SENTENCES else value


def counted_reasons(counts: Mapping[str, str]) -> str:
    """Return reasons with how often each was counted, in the language of the reader."""
    told = [gettext("%(reason)s (%(count)s)") % {"reason": reason, "count": n} for reason, n in counts.items()]
    return gettext("; ").join(told)


@lru_cache(maxsize=8)
def _known(texts: Any) -> list[_Known]:
    """Return the texts with placeholders of a language's catalog, those with the most letters of their own first."""
    single = {key for key in texts._catalog.keys() if isinstance(key, str) and "\x04" not in key}  # noqa: SIM118
    letters = {text: len(re.sub(r"[\W\d]", "", PLACEHOLDER.sub("", text))) for text in single}
    with_values = [text for text in single if PLACEHOLDER.search(text)]
    free = [text.startswith("%(") and ": %(" not in text for text in with_values]
    chosen = [text for text, is_free in zip(with_values, free, strict=True) if letters[text] >= FEWEST_LETTERS[is_free]]
    own = {text: len(PLACEHOLDER.sub("", text)) for text in chosen}  # "Waiting in …: …" before "Waiting in …"
    return [_as_known(text) for text in sorted(chosen, key=lambda text: (-letters[text], -own[text], text))]


def _as_known(text: str) -> _Known:
    parts = [part.replace("%%", "%") for part in PLACEHOLDER.split(text)]  # literal, name, literal, …
    pattern, seen = "", set()
    for at, part in enumerate(parts):
        if at % 2 == 0:
            pattern += re.escape(part)
        else:
            pattern += f"(?P={part})" if part in seen else f"(?P<{part}>.+?)"
            seen.add(part)
    return _Known(text, parts[0], parts[-1], re.compile(pattern, re.DOTALL))
