"""A table of methods as a picture: accuracy with its interval against the time it took to train. Plain SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10

from django.utils.translation import gettext

from training.prompt_tuning.approach_rows import ApproachRow

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 400, 56, 190, 16, 48
# Attributes, no style sheet: a page's security policy forbids style in what it shows, and a file needs no page.
TEXT = 'font-family="system-ui, sans-serif" font-size="13" fill="currentColor"'
LINE = 'stroke="currentColor" stroke-opacity=".25"'
MARK, DOT = 'stroke="#3b6fd4" stroke-width="2"', 'fill="#3b6fd4"'


def svg(rows: Sequence[ApproachRow], *, majority: float | None = None) -> str:
    """Return a scatter plot of methods as SVG: log time by accuracy; methods without training at the left edge."""
    seconds = [row.cpu_seconds for row in rows if row.cpu_seconds > 0]
    first = floor(log10(min(seconds))) if seconds else 0
    last = max(ceil(log10(max(seconds))), first + 1) if seconds else 1
    lowest = min([row.low for row in rows] + ([majority] if majority is not None else []), default=0.0)
    floor_at = floor(lowest * 10) / 10

    def x(row: ApproachRow) -> float:
        if row.cpu_seconds <= 0:
            return LEFT + 14
        share = (log10(row.cpu_seconds) - first) / (last - first)
        return LEFT + 50 + share * (WIDTH - LEFT - RIGHT - 60)

    def y(value: float) -> float:
        return TOP + (1 - (value - floor_at) / (1 - floor_at)) * (HEIGHT - TOP - BOTTOM)

    majority_label, none = escape(gettext("majority label")), escape(gettext("none"))
    axis = escape(gettext("processor seconds of training"))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(_in_words(rows))}"><g {TEXT}>'
    ]
    for tenth in range(round(floor_at * 10), 11):
        height = y(tenth / 10)
        parts.append(f'<line {LINE} x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{height + 4:.1f}" text-anchor="end">{tenth * 10}%</text>')
    if majority is not None:
        height = y(majority)
        parts.append(
            f'<line {LINE} x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}" '
            f'stroke-dasharray="5 4"/>'
        )
        parts.append(f'<text x="{WIDTH - RIGHT + 6}" y="{height + 4:.1f}">{majority_label}</text>')
    for power in range(first, last + 1):
        at = LEFT + 50 + (power - first) / (last - first) * (WIDTH - LEFT - RIGHT - 60)
        shown = f"{10**power:,}" if power >= 0 else f"{10.0**power:g}"
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - 26}" text-anchor="middle">{shown}</text>')
    parts.append(f'<text x="{LEFT + 14}" y="{HEIGHT - 26}" text-anchor="middle">{none}</text>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 6}">{axis}</text>')
    for row, label_at in zip(rows, _spread([y(row.mean) for row in rows]), strict=True):
        at = x(row)
        parts.append(f'<line {MARK} x1="{at:.1f}" x2="{at:.1f}" y1="{y(row.low):.1f}" y2="{y(row.high):.1f}"/>')
        parts.append(f'<circle {DOT} cx="{at:.1f}" cy="{y(row.mean):.1f}" r="5"/>')
        parts.append(
            f'<line {LINE} x1="{at + 7:.1f}" x2="{WIDTH - RIGHT + 2}" y1="{y(row.mean):.1f}" y2="{label_at:.1f}"/>'
        )
        parts.append(f'<text x="{WIDTH - RIGHT + 6}" y="{label_at + 4:.1f}">{escape(row.label)} {row.mean:.0%}</text>')
    return "".join([*parts, "</g></svg>"])


def _spread(heights: Sequence[float], gap: float = 17.0) -> list[float]:
    """Return the heights of labels so that none overlap; rows come best first, so heights grow."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + gap) if placed else height)
    overflow = placed[-1] - (HEIGHT - BOTTOM) if placed else 0
    return [height - max(0.0, overflow) for height in placed]


def _in_words(rows: Sequence[ApproachRow]) -> str:
    figures = "; ".join(f"{row.label} {row.mean:.1%}" for row in rows)
    return gettext("Accuracy by method: %(figures)s") % {"figures": figures}
