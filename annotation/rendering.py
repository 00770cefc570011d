"""Model text is untrusted: Markdown becomes HTML on the server, raw HTML stays text, and the outcome is sanitised."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, cast

import nh3
from django.utils.safestring import SafeString
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

TAGS = {
    "a",
    "blockquote",
    "br",
    "code",
    "del",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "li",
    "ol",
    "p",
    "pre",
    "s",
    "strong",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
    "ul",
}
# Each block finds its own direction, so that a right-to-left answer reads well beside others. What may scroll sideways
# can be reached by keyboard.
SET = {
    **{tag: {"dir": "auto"} for tag in ("blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "td", "th", "ul")},
    "pre": {"tabindex": "0"},
}

# Pandoc's rule: no space inside the dollars and no digit after them, so that prices stay prices.
MATH = re.compile(r"\$\$.+?\$\$|\$(?![\s$])[^$`\n]*?(?<![\s\\])\$(?!\d)|\\\(.+?\\\)|\\\[.+?\\\]", re.DOTALL)
MATH_ENDS = {"$$": "$$", "\\[": "\\]"}


def _math_inline(state: StateInline, silent: bool) -> bool:
    """Keep a formula as it was written: Markdown would read its * and _ as emphasis and drop backslashes."""
    if state.src[state.pos] not in "$\\" or not (found := MATH.match(state.src, state.pos, state.posMax)):
        return False
    if not silent:
        state.push("text", "", 0).content = found.group()
    state.pos = found.end()
    return True


def _math_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Keep a formula on lines of its own, where a line may begin with a minus without being a list."""
    first = state.getLines(start, start + 1, state.blkIndent, False).strip()
    if first not in MATH_ENDS or state.is_code_block(start):
        return False
    for line in range(start + 1, end):
        if state.getLines(line, line + 1, state.blkIndent, False).strip() == MATH_ENDS[first]:
            break
    else:
        return False
    if not silent:
        state.push("math_block", "", 0).content = state.getLines(start, line + 1, state.blkIndent, False).strip()
        state.line = line + 1
    return True


def _render_math(tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    lines = escapeHtml(tokens[index].content).splitlines()
    return f"<p>{'<br>'.join(lines)}</p>\n"


@cache
def _parser() -> MarkdownIt:
    # No images: an address in a model's answer must not make the annotator's browser call anybody.
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    parser.inline.ruler.before("escape", "math", _math_inline)
    parser.block.ruler.before("fence", "math", _math_block, {"alt": ["paragraph", "blockquote", "list"]})
    cast(Any, parser.renderer).rules["math_block"] = _render_math
    return parser.disable("image")


@lru_cache(maxsize=512)  # guidelines come with every task, an answer to each of its judges
def markdown(text: str) -> SafeString:
    html = _parser().render(text)
    clean = nh3.clean(
        html,
        tags=TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        set_tag_attribute_values=SET,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    return SafeString(clean)
