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
INLINE_ENDS = {"$$": "$$", "\\(": "\\)", "\\[": "\\]"}
MOST_LINES = 100  # of one formula: looking for its end stays cheap where there is none
MOST_CHARACTERS = 60_000  # of a text that is formatted; the longest that a person or a model hands in has a third


def _math_inline(state: StateInline, silent: bool) -> bool:
    """Keep a formula as it was written: Markdown would read its * and _ as emphasis and drop backslashes."""
    if state.src[state.pos] not in "$\\" or not _may_end(state):
        return False
    if not (found := MATH.match(state.src, state.pos, state.posMax)):
        return False
    if not silent:
        state.push("text", "", 0).content = found.group()
    state.pos = found.end()
    return True


def _may_end(state: StateInline) -> bool:
    """Return whether a formula that begins here has an end; each end is looked for once where there is none."""
    end = INLINE_ENDS.get(state.src[state.pos : state.pos + 2])
    if end is None:
        return True
    missing = state.env.setdefault("formulas without an end", {})
    text = (id(state.src), end)
    if missing.get(text, state.posMax) <= state.pos:
        return False
    if state.src.find(end, state.pos + 3, state.posMax) < 0:
        missing[text] = state.pos
        return end == "$$"  # which may still be two single ones
    return True


def _math_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Keep a formula on lines of its own, where a line may begin with a minus without being a list."""
    first = _line(state, start)
    if first not in MATH_ENDS or state.is_code_block(start):
        return False
    for line in range(start + 1, min(end, start + MOST_LINES)):
        if _line(state, line) == MATH_ENDS[first]:
            break
    else:
        return False
    if not silent:
        state.push("math_block", "", 0).content = state.getLines(start, line + 1, state.blkIndent, False).strip()
        state.line = line + 1
    return True


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]].strip()


def _render_math(tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    lines = escapeHtml(tokens[index].content).splitlines()
    return f"<p>{'<br>'.join(lines)}</p>\n"


@cache
def _parser() -> MarkdownIt:
    # No images: a URL in a model's answer must not make the annotator's browser send requests.
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    parser.inline.ruler.before("escape", "math", _math_inline)
    parser.block.ruler.before("fence", "math", _math_block, {"alt": ["paragraph", "blockquote", "list"]})
    cast(Any, parser.renderer).rules["math_block"] = _render_math
    return parser.disable("image")


@lru_cache(maxsize=512)  # guidelines come with every task, an answer to each of its judges
def markdown(text: str) -> SafeString:
    """Return the text as HTML that is safe to show; one longer than MOST_CHARACTERS as it was written."""
    if len(text) > MOST_CHARACTERS:
        return SafeString(f'<pre tabindex="0">{escapeHtml(text)}</pre>')
    html = _parser().render(text, {})
    clean = nh3.clean(
        html,
        tags=TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        set_tag_attribute_values=SET,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    return SafeString(clean)
