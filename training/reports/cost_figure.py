"""What rounds cost as a picture: people's and the machine's minutes, a pair of bars for each. Plain SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from django.utils.translation import gettext

from training.reports.costs import RoundCost
from training.reports.figure import LINE, TEXT

WIDTH, LEFT, RIGHT, ROW, BAR = 440, 76, 52, 46, 14
PEOPLE, MACHINE = 'fill="#3b6fd4"', 'fill="#b4632d"'
MOST = 12


def svg(rows: Sequence[RoundCost]) -> str:
    """Return a bar chart of the rounds as SVG: newest first, both bars on one scale of minutes."""
    rows = rows[:MOST]
    longest = max((max(row.annotator_minutes, row.machine_seconds / 60) for row in rows), default=0) or 1
    height = 30 + ROW * len(rows)

    def wide(minutes: float) -> float:
        return minutes / longest * (WIDTH - LEFT - RIGHT)

    people, machine = escape(gettext("people, minutes")), escape(gettext("machine, minutes"))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(in_words(rows))}"><g {TEXT}>',
        f'<rect {PEOPLE} x="{LEFT}" y="4" width="11" height="11"/><text x="{LEFT + 17}" y="14">{people}</text>',
        f'<rect {MACHINE} x="{LEFT + 140}" y="4" width="11" height="11"/>'
        f'<text x="{LEFT + 157}" y="14">{machine}</text>',
    ]
    for place, row in enumerate(rows):
        top = 30 + place * ROW
        name = escape(gettext("Round %(number)s") % {"number": row.round.number})
        parts.append(f'<text x="{LEFT - 10}" y="{top + 21}" text-anchor="end">{name}</text>')
        parts.append(f'<line {LINE} x1="{LEFT}" x2="{LEFT}" y1="{top}" y2="{top + 2 * BAR + 4}"/>')
        for at, (colour, minutes) in enumerate(((PEOPLE, row.annotator_minutes), (MACHINE, row.machine_seconds / 60))):
            y = top + at * (BAR + 2)
            parts.append(f'<rect {colour} x="{LEFT}" y="{y}" width="{wide(minutes):.1f}" height="{BAR}" rx="2"/>')
            parts.append(f'<text x="{LEFT + wide(minutes) + 6:.1f}" y="{y + 12}">{minutes:.1f}</text>')
    return "".join([*parts, "</g></svg>"])


def in_words(rows: Sequence[RoundCost]) -> str:
    figures = "; ".join(
        gettext("round %(number)s: %(people)s and %(machine)s")
        % {
            "number": row.round.number,
            "people": f"{row.annotator_minutes:.1f}",
            "machine": f"{row.machine_seconds / 60:.1f}",
        }
        for row in rows
    )
    return gettext("Minutes of people and of the machine: %(figures)s") % {"figures": figures}
