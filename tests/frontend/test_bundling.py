"""Modules and what they import, as one file."""

from __future__ import annotations

from pathlib import Path

import pytest

from frontend.bundling import CannotBundle, bundle

SCRIPTS = Path(__file__).parents[2] / "frontend/static/scripts"


def files(**sources: str):
    return {f"scripts/{name}.js": text for name, text in sources.items()}.__getitem__


def test_each_module_keeps_its_own_names():
    read = files(
        main='import { b } from "./other.js";\nimport { a } from "./base.js";\n\nconst own = a + b;\n',
        other='import { a } from "./base.js";\n\nconst own = 2;\nexport const b = a * own;\n',
        base="export const a = 1;\n",
    )
    assert bundle("scripts/main.js", read) == (
        "const $base = (() => {\nconst a = 1;\nreturn { a };\n})();\n"
        "const $other = (() => {\nconst { a } = $base;\n\nconst own = 2;\nconst b = a * own;\nreturn { b };\n})();\n"
        "const { b } = $other;\nconst { a } = $base;\n\nconst own = a + b;\n"
    )


def test_an_entry_that_is_imported_itself_keeps_its_exports():
    assert bundle("scripts/kind.js", files(kind="export function mount() {}\n")) == "export function mount() {}\n"


@pytest.mark.parametrize(
    "source", ['import x from "./base.js";\n', "export { x };\n", 'import { a as b } from "./base.js";\n']
)
def test_another_form_of_import_or_export_is_refused(source):
    with pytest.raises(CannotBundle, match=r"scripts/main\.js"):
        bundle("scripts/main.js", files(main=source, base="export const a = 1;\n"))


def test_modules_that_import_each_other_are_refused():
    read = files(one='import { b } from "./two.js";\n', two='import { a } from "./one.js";\n')
    with pytest.raises(CannotBundle, match="import each other"):
        bundle("scripts/one.js", read)


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.js")), ids=lambda path: path.name)
def test_all_our_scripts_can_be_bundled(path):
    whole = bundle(f"scripts/{path.name}", lambda name: (SCRIPTS.parent / name).read_text("utf-8"))
    assert not [line for line in whole.splitlines() if line.startswith("import ")]
