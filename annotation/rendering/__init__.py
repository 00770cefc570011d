"""Model text is untrusted: Markdown becomes HTML on the server, raw HTML stays text, and the outcome is sanitised.

Formulas are typeset here (formulas.py); code says its language, and the browser marks it (scripts/code.js).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, cast

import nh3
from django.utils.safestring import SafeString
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from annotation.rendering import formulas
from annotation.rendering.kept import KeptTexts

TAGS = formulas.TAGS | {
    "a",
    "blockquote",
    "br",
    "code",
    "del",
    "div",
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
    "div": {"tabindex": "0", "class": "wide"},  # around a table or a formula on lines of its own
    "math": {"dir": "ltr"},
}
ATTRIBUTES = {
    "a": {"href"},
    "code": {"data-language"},
    "ol": {"start"},
    **dict.fromkeys(formulas.TAGS, formulas.ATTRIBUTES),
}
CLASSES = dict.fromkeys(formulas.TAGS, formulas.CLASS_NAMES)
LANGUAGE = re.compile(r"[\w+#.-]{1,20}", re.ASCII)

# Pandoc's rule: no space inside the dollars and no digit after them, so that prices stay prices. Nor a letter, so that
# names of shell variables stay names; but "the $n$th".
MATH = re.compile(
    r"\$\$(?P<shown>.+?)\$\$|\$(?![\s$])(?P<dollars>[^$`\n]*?)(?<![\s\\])\$(?!\d|(?!(?:th|st|nd|rd|s)\b)[^\W_])"
    r"|\\\((?P<inline>.+?)\\\)|\\\[(?P<block>.+?)\\\]",
    re.DOTALL,
)
PROSE = re.compile(r"(?<=\s)[^\W\d_]{2,}(?=\s)")  # a word between spaces: "$5 and 6$" is about money
MATH_ENDS = {"$$": "$$", "\\[": "\\]"}
INLINE_ENDS = {"$$": "$$", "\\(": "\\)", "\\[": "\\]"}
ADDRESS = re.compile(r"https?://[^/\\?#\s]|mailto:[^\s]", re.IGNORECASE)
MOST_LINES = 100  # of one formula: looking for its end stays cheap where there is none
MOST_KEPT = 4_000_000  # characters, of texts and their HTML
MOST_CHARACTERS = 60_000  # of a text that is formatted; the longest that a person or a model hands in has a third


def _math_inline(state: StateInline, silent: bool) -> bool:
    """Take a formula as it was written: Markdown would read its * and _ as emphasis and drop backslashes."""
    if state.src[state.pos] not in "$\\" or not _may_end(state):
        return False
    if not (found := MATH.match(state.src, state.pos, state.posMax)):
        return False
    kind = str(found.lastgroup)
    latex = found.group(kind)
    if kind == "dollars" and _is_prose(state, latex):
        return False
    if not silent:
        token = state.push("math", "", 0)
        token.content, token.info = found.group(), latex
        token.meta = {"is_display": kind in ("shown", "block")}
    state.pos = found.end()
    return True


def _is_prose(state: StateInline, latex: str) -> bool:
    """Return whether what stands between two dollars is no formula: money, or names of variables."""
    before = state.src[state.pos - 1 : state.pos]
    return before.isalnum() or ("\\" not in latex and bool(PROSE.search(latex)))


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
    """Take a formula on lines of its own, where a line may begin with a minus without being a list."""
    first = _line(state, start)
    closes = MATH_ENDS.get(first[:2])
    if closes is None or state.is_code_block(start):
        return False
    if first == first[:2]:
        last = next((at for at in range(start + 1, min(end, start + MOST_LINES)) if _line(state, at) == closes), None)
    else:  # "\\[ x \\]": all on one line
        last = start if len(first) > 4 and first.find(closes, 2) == len(first) - 2 else None
    if last is None:
        return False
    if not silent:
        token = state.push("math_block", "", 0)
        token.content = state.getLines(start, last + 1, state.blkIndent, False).strip()
        token.info = token.content[2:-2]
        state.line = last + 1
    return True


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]].strip()


def _render_math(tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    return _typeset(token.info, env, is_display=token.meta["is_display"]) or escapeHtml(token.content)


def _render_math_block(tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    if typeset := _typeset(tokens[index].info, env, is_display=True):
        return f"<div>{typeset}</div>\n"
    lines = escapeHtml(tokens[index].content).splitlines()
    return f"<p>{'<br>'.join(lines)}</p>\n"


def _typeset(latex: str, env: Any, *, is_display: bool) -> str | None:
    """Return a formula as MathML; None where it cannot be typeset, or where the text has had its share of formulas."""
    used = env["latex"] = env.get("latex", 0) + len(latex)
    if used > formulas.MOST_LATEX_OF_A_TEXT:
        return None
    return formulas.mathml(latex, is_display=is_display)


def _render_code(tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    language = LANGUAGE.match(token.info)
    name = f' data-language="{escapeHtml(language.group().lower())}"' if language else ""
    return f"<pre><code{name}>{escapeHtml(token.content)}</code></pre>\n"


def _render_table(tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    """Return a table's first or last tag with that of the frame in which it scrolls."""
    return "<div><table>\n" if tokens[index].type == "table_open" else "</table></div>\n"


@cache
def _parser() -> MarkdownIt:
    # No images: a URL in a model's answer must not make the annotator's browser send requests.
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    parser.inline.ruler.before("escape", "math", _math_inline)
    parser.block.ruler.before("fence", "math", _math_block, {"alt": ["paragraph", "blockquote", "list"]})
    cast(Any, parser.renderer).rules.update(
        math=_render_math,
        math_block=_render_math_block,
        fence=_render_code,
        table_open=_render_table,
        table_close=_render_table,
    )
    cast(Any, parser).validateLink = _is_address
    return parser.disable("image")


def _is_address(url: str) -> bool:
    """Return whether a link shows where it leads; others, as `//host` and paths of this server, stay text."""
    return bool(ADDRESS.match(url))


def markdown(text: str) -> SafeString:
    """Return the text as HTML that is safe to show; one longer than MOST_CHARACTERS as it was written."""
    return _kept(text)


def _rendered(text: str) -> SafeString:
    if len(text) > MOST_CHARACTERS:
        return SafeString(f'<pre tabindex="0">{escapeHtml(text)}</pre>')
    html = _parser().render(text, {})
    return SafeString(_cleaner().clean(html))


_kept = KeptTexts(_rendered, MOST_KEPT)  # guidelines come with every task, an answer to each of its judges


@cache
def _cleaner() -> nh3.Cleaner:
    """Return what sanitises HTML; made once, as it is made of some hundred names."""
    return nh3.Cleaner(
        tags=TAGS,
        attributes=ATTRIBUTES,
        allowed_classes=CLASSES,
        set_tag_attribute_values=SET,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
