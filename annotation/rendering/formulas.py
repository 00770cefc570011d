"""LaTeX as MathML, which browsers typeset by themselves: no script, no style, nothing to load.

What cannot be typeset (an unknown command, a missing brace) is shown as it was written. The converter recurses, so that
a formula's nesting is limited before it begins, and its output is limited after it.
"""

from __future__ import annotations

import re
from functools import cache

from math_core import LatexError, LatexToMathML

MOST_LATEX = 2_000  # characters of one formula
MOST_LATEX_OF_A_TEXT = 20_000
DEEPEST = 30  # nested groups, environments and pairs of \left and \right
MOST_EXPANSIONS = 100  # of commands that a formula defines
MOST_GROWTH = 20  # of MathML over LaTeX, beyond SMALL
SMALL = 1_000
LARGEST_SPACE = 10.0  # em: more would move a formula over other parts of the page

GROUPS = re.compile(r"\\(?:left|begin|right|end)(?![A-Za-z])|\\.|[{}]", re.DOTALL)
CHAIN = re.compile(rf"(?:\\[A-Za-z]+\s*){{{DEEPEST}}}")  # commands that take each other as arguments
OPENS, CLOSES = {"{", "\\left", "\\begin"}, {"}", "\\right", "\\end"}

TAGS = {
    "math",
    "menclose",
    "mfrac",
    "mi",
    "mn",
    "mo",
    "mover",
    "mpadded",
    "mphantom",
    "mroot",
    "mrow",
    "mspace",
    "msqrt",
    "mstyle",
    "msub",
    "msubsup",
    "msup",
    "mtable",
    "mtd",
    "mtext",
    "mtr",
    "munder",
    "munderover",
}
ATTRIBUTES = {
    "accent",
    "accentunder",
    "columnspan",
    "display",
    "displaystyle",
    "fence",
    "form",
    "largeop",
    "linethickness",
    "lspace",
    "mathvariant",
    "maxsize",
    "minsize",
    "movablelimits",
    "notation",
    "rspace",
    "scriptlevel",
    "stretchy",
    "symmetric",
    "width",
}
# The Content-Security-Policy allows no style attributes: what the converter says in them is a class in parts.css.
CLASSES = {
    "text-align:left": "m-left",
    "text-align:right": "m-right",
    "padding-left:0": "m-near-left",
    "padding-right:0": "m-near-right",
    "padding-left:1em": "m-far-left",
    "width:100%": "m-whole",
    "width:50%": "m-half",
    "border-top:0.05emsolidcurrentcolor": "m-top",
    "border-bottom:0.05emsolidcurrentcolor": "m-bottom",
    "border-left:0.05emsolidcurrentcolor": "m-line-left",
    "border-right:0.05emsolidcurrentcolor": "m-line-right",
}
CLASS_NAMES = frozenset(CLASSES.values())
TAG = re.compile(r"<[a-z][^<>]*>")
STYLE = re.compile(r' style="([^"]*)"')
SPACE = re.compile(r' (?:width|lspace|rspace|minsize|maxsize)="(-?[0-9.]*)[a-z%]*"')


@cache
def _converter() -> LatexToMathML:
    return LatexToMathML(fancy_error=False, max_expansions=MOST_EXPANSIONS)


def mathml(latex: str, *, is_display: bool) -> str | None:
    """Return a formula as MathML, not sanitised yet; None where it cannot be typeset."""
    if len(latex) > MOST_LATEX or not latex.strip() or _depth(latex) > DEEPEST or CHAIN.search(latex):
        return None
    try:
        made = _converter().convert_with_local_state(latex, displaystyle=is_display)
    except LatexError:
        return None
    if len(made) > MOST_GROWTH * len(latex) + SMALL:
        return None
    return TAG.sub(_without_style, made)


def _depth(latex: str) -> int:
    """Return how deep groups are nested, at least: what closes nothing does not count."""
    depth = deepest = 0
    for found in GROUPS.finditer(latex):
        if found.group() in OPENS:
            depth += 1
            deepest = max(deepest, depth)
        elif found.group() in CLOSES and depth:
            depth -= 1
    return deepest


def _without_style(found: re.Match[str]) -> str:
    """Return a tag with classes for its style, and without spaces that would move it over others."""
    tag = SPACE.sub(_if_small, found.group())
    return STYLE.sub(_as_classes, tag)


def _if_small(found: re.Match[str]) -> str:
    try:
        size = float(found.group(1) or 0)
    except ValueError:
        return ""
    return found.group() if -1 < size <= LARGEST_SPACE else ""


def _as_classes(found: re.Match[str]) -> str:
    said = (each.replace(" ", "") for each in found.group(1).split(";"))
    classes = " ".join(CLASSES[each] for each in said if each in CLASSES)
    return f' class="{classes}"' if classes else ""
