"""The form in which a model sees tasks and is asked for one more, and the way back from what it wrote."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from training.phrases import phrase
from training.rundir import Messages

InstructionTask = dict[str, Any]  # instruction, input, output; and an id where it is an example

OPENING = (
    "We collect tasks for a language assistant. A task has an instruction, an input if the instruction needs one, and "
    "the right output. Give me one task at a time, in exactly this form:\n"
    "Instruction: what to do\nInput: the text to do it with, or (none)\nOutput: the right answer\n\n"
    "The first task, please."
)
AGAIN = "One more task in the same form, about something else."
NO_INPUT = {"", "none", "n/a", "na", "no input", "noinput", "-"}
LABEL = re.compile(r"^[ \t]*[#*_]*(instruction|input|output)[*_]*[ \t]*[:：][ \t]*[*_]*", re.IGNORECASE | re.MULTILINE)
# Lines such as "Task 9:" that a model writes above its task.
HEADING = re.compile(r"^\W*(?:task|new task|example)\W*\d*\W*$", re.IGNORECASE)

UNPARSED = {
    "empty": phrase("nothing was written"),
    "no_instruction": phrase("there is no instruction"),
    "no_output": phrase("there is no output"),
    "refused_row": phrase("a row of a file that could not be used"),
}


@dataclass(frozen=True)
class Written:
    """A task as a person or a model wrote it, and how it was drawn."""

    instruction: str
    input: str
    output: str
    prompt: list[dict[str, str]] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)
    finished: bool = True


class Unparsed(ValueError):
    """What was written is no task; the message is a key of UNPARSED."""


def written(task: InstructionTask) -> str:
    return f"Instruction: {task['instruction']}\nInput: {task['input'] or '(none)'}\nOutput: {task['output']}"


def request(examples: Sequence[InstructionTask]) -> Messages:
    """Return the examples as a conversation to continue: small models follow their own turns better than a list."""
    messages: Messages = []
    for number, example in enumerate(examples):
        messages.append({"role": "user", "content": AGAIN if number else OPENING})
        messages.append({"role": "assistant", "content": written(example)})
    return [*messages, {"role": "user", "content": AGAIN if examples else OPENING}]


def draw(examples: Sequence[InstructionTask], *, seeds: int, pool: int, random: random.Random) -> list[InstructionTask]:
    """Return written seeds and accepted proposals in random order; seeds fill up a pool that is too small."""
    accepted = [task for task in examples if task["id"].startswith("proposal:")]
    own = [task for task in examples if not task["id"].startswith("proposal:")]
    from_pool = random.sample(accepted, min(pool, len(accepted)))
    from_seeds = random.sample(own, min(seeds + pool - len(from_pool), len(own)))
    drawn = from_seeds + from_pool
    random.shuffle(drawn)
    return drawn


def parse(text: str) -> InstructionTask:
    """Return the first task in a model's text. Raises Unparsed."""
    if not text.strip():
        raise Unparsed("empty")
    found = list(LABEL.finditer(text))
    names = [match[1].lower() for match in found]
    parts: dict[str, str] = {}
    before = _without_headings(text[: found[0].start()] if found else text)
    if before and "instruction" not in names:
        parts["instruction"] = before  # it began with the instruction itself
    for match, following in zip_longest(found, found[1:]):
        name = match[1].lower()
        if name in parts:
            break  # the next task begins
        parts[name] = text[match.end() : following.start() if following else None].strip()
    if not parts.get("instruction"):
        raise Unparsed("no_instruction")
    if not parts.get("output"):
        raise Unparsed("no_output")
    return {
        "instruction": parts["instruction"],
        "input": "" if _says_none(parts.get("input", "")) else parts["input"],
        "output": _without_headings(parts["output"]),
    }


def _says_none(text: str) -> bool:
    return text.strip().strip("()<>[]. ").lower() in NO_INPUT


def _without_headings(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not HEADING.match(line) or not line.strip()).strip()
