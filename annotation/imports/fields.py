"""The fields of a row, and which of them a shape has read: what nobody read is counted, never dropped in silence."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from annotation.imports.languages import alike, english

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
    *("truth", "solution", "ideal", "expected", "entities", "entity", "spans", "span", "relations", "tie", "ties"),
}
# What answers are rated by, one number each.
CRITERIA = (
    *("helpfulness", "correctness", "coherence", "complexity", "verbosity", "relevance", "fluency", "honesty"),
    *("truthfulness", "harmlessness", "safety", "accuracy", "completeness", "conciseness", "clarity", "faithfulness"),
    *("groundedness", "factuality", "instruction_following", "creativity", "naturalness", "readability", "toxicity"),
)
TELLING |= {word for name in CRITERIA if name not in ("complexity", "safety") for word in name.split("_")[:1]}
CONVERSATION = {"conversation", "conversations", "message", "messages", "dialogue", "turns", "history", "context"}
CONVERSATION |= {"system", "instruction", "question", "query", "input", "transcript", "chat"}
# Words that say that a field only describes: a name, a number of things, a model, a time.
DESCRIBING = {
    *("id", "ids", "idx", "index", "uuid", "hash", "num", "number", "count", "length", "len", "tokens", "token"),
    *("model", "models", "source", "sources", "type", "lang", "language", "url", "link", "name", "version", "date"),
    *("time", "timestamp", "tstamp", "ratio", "status", "metadata", "meta", "tags", "domain", "finished", "seed"),
    *("temperature", "created", "updated", "at", "by", "split", "format", "path", "file", "state", "config"),
}
# Words of a field that says which answer is better: where it repeats one of the texts, it is no copy but a judgment.
JUDGING = {
    *("winner", "loser", "win", "better", "worse", "best", "worst", "preferred", "preference", "choice", "chosen"),
    *("rejected", "selected", "pick", "picked", "verdict", "vote", "votes", "label", "accepted", "original"),
}
VERDICTS = {"winner", "better", "best", "worst", "preferred", "selected", "picked", "choice"}
# Objects of which nobody expects that they hold answers or votes.
ABOUT = {"metadata", "meta", "config", "kwargs", "settings", "params", "usage", "moderation", "header"}
MOST_LOOKED_AT = 20  # objects of a list
TURN = {"role", "content", "from", "value"}
CALLS = {"tool_calls", "function_call"}  # of tools: they are read with the text
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
WORDS_OF_A_TEXT = 4


class Fields:
    """A JSON object that remembers what was read of it. `name in fields` asks for a value that is not null.

    `names` are those in the file of fields that are known by another one here.
    """

    def __init__(self, data: dict[str, Any], prefix: str = "", names: Mapping[str, str] | None = None) -> None:
        self.data, self.prefix, self.names = data, prefix, names or {}
        self.used: set[str] = set()
        self.known: set[str] = set()
        self.judging: set[str] = set()
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

    def judges(self, *names: str) -> None:
        """Mark fields as judgments, whatever they are called: they refuse the row where nobody reads them."""
        self.judging |= set(names)

    def judgments(self) -> set[str]:
        """Return the full names of the fields that the shape knows as judgments."""
        own = {self._full(name) for name in self.judging}
        return own.union(*(child.judgments() for child in self.children))

    def unused(self) -> dict[str, Any]:
        """Return the fields that were not read and are not empty, nested ones as `outer.inner`."""
        found: dict[str, Any] = {}
        for name, value in self.data.items():
            if name not in self.used:
                if not _empty(value):
                    found[self._full(name)] = value
            elif isinstance(value, (list, dict)):
                found |= {f"{self._full(name)}[].{key}": each for key, each in _beside_turns(value).items()}
        for child in self.children:
            found |= child.unused()
        return found

    def _full(self, name: str) -> str:
        return f"{self.prefix}{self.names.get(name, name)}"

    def describing(self) -> set[str]:
        """Return the full names of the fields that the shape knows as describing."""
        own = {self._full(name) for name in self.known}
        return own.union(*(child.describing() for child in self.children))


def _beside_turns(value: Any) -> dict[str, Any]:
    """Return what messages hold besides speaker and text, by its name: nobody reads it."""
    turns = value if isinstance(value, list) else [value]
    found: dict[str, Any] = {}
    for turn in turns:
        if isinstance(turn, dict) and ({"role", "content"} <= turn.keys() or {"from", "value"} <= turn.keys()):
            for key in turn.keys() - TURN - CALLS:
                if not _empty(turn[key]) and (key != "refusal" or turn.get("content")):
                    found.setdefault(key, turn[key])
    return found


def without_copies(unused: dict[str, Any], texts: Collection[str]) -> dict[str, Any]:
    """Return the unused fields that do not only repeat these texts: data sets write a conversation several times."""
    return {
        name: value
        for name, value in unused.items()
        if _words(name.rsplit(".", 1)[-1]) & JUDGING or not _is_copy(value, texts)
    }


def _is_copy(value: Any, texts: Collection[str]) -> bool:
    if isinstance(value, str):
        return value.strip() in texts
    if isinstance(value, dict) and value.keys() <= TURN:
        value = [value]
    if not isinstance(value, list) or not value:
        return False
    if all(isinstance(each, dict) and each.keys() <= TURN for each in value):
        value = [each.get("content", each.get("value")) for each in value]
    return all(isinstance(each, str) and each.strip() in texts for each in value)


def telling(unused: dict[str, Any], describing: Iterable[str] = (), judgments: Collection[str] = ()) -> list[str]:
    """Return the names of unused fields that are judgments, or look like answers, votes, labels or a conversation."""
    asked = {name: value for name, value in unused.items() if name not in set(describing)}
    found = [name for name, value in asked.items() if name in judgments or _is_telling(name, value)]
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
    said = words & TELLING
    if isinstance(value, (int, float)):
        said -= CONVERSATION  # a number of turns, or a switch
    # Which answer is better may stand there as its number or its maker: preferred_index, best_idx, winner_model.
    which = words & VERDICTS and words & {"index", "idx", "id", "number", "name", "model"}
    inside = isinstance(value, (dict, list)) and not words & ABOUT and _holds_telling(value)
    return bool(which) or inside or (bool(said) and not words & DESCRIBING)


def _holds_telling(value: dict[str, Any] | list[Any]) -> bool:
    """Return whether an object, or one of a list of objects, has a field that looks like an answer or a vote."""
    objects = value[:MOST_LOOKED_AT] if isinstance(value, list) else [value]
    return any(
        not _empty(each) and _is_telling(name, each)
        for held in objects
        if isinstance(held, dict)
        for name, each in held.items()
    )


def _is_text(name: str, value: object) -> bool:
    return isinstance(value, str) and len(value.split()) >= WORDS_OF_A_TEXT and not _words(name) & DESCRIBING


def _words(name: str) -> set[str]:
    known = english(name) if name.isascii() else alike(name)
    return {word.lower() for word in WORD.findall(f"{name} {known}" if known else name)}


def _empty(value: object) -> bool:
    """Return whether a value is empty: null, an empty text, or a container of such values."""
    if isinstance(value, dict):
        return all(_empty(each) for each in value.values())
    if isinstance(value, list):
        return all(_empty(each) for each in value)
    return value is None or value == ""
