"""One file per entry: a module with everything that it imports, so that a page asks for few files.

No build step and no other tool: the pages work from the sources as they are; `collectstatic` puts together what belongs
together. It knows the two forms that our scripts use, `import { … } from "./x.js"` and `export` before a declaration.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from posixpath import dirname, join, normpath

IMPORT = re.compile(r'^import \{(?P<names>[^}]*)\} from "(?P<path>\./[\w.-]+\.js)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async function|function|class|const|let) (?P<name>\w+))", re.MULTILINE)
OTHERS = re.compile(r"^(?:import|export)\b.*$", re.MULTILINE)


class CannotBundle(Exception):
    """A form of import or export that is not among the two."""


def bundle(entry: str, read: Callable[[str], str]) -> str:
    """Return the entry module preceded by its imports, each in a scope of its own that returns its exports."""
    parts: dict[str, str] = {}
    body = _inlined(entry, read, parts, [entry])
    return "".join([*parts.values(), body])


def _inlined(name: str, read: Callable[[str], str], parts: dict[str, str], above: list[str]) -> str:
    """Return the module without import lines; the imported modules are added to `parts` first."""

    def take(found: re.Match[str]) -> str:
        if " as " in found["names"]:
            raise CannotBundle(f"{name}: {found.group()}")
        path = normpath(join(dirname(name), found["path"]))
        if path in above:
            raise CannotBundle(f"{name} and {path} import each other.")
        if path not in parts:
            inner = _inlined(path, read, parts, [*above, path])
            exported = ", ".join(match["name"] for match in EXPORT.finditer(inner))
            parts[path] = f"const {_scope(path)} = (() => {{\n{EXPORT.sub('', inner)}return {{ {exported} }};\n}})();\n"
        return f"const {{{found['names']}}} = {_scope(path)};\n"

    text = IMPORT.sub(take, read(name))
    if left := OTHERS.search(EXPORT.sub("", text)):
        raise CannotBundle(f"{name}: {left.group()}")
    return text


def _scope(path: str) -> str:
    return "$" + re.sub(r"\W", "_", path.rsplit("/", 1)[-1].removesuffix(".js"))
