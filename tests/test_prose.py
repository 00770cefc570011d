"""How docstrings begin. What they say is for readers to judge; that a first line is a whole sentence is not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = re.compile(r" https://\S+(, \S+)?$")  # may follow the sentence
DEFINITIONS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _docstrings() -> Iterator[tuple[str, str]]:
    for package in ("annotation", "training", "frontend"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, DEFINITIONS) and (text := ast.get_docstring(node)):
                    yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", text


def test_a_docstring_begins_with_a_whole_sentence():
    wrong = []
    for where, text in _docstrings():
        paragraph = SOURCE.sub("", text.split("\n\n")[0].rstrip())
        if text[0].islower() or not paragraph.endswith((".", ":", "?")):
            wrong.append(f"{where}: {paragraph}")
    assert wrong == []
