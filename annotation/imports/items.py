"""What a shape finds in a row, not checked yet: a prompt, its answers, and what people said about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as made
from itertools import groupby
from typing import Any


@dataclass
class Answer:
    """A text or a message, with the name of its maker and whether it was finished, where the file has these.

    `field` is the name of its field, for messages.
    """

    text: Any
    name: str = ""
    finished: bool = True
    field: str = ""


@dataclass
class ImportedVote:
    """One person's judgment. Numbers are places in the item's answers; `ratings` are by place and criterion.

    `margin` from 0 to 1 is there only where the file states how much better; `annotator` is a name out of the file.
    """

    tiers: list[list[int]]
    unacceptable: list[int] = made(default_factory=list)
    unranked: list[int] = made(default_factory=list)
    ratings: dict[int, dict[str, float]] = made(default_factory=dict)
    margin: Any = None
    strength: int | None = None
    annotator: Any = ""
    weight: float = 1.0
    at: Any = None
    rationale: Any = ""


@dataclass
class Item:
    """A prompt as text or messages, with everything that belongs to it. `field` names where the prompt came from.

    `label` is what the row says itself; where it has what several people say, that is in `labels`.
    """

    prompt: Any = None
    field: str = "prompt"
    system: Any = None
    history: Any = None
    id: Any = None
    category: Any = None
    references: list[Any] = made(default_factory=list)
    answers: list[Answer] = made(default_factory=list)
    votes: list[ImportedVote] = made(default_factory=list)
    label: Any = None
    labels: list[tuple[Any, Any, Any]] = made(default_factory=list)  # everybody's: the label, who gave it, and when

    def answer(self, text: Any, name: Any = "", *, finished: bool = True, field: str = "") -> int:
        """Add an answer and return its place."""
        self.answers.append(Answer(text, str(name or ""), finished, field))
        return len(self.answers) - 1

    def prefer(self, better: int, worse: int, **said: Any) -> None:
        """Add a vote for one answer over another."""
        self.votes.append(ImportedVote([[better], [worse]], **said))

    def tie(self, *places: int, **said: Any) -> None:
        """Add a vote that finds these answers equally good."""
        self.votes.append(ImportedVote([list(places)], **said))

    def rank(self, scores: Sequence[tuple[int, float]], *, within: float = 0.0, **said: Any) -> None:
        """Add a ranking of places by their scores, highest first; scores that differ by `within` or less tie."""
        tiers = tiers_of(scores, within)
        if len(scores) > 1:
            self.votes.append(ImportedVote(tiers, **said))


def tiers_of(scores: Sequence[tuple[int, float]], within: float = 0.0) -> list[list[int]]:
    """Return places in tiers, highest score first; a tier holds what is within `within` of its best."""
    ordered = sorted(scores, key=lambda each: -each[1])
    if not within:
        return [[place for place, _ in group] for _, group in groupby(ordered, key=lambda each: each[1])]
    tiers: list[list[int]] = []
    best = 0.0
    for place, score in ordered:
        if tiers and best - score <= within:
            tiers[-1].append(place)
        else:
            tiers.append([place])
            best = score
    return tiers


def number(value: Any) -> float | None:
    """Return a finite number out of a number or a text; None for anything else, true and false included."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if abs(found) < float("inf") and found == found else None


def is_messages(value: Any) -> bool:
    """Return whether a value is a list of chat messages in any of their spellings."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(each, dict)
            and (
                ("role" in each and ("content" in each or "tool_calls" in each)) or ("from" in each and "value" in each)
            )
            for each in value
        )
    )


def texts_below(*parts: Any) -> str:
    """Return texts as paragraphs below each other; what is empty is left out."""
    return "\n\n".join(str(part) for part in parts if part is not None and str(part).strip())
