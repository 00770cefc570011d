"""Sentences of settings that pages show in their own language, without Django: recipes read them, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Phrase(str):
    """An English text that knows what it was made of: a text to translate, and the values that go into it."""

    text: str
    values: dict[str, Any]

    def __new__(cls, text: str, **values: Any) -> Phrase:
        phrase = super().__new__(cls, text % values if values else text)
        phrase.text, phrase.values = text, values
        return phrase

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.text, self.values)

    def translated(self, translate: Callable[[str], str]) -> str:
        """Return it in another language."""
        found = translate(self.text)
        if not self.values:
            return found
        values = self.values.items()
        return found % {
            name: value.translated(translate) if isinstance(value, Phrase) else value for name, value in values
        }


def _again(text: str, values: dict[str, Any]) -> Phrase:
    return Phrase(text, **values)


def phrase(text: str, **values: Any) -> Phrase:
    """Return a text to translate, with its values. `make messages` looks for calls of this function."""
    return Phrase(text, **values)


def in_language(text: str, translate: Callable[[str], str]) -> str:
    """Return a text of a setting in another language; `translate` translates one text, such as Django's gettext."""
    return text.translated(translate) if isinstance(text, Phrase) else translate(text)
