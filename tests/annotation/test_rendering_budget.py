"""Markdown of any text costs work in proportion to its length, whatever it is made of."""

from __future__ import annotations

import sys

import pytest

from annotation import rendering
from annotation.rendering import MOST_CHARACTERS, MOST_KEPT, _parser, markdown
from annotation.rendering.formulas import MOST_LATEX_OF_A_TEXT
from annotation.rendering.kept import KeptTexts

# Each is repeated; the first five were a minute, and the others are what such parsers stumble over.
FAMILIES = [
    "\\[\n",
    "a\n\\[\n",
    "> \\[\n",
    "- \\[\n",
    "\\(",
    "\\[",
    "$$",
    "$",
    "$a",
    "$$\n",
    "a\n$$\n",
    "> $$\n",
    "1. $$\n",
    "[",
    "[a",
    "[a](",
    "[](",
    "![",
    "](",
    "[a][",
    "[a]: b\n",
    "<",
    "<a",
    "<!--",
    "&",
    "&#",
    "*",
    "**a",
    "*a_",
    "_",
    "*a ",
    "~~",
    "~~a",
    "`",
    "`a",
    "``a`",
    "```\n",
    "~~~\n",
    "> ",
    "> a\n",
    ">",
    "- ",
    "- a\n",
    "  - a\n",
    "1. a\n",
    "#",
    "# a\n",
    "|",
    "| a ",
    "a|b\n-|-\n",
    "|a|b|\n|-|-|\n",
    "\\",
    "\\\n",
    "a\\",
    "\n",
    " ",
    "\t",
    "---\n",
    "a\n---\n",
    "a\n===\n",
    "http://a",
    "$x$",
    "$x$ ",
    "$x^{2}$ and ",
    "$\\frac{a}{b}$ ",
    "\\(x\\) ",
    "\\[x\\]\n",
    "$$x$$\n",
    "$$\nx\n$$\n",
    "> $$\n> x\n> $$\n",
    "$" + "~" * 300 + "$ ",
    "$" + "'" * 300 + "$ ",
    "$" + "{" * 200 + "$ ",
    "${{{x}}}$ ",
    "$\\hat ",
    "$\\left( ",
    "$\\begin{matrix} ",
    "$a$b",
    "US$a$ ",
    "$a word b$ ",
    "```python\nx = 1\n```\n",
    "```python\n",
    '~~~js\n"""\n~~~\n',
    "|$a$|\n|-|\n|$b$|\n\n",
]


def calls(text: str) -> int:
    """How many functions, Python's and C's, rendering calls: the same on any machine and under any load."""
    count = 0

    def on_event(frame, event, argument) -> None:
        nonlocal count
        if event in ("call", "c_call"):
            count += 1

    sys.setprofile(on_event)
    try:
        _parser().render(text, {})
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("piece", FAMILIES, ids=[repr(piece) for piece in FAMILIES])
def test_twice_the_text_is_at_most_little_more_than_twice_the_work(piece):
    _parser()
    once, twice = (calls((piece * size)[:size]) for size in (2000, 4000))
    assert twice <= 2.2 * once + 500


@pytest.mark.parametrize(
    "piece", ["$x$ ", "$'$ ", "$" + "'" * 300 + "$ ", "$$\nx\n$$\n", "$\\dots$ ", "|$a$|\n|-|\n\n"]
)
def test_the_longest_text_of_formulas_stays_a_page_that_a_browser_can_show(piece):
    text = (piece * MOST_CHARACTERS)[:MOST_CHARACTERS]
    assert len(markdown(text)) < 1_500_000


def test_a_text_has_so_many_formulas_typeset_and_no_more():
    formula = "$" + "x" * 1000 + "$ "
    html = markdown(formula * 30)
    assert html.count("<math") == MOST_LATEX_OF_A_TEXT // 1000
    assert html.count("x" * 1000) == 30 - MOST_LATEX_OF_A_TEXT // 1000


def test_what_is_kept_of_texts_is_bounded_in_characters():
    """600 texts of 60,000 characters were kept with up to ten times their length as HTML, for good."""
    made = []
    kept = KeptTexts(lambda text: made.append(text) or text * 9, most=1000)
    for number in range(50):
        kept(f"{number:05d}" * 2)  # 100 characters each with what is made of it
        assert kept.characters == sum(len(text) + len(found) for text, found in kept.kept.items()) <= 1000
    assert len(kept.kept) == 10
    assert kept("0004900049") == "0004900049" * 9
    assert len(made) == 50
    assert kept("0000000000") == "0" * 90  # gone, and made anew
    assert len(made) == 51
    kept("x" * 30)  # with what is made of it more than a quarter of all
    assert len(kept.kept) == 10


@pytest.mark.slow
def test_texts_of_many_readers_take_bounded_memory():
    for number in range(12):
        markdown(f"{number} " + "$x$ " * 14_000)
    assert rendering._kept.characters <= MOST_KEPT


def test_a_text_that_is_too_long_is_shown_as_it_was_written():
    shown = markdown("**a** <b>" * MOST_CHARACTERS)
    assert shown.startswith('<pre tabindex="0">**a** &lt;b&gt;')
