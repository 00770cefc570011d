"""The page docs/measured/label-efficiency.md out of what benchmarks/label_efficiency.py measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Row = dict[str, Any]
PAGE = Path(__file__).resolve().parent.parent / "docs" / "measured" / "label-efficiency.md"
INTRODUCTION = """# Learning per ranking

Made by `benchmarks/label_efficiency.py --docs`; it says how. The base model ({model}) gave eight responses of up to 20
tokens to each of {prompts} prompts, of which {held_out} are held out. Simulated annotators rank four responses at
a time. Accuracy is that on pairs of held-out prompts by a judge that no model saw, mean over four judges; {seeds}
seeds, 95 % intervals over seeds and prompts, torch {torch}.

| judge | what it likes | how often an annotator agrees with it |
|---|---|---|
| sentiment | VADER's compound score | {sentiment:.3f} |
| topic | the response near its prompt, by a sentence encoder | {topic:.3f} |
| instruction | few words, a full stop, not about oneself, no question or exclamation | {instruction:.3f} |
| mixture | sentiment and topic; each annotator likes or dislikes length and loudness besides | {mixture:.3f} |
"""


def write(line: Row) -> None:
    """Write the page with all tables, the variants that lost included."""
    parts = [INTRODUCTION.format(**line, **line["ceiling"])]
    curve, choice = line["curve"], line.get("choice")
    full = {name: rows for name, rows in curve.items() if name in ("before", "now")}
    parts.append("## The learning curve\n" + table("heads", full, leads=False))
    parts += [
        f"### {judge}\n" + table("heads", {name: of_judge(rows, judge) for name, rows in full.items()}, leads=False)
        for judge in line["ceiling"]
    ]
    parts.append(
        "## What else was tried\nWith the lead over *before* on the same rankings. Every row but *before* and *now* "
        "has its ridge by cross-validation.\n"
        + table("heads", {name: rows for name, rows in curve.items() if name != "before"})
    )
    if choice:
        parts.append("## Which responses to ask about\nWith the lead over random choice.\n" + table("rule", choice))
        gained = [f"| {rule} | {'none' if each is None else each} |" for rule, each in line["labels_saved"].items()]
        parts.append(
            f"Rankings saved to be as good as random choice is after {max(choice['random'])}:\n\n"
            + "| rule | rankings |\n|---|---|\n"
            + "\n".join(gained)
            + "\n"
        )
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(parts), "utf-8")


def of_judge(rows: Row, judge: str) -> Row:
    return {size: row["judges"][judge] for size, row in rows.items()}


def table(title: str, lines: dict[str, Row], *, leads: bool = True) -> str:
    """Return a Markdown table of accuracy with its interval, or with the lead and that one's interval."""
    sizes = sorted({int(size) for rows in lines.values() for size in rows})
    head = f"\n| {title} | " + " | ".join(f"{size:,} rankings" for size in sizes) + " |\n"
    head += "|---" * (len(sizes) + 1) + "|\n"
    body = [
        f"| {name} | " + " | ".join(cell(rows.get(size) or rows.get(str(size)), leads=leads) for size in sizes) + " |"
        for name, rows in lines.items()
    ]
    return head + "\n".join(body) + "\n"


def cell(row: Row | None, *, leads: bool) -> str:
    if row is None:
        return ""
    if leads and "lead" in row:
        low, high = row["lead_interval"]
        return f"{row['accuracy']:.3f} ({row['lead']:+.3f} [{low:+.3f}, {high:+.3f}])"
    low, high = row["interval"]
    return f"{row['accuracy']:.3f} [{low:.3f}, {high:.3f}]"
