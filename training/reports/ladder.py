"""The ladder of versions as a picture: strength with its interval, version after version. Plain SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil, floor

from django.utils.translation import gettext

from annotation.models.evaluation import PEOPLE
from annotation.quality.comparisons import Rung
from training.reports.figure import DOT, LINE, MARK, TEXT

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 520, 300, 56, 16, 44
RIGHT, RIGHT_WITH_PEOPLE = 24, 132
STEPS = (25, 50, 100, 200, 400, 800)


def svg(rungs: Sequence[Rung]) -> str:
    """Return the Elo points of versions in order as SVG; reference answers by people are a horizontal line."""
    versions = sorted((rung for rung in rungs if rung.name != PEOPLE), key=lambda rung: int(rung.name[1:]))
    people = next((rung for rung in rungs if rung.name == PEOPLE), None)
    right = WIDTH - (RIGHT if people is None else RIGHT_WITH_PEOPLE)
    ends = [end for rung in rungs for end in (rung.low, rung.high)]
    span = max(ends) - min(ends)
    step = next((step for step in STEPS if span / step <= 8), 1600)
    lowest, highest = floor(min(ends) / step) * step, max(ceil(max(ends) / step) * step, step)

    def x(place: int) -> float:
        return LEFT + (place + 0.5) * (right - LEFT) / len(versions)

    def y(elo: float) -> float:
        return TOP + (highest - elo) / (highest - lowest) * (HEIGHT - TOP - BOTTOM)

    references = escape(gettext("reference responses"))
    axis = escape(gettext("policy version; Elo points with 95% CI"))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(in_words(rungs))}"><g {TEXT}>'
    ]
    for elo in range(lowest, highest + 1, step):
        parts.append(f'<line {LINE} x1="{LEFT}" x2="{right}" y1="{y(elo):.1f}" y2="{y(elo):.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(elo) + 4:.1f}" text-anchor="end">{signed(elo)}</text>')
    if people is not None:
        height = y(people.elo)
        parts.append(
            f'<line stroke="currentColor" stroke-dasharray="5 4" x1="{LEFT}" x2="{right}" y1="{height:.1f}" '
            f'y2="{height:.1f}"/><text x="{right + 6}" y="{height + 4:.1f}">{references}</text>'
        )
    points = " ".join(f"{x(place):.1f},{y(rung.elo):.1f}" for place, rung in enumerate(versions))
    parts.append(f'<polyline {MARK} stroke-opacity=".5" fill="none" points="{points}"/>')
    for place, rung in enumerate(versions):
        at = x(place)
        parts.append(f'<line {MARK} x1="{at:.1f}" x2="{at:.1f}" y1="{y(rung.low):.1f}" y2="{y(rung.high):.1f}"/>')
        parts.append(f'<circle {DOT} cx="{at:.1f}" cy="{y(rung.elo):.1f}" r="5"/>')
        parts.append(f'<text x="{at + 10:.1f}" y="{y(rung.elo) - 8:.1f}">{signed(rung.elo)}</text>')
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - 24}" text-anchor="middle">{escape(rung.name)}</text>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 4}">{axis}</text>')
    return "".join([*parts, "</g></svg>"])


def in_words(rungs: Sequence[Rung]) -> str:
    """Return the ladder as a sentence for screen readers."""
    points = "; ".join(f"{gettext(rung.name)} {signed(rung.elo)}" for rung in rungs)
    return gettext("Elo points: %(points)s") % {"points": points}


def signed(elo: float) -> str:
    points = round(elo)
    return f"+{points}" if points > 0 else f"−{-points}" if points < 0 else "0"
