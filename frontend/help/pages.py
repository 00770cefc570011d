"""The pages of `docs/` as HTML, for Help in the application."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.text import slugify
from markdown_it import MarkdownIt
from markdown_it.token import Token

SECTIONS = ("Start", "Guides", "Reference", "For developers")
FIRST = ("index", "getting-started", "glossary", "architecture")  # in this order, before the others of their section
_HEADING = re.compile(r"^# (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class HelpPage:
    """A page of the documentation: its name below `docs/` without suffix, and its first heading."""

    name: str
    title: str

    @property
    def short_title(self) -> str:
        """Return the title up to its colon, for the table of contents."""
        return self.title.partition(":")[0]

    @property
    def url(self) -> str:
        return reverse("help") if self.name == "index" else reverse("help_page", args=[self.name])


@cache
def all_pages() -> dict[str, HelpPage]:
    """Return every page of the documentation by name, in the order of the table of contents."""
    found = [_page(path.relative_to(settings.DOCS_DIR)) for path in settings.DOCS_DIR.rglob("*.md")]
    order = {name: position for position, name in enumerate(FIRST)}
    found.sort(key=lambda page: (order.get(page.name, len(order)), page.name))
    return {page.name: page for page in found}


def contents() -> list[tuple[str, list[HelpPage]]]:
    """Return the table of contents: each section with its pages."""
    listed: dict[str, list[HelpPage]] = {section: [] for section in SECTIONS}
    for page in all_pages().values():
        listed[_section(page.name)].append(page)
    return list(listed.items())


def _section(name: str) -> str:
    folder = dirname(name)
    if folder == "decisions" or name == "architecture":
        return "For developers"
    if folder == "guides":
        return "Guides"
    return "Start" if name in FIRST else "Reference"


@lru_cache(maxsize=64)
def render_page(name: str) -> SafeString:
    """Return a page of the documentation as HTML. Raises KeyError if there is none of that name.

    The files belong to the project, so their HTML is trusted; raw HTML in them is escaped all the same.
    """
    page = all_pages()[name]
    text = (settings.DOCS_DIR / f"{page.name}.md").read_text("utf-8")
    return SafeString(_parser().render(text, {"page": name}))


def _page(path: Path) -> HelpPage:
    name = path.with_suffix("").as_posix()
    heading = _HEADING.search((settings.DOCS_DIR / path).read_text("utf-8"))
    return HelpPage(name, heading[1] if heading else name)


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table"])
    parser.disable("image")
    parser.core.ruler.push("help_links", _adapt)
    return parser


def _adapt(state: Any) -> None:
    """Give headings ids, point links between files at Help, and let code blocks be scrolled by keyboard."""
    page: str = state.env.get("page", "")
    for index, token in enumerate(state.tokens):
        if token.type == "heading_open":
            token.attrSet("id", slugify(state.tokens[index + 1].content))
        for child in token.children or []:
            if child.type == "link_open":
                _point_at_help(child, page)


def _point_at_help(link: Token, page: str) -> None:
    target, _, fragment = str(link.attrs.get("href", "")).partition("#")
    if not target.endswith(".md") or "://" in target:
        return
    found = all_pages().get(normpath(join(dirname(page), target)).removesuffix(".md"))
    if found:
        link.attrSet("href", f"{found.url}#{fragment}" if fragment else found.url)
