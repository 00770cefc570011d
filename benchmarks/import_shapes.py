"""What an import makes of small samples in every shape: rows, what is used, what is not, and what is refused.

    python benchmarks/import_shapes.py [--table]

Prints one JSON line, or the table of docs/reference/import-shapes.md. The samples are written by hand, after the
documentation of each tool; no database is needed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = Path(__file__).resolve().parent / "shapes"
NUMBERS = ("rows", "taken", "duplicate", "refused", "pairs", "votes", "labels")
REFERENCES = "reference responses"


def of_shapes() -> dict[str, dict[str, Any]]:
    """Return what an import would do with the sample of each shape, by its name."""
    from annotation.actions.prompts import dry_run
    from annotation.imports import SHAPES, parse_prompts

    found: dict[str, dict[str, Any]] = {}
    for name, shape in SHAPES.items():
        parsed = parse_prompts((SAMPLES / f"{name}.jsonl").read_bytes(), f"{name}.jsonl")
        report = dry_run(None, parsed).for_machines()
        found[name] = {
            "label": shape.label,
            **{each: report[each] for each in NUMBERS},
            REFERENCES: sum(len(row.references) for row in parsed.rows),
            "not_used": report["not_used"],
            "reasons": [row["reason"] for row in report["refused_rows"]],
        }
    return found


def table(found: dict[str, dict[str, Any]]) -> str:
    """Return the table in Markdown."""
    names = ("rows", "taken", "duplicate", "refused", "pairs", "votes", "labels", REFERENCES)
    lines = [f"| shape | {' | '.join(names)} | not used |", f"|---|{'---:|' * len(names)}---|"]
    for each in found.values():
        unused = ", ".join(f"`{field}`" for field in each["not_used"])
        lines.append(f"| {each['label']} | {' | '.join(str(each[name]) for name in names)} | {unused} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true", help="print the table of the docs")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "frontend.settings")
    sys.path.insert(0, str(ROOT))
    import django

    django.setup()
    found = of_shapes()
    print(table(found) if options.table else json.dumps({"benchmark": "import_shapes", "shapes": found}))


if __name__ == "__main__":
    main()
