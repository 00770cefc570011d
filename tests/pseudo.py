"""A language made of the English texts, for tests: each is marked and 40 % longer, so that what is not translated and
what has too little room can be seen. It goes under the code of a language that is written from right to left."""

from __future__ import annotations

import io
import re
import runpy
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from django.utils import translation

from frontend import languages
from tests.tiny_model import made_once
from training.methods import METHODS

CODE = "ar"  # from right to left
OPEN, CLOSE = "⟦", "⟧"
MESSAGES = runpy.run_path(str(Path(__file__).parents[1] / ".ci" / "messages.py"))
HIDDEN = {"script", "style", "code", "pre", "time", "svg", "kbd", "textarea"}
READ = ("aria-label", "title", "placeholder", "data-label")
# Names and texts of the data, of programs and formats, which are the same in every language.
SAME = re.compile(
    r"sentiment, paraphrase, definitions"
    r"|alice|bob|rita|carol|ranker|Letters|Prefloop|\bSlurm\b|\bRay\b|Write sentence|smollm2-135m-instruct"
    r"|a script|new\.txt|Hello\?|\bwas\b|ROUGE-L|\bSmall\b|http://localhost:8000/v1|UTC|CSV|JSONL?|MB|kB|v\d|UTF-8|English|简体中文|العربيّة"
)

# Words that settings take, which are shown as they are.
SETTINGS = {word for method in METHODS.values() for words in method.config.choices.values() for word in words}


def pseudo(text: str) -> str:
    """Return a text as the made-up language has it."""
    letters = len(re.sub(r"%\(\w+\)s|<[^>]*>|\{\w+\}", "", text))
    return f"{OPEN}{text}{'·' * (letters * 2 // 5)}{CLOSE}"


@contextmanager
def offered(settings: Any, folder: Path) -> Iterator[dict[str, str]]:
    """Offer the language to browsers meanwhile; yield the headers of a request that asks for it."""
    # The texts of all sources are gathered once: two seconds for each test else.
    shutil.copytree(made_once("pseudo", CODE, write_locale), folder / "locale")
    settings.LOCALE_PATHS = [folder / "locale"]
    settings.LANGUAGES = [("en", "English"), (CODE, "العربيّة")]
    languages.script_words.cache_clear()
    yield {"HTTP_ACCEPT_LANGUAGE": CODE}
    languages.script_words.cache_clear()
    translation.activate("en")


def write_locale(folder: Path) -> None:
    """Write the language into a folder for LOCALE_PATHS."""
    place = folder / CODE / "LC_MESSAGES"
    place.mkdir(parents=True)
    for domain, texts in zip(("django", "djangojs"), MESSAGES["gathered"](), strict=True):
        catalog = Catalog(locale=CODE, fuzzy=False)
        for message in texts:
            if message.id:
                several = isinstance(message.id, tuple)
                shown = (pseudo(message.id[1]),) * catalog.num_plurals if several else pseudo(message.id)
                catalog.add(message.id, shown, context=message.context)
        buffer = io.BytesIO()
        write_mo(buffer, catalog)
        (place / f"{domain}.mo").write_bytes(buffer.getvalue())


class _Texts(HTMLParser):
    """Collects what a person reads or hears of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: list[str] = []
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        own = "as-written" in (given.get("class") or "") or "prose" in (given.get("class") or "").split()
        if self.hidden or tag in HIDDEN or own or given.get("dir") == "auto":
            if tag not in ("input", "img", "br", "meta", "link", "hr"):
                self.hidden.append(tag)
            return
        self.found += [
            given[name] or "" for name in ("aria-label", "title", "placeholder", "data-label") if given.get(name)
        ]

    def handle_endtag(self, tag: str) -> None:
        if self.hidden and self.hidden[-1] == tag:
            self.hidden.pop()

    def handle_data(self, data: str) -> None:
        if not self.hidden and data.strip() and data.strip() not in SETTINGS:
            self.found.append(" ".join(data.split()))


def untranslated(page: str) -> list[str]:
    """Return the texts of a page that the made-up language does not mark."""
    texts = _Texts()
    texts.feed(page)
    # A marked sentence may hold links and emphasis: what stands between its marks is translated.
    joined = re.sub(f"{OPEN}[^{OPEN}{CLOSE}]*{CLOSE}", "", "\n".join(texts.found))
    while OPEN in joined:
        before = joined
        joined = re.sub(f"{OPEN}[^{OPEN}{CLOSE}]*{CLOSE}", "", joined)
        if joined == before:
            break
    return [line.strip() for line in joined.split("\n") if re.search(r"[A-Za-z]{3,}", SAME.sub("", line))]
