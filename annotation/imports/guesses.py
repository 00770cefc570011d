"""What the columns of a file that no shape knows may be: a mapping to begin with, which a person looks at."""

from __future__ import annotations

import re
from collections.abc import Iterable

from annotation.imports.languages import alike

# Field of a mapping → words in the name of its column.
WORDS = {
    "chosen": "chosen preferred accepted better",
    "rejected": "rejected dispreferred worse",
    "winner": "winner preference verdict decision comparison vote choice label",
    "reference": "reference ideal gold truth expected",
    "answer": "answer response completion output reply generation",
    "system": "system preamble",
    "history": "history",
    "text": "prompt question query instruction request utterance text post message conversation messages",
    "label": "label class sentiment intent",
    "category": "category topic domain subject",
    "annotator": "annotator worker rater judge labeler reviewer",
    "date": "date timestamp time",
    "reason": "reason rationale comment explanation justification",
    "id": "id uuid key",
}
OF_LANGUAGES = {"prompt": "text", "question": "text", "instruction": "text", "conversation": "text"}
NUMBERED = re.compile(r"answer_(.+)")
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def guessed(columns: Iterable[str]) -> dict[str, str]:
    """Return a mapping of columns by their names, in English and other languages; empty where no prompt is among them.

    Two answers are the first and the second, with the column that says which won; more are several answers.
    """
    found: dict[str, str] = {}
    answers: list[str] = []
    for column in columns:
        field = _field_of(column)
        if field == "answer":
            answers.append(column)
        elif field == "input" or (field and field not in found):
            found.setdefault(field, column)
    if "text" not in found and "input" in found:
        found["text"] = found.pop("input")
    if len(answers) == 2 and not {"chosen", "rejected"} & found.keys():
        found["chosen"], found["rejected"] = answers
    elif len(answers) > 1 and not any("," in answer for answer in answers):
        found["completions"] = ",".join(answers)
    elif answers:
        found.setdefault("reference", answers[0])
    if len(answers) < 2:
        found.pop("winner", None)
    return found if "text" in found else {}


def _field_of(column: str) -> str:
    """Return the field of a mapping that a column may be, or answer; empty where its name says nothing."""
    known = alike(column)
    known = "answer" if known == "output" or NUMBERED.fullmatch(known) else known
    if known:
        return OF_LANGUAGES.get(known, known)
    words = {word.lower() for word in WORD.findall(column)}
    return next((field for field, names in WORDS.items() if words & set(names.split())), "")
