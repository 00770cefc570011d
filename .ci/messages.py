"""Gather the texts of pages, modules and scripts into each language's django.po, and compile it: `make messages`.

frontend/locale/<code>/LC_MESSAGES/django.po is the one file of a language. Its texts that scripts show are compiled
into djangojs.mo, all others into django.mo. `--check` changes nothing and fails where a file is not up to date.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parents[1]
LOCALE = ROOT / "frontend" / "locale"
SCRIPTS = ROOT / "frontend" / "static" / "scripts"
CODE = ("annotation", "training", "frontend")
PYTHON_NAMES = {
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "_": None,  # in pages, and in training/methods, which import no Django
    "setting": (2,),  # what a setting of a method does
    "phrase": None,  # in training/methods and recipes
    "Shape": (1,),  # the name of a format of files
    "Format": (1,),
}
# Scripts have texts inside template strings, too.
OF_SOURCES = {"encoding": "utf-8", "parse_template_string": True}
# Called with a sentence that is kept in English: its values become placeholders, as `annotation.stored` looks for them.
SENTENCES = {"Refusal", "RefusedRow", "UnreadableFile", "_verdict"}
SENTENCES |= {"RecipeError", "Refused", "remark", "FormatError", "InvalidTemplate", "InvalidVerbalizer"}
SENTENCES |= {"ServerProblem", "RefusedByServer", "OddReply", "OddAnswer", "NotAllowed", "NotPrepared"}
SCRIPT_NAMES = {"gettext": None, "ngettext": (1, 2)}
OPTIONS = {"no_location": False, "include_lineno": False, "width": 0, "sort_by_file": True}

Found = tuple[str | tuple[str, str], str | None]  # a text, or singular and plural; and its context


def _in(source: str, method: str, names: dict[str, object]) -> Iterator[Found]:
    for _, text, _, context in extract(method, io.BytesIO(source.encode()), names, options=OF_SOURCES):
        yield (tuple(text) if isinstance(text, (list, tuple)) else text), context  # type: ignore[misc]


def sentences_in(source: str) -> Iterator[Found]:
    """Yield the texts of the sentences that `source` raises."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SENTENCES:
            for given in chain.from_iterable(map(_branches, node.args)):
                if isinstance(given, ast.Constant) and isinstance(given.value, str):
                    yield given.value, None
                elif isinstance(given, ast.JoinedStr) and (text := _with_placeholders(given)):
                    yield text, None


def _branches(given: ast.expr) -> list[ast.expr]:
    """Return what an argument may be: both sides of a choice."""
    return [*_branches(given.body), *_branches(given.orelse)] if isinstance(given, ast.IfExp) else [given]


def _with_placeholders(sentence: ast.JoinedStr) -> str:
    """Return a sentence with %(name)s for each value: its name, or that of the table it is looked up in.

    Empty where it is nothing but values.
    """
    text, names = "", dict[str, str]()
    for part in sentence.values:
        if isinstance(part, ast.Constant):
            text += str(part.value).replace("%", "%%")
        elif isinstance(part, ast.FormattedValue):
            written = ast.unparse(part.value)
            named = part.value.value if isinstance(part.value, ast.Subscript) else part.value
            name = named.id.strip("_").lower() if isinstance(named, ast.Name) else "value"
            if written not in names:
                names[written] = name if name not in names.values() else f"{name}{len(names) + 1}"
            text += f"%({names[written]})s"
    return text if re.search(r"[a-z]{2}", re.sub(r"%\(\w+\)s", "", text)) else ""


def found_in(path: Path) -> Iterator[Found]:
    """Yield the texts of one file."""
    source = path.read_text("utf-8")
    if path.suffix == ".html":
        lines = templatize(source).splitlines()  # indented as the page is, which is no Python
        yield from _in("\n".join(line.strip() for line in lines), "python", PYTHON_NAMES)
    elif path.suffix == ".py":
        yield from _in(source, "python", PYTHON_NAMES)
        yield from sentences_in(source)
    else:
        yield from _in(source, "javascript", SCRIPT_NAMES)


def _add(catalog: Catalog, paths: list[Path]) -> None:
    for path in paths:
        for text, context in found_in(path):
            catalog.add(text, locations=[(path.relative_to(ROOT).as_posix(), 0)], context=context)


def gathered() -> tuple[Catalog, Catalog]:
    """Return the texts of pages and modules, and those of scripts."""
    pages, scripts = Catalog(), Catalog()
    modules = [path for folder in CODE for path in (ROOT / folder).rglob("*.py") if "migrations" not in path.parts]
    _add(pages, sorted((ROOT / "templates").rglob("*.html")) + sorted(modules))
    _add(scripts, sorted(SCRIPTS.glob("*.js")))
    return pages, scripts


def _both(pages: Catalog, scripts: Catalog) -> Catalog:
    both = Catalog()
    for source in (pages, scripts):
        for message in source:
            if message.id:
                both.add(message.id, locations=message.locations, context=message.context)
    return both


def updated(path: Path, template: Catalog) -> Catalog:
    """Return a language's texts: those of the template, with the translations that its file has."""
    old = read_po(io.BytesIO(path.read_bytes())) if path.stat().st_size else Catalog()
    new = Catalog(locale=path.parent.parent.name, fuzzy=False)
    for message in template:
        if message.id:
            known = old.get(message.id, message.context)
            new.add(message.id, known.string if known else None, message.locations, context=message.context)
    return new


NO_DATE = datetime(2000, 1, 1, tzinfo=UTC)  # the same texts give the same file
GIVEN_HEADERS = """\
msgid ""
msgstr ""
"Language: {code}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: {plural}\\n"
"""


def as_text(catalog: Catalog, code: str) -> bytes:
    """Return a catalog as a .po file without dates, so that the same texts give the same file."""
    buffer = io.BytesIO()
    write_po(buffer, catalog, omit_header=True, **OPTIONS)
    head = "# Texts of Prefloop. `make messages` gathers and compiles them.\n"
    return (head + GIVEN_HEADERS.format(code=code, plural=catalog.plural_forms) + "\n").encode() + buffer.getvalue()


def compiled(catalog: Catalog, wanted: Catalog) -> bytes:
    """Return those of a language's texts that `wanted` has, as a .mo file; untranslated ones are left out."""
    part = Catalog(locale=catalog.locale, fuzzy=False, creation_date=NO_DATE, revision_date=NO_DATE)
    for message in catalog:
        if message.id and wanted.get(message.id, message.context) is not None:
            part.add(message.id, message.string, context=message.context)
    buffer = io.BytesIO()
    write_mo(buffer, part)
    return buffer.getvalue()


def files() -> dict[Path, bytes]:
    """Return the files of all languages as they should be."""
    pages, scripts = gathered()
    template, found = _both(pages, scripts), {}
    for path in sorted(LOCALE.glob("*/LC_MESSAGES/django.po")):
        catalog = updated(path, template)
        found[path] = as_text(catalog, path.parent.parent.name)
        found[path.with_suffix(".mo")] = compiled(catalog, pages)
        found[path.with_name("djangojs.mo")] = compiled(catalog, scripts)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a file would change")
    check = parser.parse_args().check
    changed = [path for path, content in files().items() if not path.is_file() or path.read_bytes() != content]
    for path, content in files().items() if changed and not check else ():
        path.write_bytes(content)
    for path in changed:
        sys.stdout.write(f"{'is not up to date: ' if check else ''}{path.relative_to(ROOT)}\n")
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
