"""The fields of a row, and which of them a shape has read: what nobody read is counted, never dropped in silence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

# Words in the name of a field that holds answers, votes, labels or a conversation.
TELLING = {
    *("answer", "answers", "response", "responses", "completion", "completions", "output", "outputs", "reply"),
    *("replies", "generation", "generations", "generated", "candidate", "candidates", "prediction", "predictions"),
    *("chosen", "rejected", "accepted", "winner", "loser", "win", "better", "worse", "best", "worst", "preferred"),
    *("preference", "preferences", "prefer", "comparison", "comparisons", "pairwise", "rank", "ranks", "ranking"),
    *("rankings", "ranked", "ranker", "order", "rating", "ratings", "rated", "score", "scores", "grade", "grades"),
    *("vote", "votes", "verdict", "judgment", "judgement", "judgments", "judgements", "label", "labels", "class"),
    *("choice", "choices", "thumb", "thumbs", "upvotes", "downvotes", "likes", "feedback", "correction", "corrected"),
    *("annotation", "annotations", "reward", "rewards", "helpfulness", "helpful", "correctness", "harmless"),
    *("harmlessness", "quality", "reference", "references", "target", "targets", "demonstration", "gold"),
    *("conversation", "conversations", "message", "messages", "dialogue", "dialog", "turns", "history", "context"),
    *(
        "system",
        "instruction",
        "question",
        "query",
        "input",
        "transcript",
        "chat",
        "accept",
        "reject",
        "pick",
        "picked",
    ),
}
# Words that say that a field only describes: a name, a number of things, a model, a time.
DESCRIBING = {
    *("id", "ids", "idx", "index", "uuid", "hash", "num", "number", "count", "length", "len", "tokens", "token"),
    *("model", "models", "source", "sources", "type", "lang", "language", "url", "link", "name", "version", "date"),
    *("time", "timestamp", "tstamp", "ratio", "status", "metadata", "meta", "tags", "domain", "finished", "seed"),
    *("temperature", "created", "updated", "at", "by", "split", "format", "path", "file", "state", "config"),
}
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
WORDS_OF_A_TEXT = 4


class Fields:
    """A JSON object that remembers what was read of it. `name in fields` asks for a value that is not null."""

    def __init__(self, data: dict[str, Any], prefix: str = "") -> None:
        self.data, self.prefix = data, prefix
        self.used: set[str] = set()
        self.known: set[str] = set()
        self.children: list[Fields] = []

    def __contains__(self, name: str) -> bool:
        return self.data.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def has(self, *names: str) -> bool:
        """Return whether every one of these fields has a value."""
        return all(name in self for name in names)

    def peek(self, name: str) -> Any:
        """Return a value without counting it as used."""
        return self.data.get(name)

    def take(self, *names: str) -> Any:
        """Return the first of these fields that has a value, and count it as used; None where none has one."""
        for name in names:
            if name in self:
                self.used.add(name)
                return self.data[name]
        self.used |= set(names)
        return None

    def child(self, name: str) -> Fields:
        """Return an object in a field, whose own fields are counted one by one; empty where there is none."""
        value = self.data.get(name)
        if not isinstance(value, dict):
            return Fields({}, f"{self.prefix}{name}.")
        self.used.add(name)
        found = Fields(value, f"{self.prefix}{name}.")
        self.children.append(found)
        return found

    def sub(self, value: Any, name: str) -> Fields:
        """Return an object out of a list in field `name`, whose own fields are counted as `name[].field`."""
        found = Fields(value if isinstance(value, dict) else {}, f"{self.prefix}{name}[].")
        self.children.append(found)
        return found

    def describes(self, *names: str) -> None:
        """Mark fields as descriptive: they are counted as not used, but do not refuse the row."""
        self.known |= set(names)

    def unused(self) -> dict[str, Any]:
        """Return the fields that were not read and are not empty, nested ones as `outer.inner`."""
        found = {
            f"{self.prefix}{name}": value
            for name, value in self.data.items()
            if name not in self.used and not _empty(value)
        }
        for child in self.children:
            found |= child.unused()
        return found

    def describing(self) -> set[str]:
        """Return the full names of the fields that the shape knows as describing."""
        own = {f"{self.prefix}{name}" for name in self.known}
        return own.union(*(child.describing() for child in self.children))


def telling(unused: dict[str, Any], describing: Iterable[str] = ()) -> list[str]:
    """Return the names of unused fields that look like answers, votes, labels or a conversation."""
    asked = {name: value for name, value in unused.items() if name not in set(describing)}
    found = [name for name, value in asked.items() if _is_telling(name, value)]
    texts = [name for name, value in asked.items() if _is_text(name, value)]
    # One more text may be a note; two or more beside a prompt are answers by another name.
    return list(dict.fromkeys([*found, *(texts if len(texts) > 1 else ())]))


def _is_telling(name: str, value: object) -> bool:
    if isinstance(value, list) and any(
        isinstance(each, dict) and ({"role", "content"} <= set(each) or {"from", "value"} <= set(each))
        for each in value
    ):
        return True
    words = _words(name.rsplit(".", 1)[-1])
    return bool(words & TELLING) and not words & DESCRIBING


def _is_text(name: str, value: object) -> bool:
    return isinstance(value, str) and len(value.split()) >= WORDS_OF_A_TEXT and not _words(name) & DESCRIBING


def _words(name: str) -> set[str]:
    return {word.lower() for word in WORD.findall(name)}


def _empty(value: object) -> bool:
    """Return whether a value is empty: null, an empty text, or a container of such values."""
    if isinstance(value, dict):
        return all(_empty(each) for each in value.values())
    if isinstance(value, list):
        return all(_empty(each) for each in value)
    return value is None or value == ""
