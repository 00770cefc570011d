"""A file of tasks, one JSON object per line, as Alpaca's: instruction, input, output."""

from __future__ import annotations

from annotation.imports import RefusedRow, UnreadableFile
from annotation.imports.reading import read_rows
from training.instructions.form import Written

MOST_TASKS = 1000  # of a file: each is held against every other one
LONGEST = 20_000
TEXTS = ("instruction", "input", "output")


def tasks_in(content: bytes, filename: str) -> tuple[list[Written], list[RefusedRow]]:
    """Return the usable tasks of a file, and each refused row with its line and reason. Raises UnreadableFile."""
    if not filename.lower().endswith((".jsonl", ".json", ".jsonl.gz", ".json.gz")):
        raise UnreadableFile("The file should be JSONL: on each line an object with instruction, input and output.")
    taken, refused = [], []
    for row in read_rows(content, filename):
        if isinstance(row, RefusedRow):
            refused.append(row)
        elif problem := _problem(row.fields):
            refused.append(RefusedRow(row.line, problem))
        else:
            instruction, given, output = (str(row.fields.get(name) or "") for name in TEXTS)
            taken.append(Written(instruction, given, output))
            if len(taken) > MOST_TASKS:
                raise UnreadableFile(f"The file has more than {MOST_TASKS:,} tasks. Split it into smaller files.")
    return taken, refused


def _problem(fields: dict[str, object]) -> str:
    for name in TEXTS:
        value = fields.get(name)
        if value is not None and not isinstance(value, str):
            return f"{name} should be text."
        if name != "input" and not (value or "").strip():
            return f"{name} is missing. A task needs an instruction and an output."
        if len(value or "") > LONGEST:
            return f"{name} is longer than {LONGEST:,} characters."
    return ""
