"""A task made by rule: its wordings, and as many examples as wanted, each right by construction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

Slots = dict[str, str]


@dataclass(frozen=True)
class Example:
    slots: Slots  # what a template may name
    answer: str


@dataclass(frozen=True)
class Wording:
    """A template. Its slots are those of the task's examples, `{answer}` and `{options}`."""

    name: str
    kind: str
    instruction: str
    input: str = "{text}"
    output: str = "{answer}"


@dataclass(frozen=True)
class RuleTask:
    name: str
    cluster: str
    make: Callable[[Random], Example]
    wordings: tuple[Wording, ...]
    options: tuple[str, ...] = ()  # all answers there are; empty where an answer is free text


def draw(task: RuleTask, count: int, seed: int) -> list[Example]:
    """Return `count` different examples, or fewer where the task's words allow no more.

    With the same seed a longer list begins with the shorter one.
    """
    dice = Random(f"{task.name} {seed}")
    found: dict[tuple[tuple[str, str], ...], Example] = {}
    for _ in range(50 * count):
        if len(found) == count:
            break
        example = task.make(dice)
        found.setdefault(tuple(sorted(example.slots.items())), example)
    return list(found.values())
