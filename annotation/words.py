"""The words of a text, as search knows them; no Django here, since the database's connection registers it.

Words are runs of letters and digits, in lower case. Scripts that write no space between words count by character: a
part of a Chinese sentence is then a phrase of characters and is found wherever it stands.
"""

from __future__ import annotations

import json
import re

MOST_CHARACTERS = 50_000  # of one text that can be found
# Written the way that both Python and PostgreSQL read them, inside brackets.
SEPARATORS = (
    r"\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf"
    r"\u2000-\u206f\u3000-\u3004\u3008-\u3020\u3030\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)
# Thai, Lao, Burmese, Khmer, Japanese, Chinese, Korean.
ALONE = (
    r"\u0e01-\u0e3a\u0e40-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uac00-\ud7af\uf900-\ufaff"
)
SHORTEST_BEGINNING = 3  # characters of a word whose beginning is enough
_SEPARATORS, _ALONE = re.compile(f"[{SEPARATORS}]+"), re.compile(f"([{ALONE}])")
_PHRASES = re.compile(r'"([^"]*)"?|(\S+)')


def words(text: str | None) -> str:
    """Return the words of a text, each followed by a space at least."""
    found = _SEPARATORS.sub(" ", (text or "")[:MOST_CHARACTERS].replace("\0", " ").lower())
    return found if found.isascii() else _ALONE.sub(r" \1 ", found)


def words_of_messages(messages: str | None) -> str:
    """Return the words of a conversation, given as the JSON text that the database has."""
    return words("\n".join(str(message.get("content", "")) for message in json.loads(messages or "[]")))


def asked_for(text: str) -> list[tuple[list[str], bool]]:
    """Return what a search asks for, all of which must be there: phrases of words, and whether a longer last word fits.

    What stands in quotes, and what is written without a space, is a phrase.
    """
    found = []
    for quoted, plain in _PHRASES.findall(text):
        phrase = words(quoted or plain).split()
        if phrase:
            is_beginning = not quoted and len(phrase[-1]) >= SHORTEST_BEGINNING
            found.append((phrase, is_beginning))
    return found


def for_sqlite(text: str) -> str:
    """Return a search as an expression of FTS5; empty where nothing is asked for."""
    return " AND ".join(
        f'"{" ".join(phrase)}"{" *" if is_beginning else ""}' for phrase, is_beginning in asked_for(text)
    )


def for_postgres(text: str) -> str:
    """Return a search as a tsquery; empty where nothing is asked for."""
    return " & ".join(
        "(" + " <-> ".join(f"'{word}'" for word in phrase) + (":*" if is_beginning else "") + ")"
        for phrase, is_beginning in asked_for(text)
    )
