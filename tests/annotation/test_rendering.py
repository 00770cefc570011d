"""What becomes of a text that holds formulas, prices or code. Expected HTML is written out by hand."""

from __future__ import annotations

import re
import threading

import pytest

from annotation.rendering import markdown
from annotation.rendering.formulas import MOST_LATEX

BLOCK = '<div class="wide" tabindex="0"><math dir="ltr" display="block">{}</math></div>'
TIMES = '<mo lspace="0.2222em" rspace="0.2222em">∗</mo>'


def rendered(text: str) -> str:
    """Return the HTML with the attributes of each tag in alphabetical order: the sanitiser's order is by chance."""

    def in_order(tag: re.Match[str]) -> str:
        attributes = sorted(re.findall(r' [^ =]+="[^"]*"', tag["rest"]))
        return f"<{tag['name']}{''.join(attributes)}>"

    return re.sub(r"<(?P<name>\w+)(?P<rest>(?: [^ =>]+=\"[^\"]*\")+)>", in_order, markdown(text))


@pytest.mark.parametrize(
    ("text", "html"),
    [
        (
            "It is $a_1 * b$ *now*",
            f'<p dir="auto">It is <math dir="ltr"><msub><mi>a</mi><mn>1</mn></msub>{TIMES}<mi>b</mi></math> '
            "<em>now</em></p>\n",
        ),
        (r"\(x^2\)", '<p dir="auto"><math dir="ltr"><msup><mi>x</mi><mn>2</mn></msup></math></p>\n'),
        (r"\[ \frac{a}{b} \]", BLOCK.format("<mfrac><mi>a</mi><mi>b</mi></mfrac>") + "\n"),
        ("$$x$$", BLOCK.format("<mi>x</mi>") + "\n"),
        ("So $$x$$", f'<p dir="auto">So {BLOCK[31:-6]}</p>\n'.format("<mi>x</mi>")),
        ("$$\na\n- b\n$$", BLOCK.format("<mi>a</mi><mo>−</mo><mi>b</mi>") + "\n"),
        ("the $n$th", '<p dir="auto">the <math dir="ltr"><mi>n</mi></math>th</p>\n'),
        ("$\\text{<b>}$", '<p dir="auto"><math dir="ltr"><mtext>&lt;b&gt;</mtext></math></p>\n'),
        ("```\n$$\nx\n```", '<pre tabindex="0"><code>$$\nx\n</code></pre>\n'),
        ("```C++ x\n1\n```", '<pre tabindex="0"><code data-language="c++">1\n</code></pre>\n'),
        ('```"><b>\n1\n```', '<pre tabindex="0"><code>1\n</code></pre>\n'),
        (r"\*no emphasis\*", '<p dir="auto">*no emphasis*</p>\n'),
    ],
)
def test_formulas_are_typeset_and_code_says_its_language(text, html):
    assert rendered(text) == html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        (r"\[a_b_c\]", '<p dir="auto">\\[a_b_c\\]</p>\n'),  # what is below what?
        ("$$x$$ and $$y", '<p dir="auto">$$x$$ and $$y</p>\n'.replace("$$x$$", BLOCK[31:-6].format("<mi>x</mi>"))),
        ("$$\n<b>\n\\nosuch\n$$", '<p dir="auto">$$<br>&lt;b&gt;<br>\\nosuch<br>$$</p>\n'),
        ("From $5 to *maybe* $10", '<p dir="auto">From $5 to <em>maybe</em> $10</p>\n'),
        ("between $5 and 6$ each", '<p dir="auto">between $5 and 6$ each</p>\n'),
        ("US$5/US$x", '<p dir="auto">US$5/US$x</p>\n'),
        ("echo $HOME/$USER", '<p dir="auto">echo $HOME/$USER</p>\n'),
        ("`$a*b*c$`", '<p dir="auto"><code>$a*b*c$</code></p>\n'),
        ("$$\nnever *closed*", '<p dir="auto">$$<br>\nnever <em>closed</em></p>\n'),
        (f"${'x' * (MOST_LATEX + 1)}$", f'<p dir="auto">${"x" * (MOST_LATEX + 1)}$</p>\n'),
    ],
)
def test_what_is_no_formula_or_cannot_be_typeset_stays_as_it_was_written(text, html):
    assert rendered(text) == html


def test_columns_of_equations_are_aligned_by_classes_and_nothing_is_moved_over_the_page():
    html = markdown("$$\n\\begin{aligned}a&=b\\\\c&=d\\end{aligned}\n$$\n\n$\\hspace{-50em}x \\color{red}{y}$")
    assert html.count('class="m-right m-near-right"') == html.count('class="m-left m-near-left"') == 2
    assert "style=" not in html.replace("displaystyle=", "")
    assert "-50" not in html
    assert not re.search(r"[0-9]{2,}(?:\.\d+)?(?:em|rem)", html)


def test_a_table_has_a_frame_in_which_it_scrolls():
    html = rendered("| a |\n|---|\n| 1 |")
    assert html.startswith('<div class="wide" tabindex="0"><table>')
    assert html.endswith("</table></div>\n")


@pytest.mark.parametrize(
    "nested",
    [r"\hat ", r"\overset{a}", r"\frac1", "{", "x^{", r"\left(", r"\begin{matrix}", r"\color{red}", r"\sqrt[3]"],
)
def test_a_formula_that_is_nested_without_end_does_not_exhaust_a_small_stack(nested):
    shown: list[str] = []
    before = threading.stack_size(2**20)
    try:
        thread = threading.Thread(
            target=lambda: shown.append(markdown(f"${(nested * MOST_LATEX)[: MOST_LATEX - 1]}1$"))
        )
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert len(shown) == 1


@pytest.mark.parametrize(
    "link",
    ["//elsewhere", "///elsewhere", "&#47;&#47;elsewhere", "/projects/letters/", "?a=b", "#top", "http:elsewhere"],
)
def test_a_link_that_does_not_show_where_it_leads_stays_text(link):
    for text in (f"[x]({link})", f"[x](<{link}>)", f"[x]: {link}\n\n[x]"):
        assert "<a" not in markdown(text), text


@pytest.mark.parametrize("link", ["https://example.org/a", "HTTP://example.org", "mailto:a@example.org"])
def test_a_link_with_its_scheme_is_one(link):
    assert f'href="{link}"' in markdown(f"[x]({link})")
