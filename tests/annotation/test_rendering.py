"""What becomes of a text that holds formulas, prices or code. Expected HTML is written out by hand."""

import pytest

from annotation.rendering import markdown


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("It is $a_1 * b * c_2$ *now*", '<p dir="auto">It is $a_1 * b * c_2$ <em>now</em></p>\n'),
        (r"\(x*y*z\) and \[a_b_c\]", '<p dir="auto">\\(x*y*z\\) and \\[a_b_c\\]</p>\n'),
        (r"$$\{x\}_i * y$$", '<p dir="auto">$$\\{x\\}_i * y$$</p>\n'),
        ("$$\na\n- b\n= c\n$$", '<p dir="auto">$$<br>a<br>- b<br>= c<br>$$</p>\n'),
        ("$$\n<b>\n$$", '<p dir="auto">$$<br>&lt;b&gt;<br>$$</p>\n'),
        ("From $5 to *maybe* $10", '<p dir="auto">From $5 to <em>maybe</em> $10</p>\n'),
        ("`$a*b*c$`", '<p dir="auto"><code>$a*b*c$</code></p>\n'),
        ("```\n$$\nx\n```", '<pre tabindex="0"><code>$$\nx\n</code></pre>\n'),
        ("$$\nnever *closed*", '<p dir="auto">$$<br>\nnever <em>closed</em></p>\n'),
        (r"\*no emphasis\*", '<p dir="auto">*no emphasis*</p>\n'),
    ],
)
def test_formulas_stay_as_they_were_written_and_prices_are_none(text, html):
    assert markdown(text) == html
