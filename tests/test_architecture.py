"""The rules of docs/architecture.md, as a machine can see them."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_web_process_never_imports_torch():
    program = (
        "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'frontend.settings';"
        "import django, sys; django.setup();"
        "from django.urls import get_resolver; get_resolver().url_patterns;"
        "import frontend.asgi, training.worker, annotation.simulation;"
        "from training import exports, methods, products;"
        "assert all(map(len, (exports.TOOLS, methods.METHODS, products.PRODUCTS)));"
        "heavy = {'torch', 'transformers', 'trl', 'peft', 'accelerate', 'datasets'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    checked = run(sys.executable, "-c", program)
    assert checked.returncode == 0, checked.stderr


def test_any_asgi_server_can_start_the_application():
    checked = run(sys.executable, "-c", "import frontend.asgi")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.slow
def test_recipes_never_import_django():
    program = "import sys, training.recipes.ppo, training.recipes.reward, training.recipes.sample; "
    checked = run(sys.executable, "-c", program + "assert 'django' not in sys.modules")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.django_db
def test_migrations_are_up_to_date():
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


# Names that two modules share, and why that is right.
SHARED_NAMES = {
    "Command": "Django finds a management command by this name.",
    **dict.fromkeys(["Classifier", "Policy", "RewardModel"], "A product has the name of the model it makes."),
}


def test_no_two_classes_share_a_name():
    """A name that is met on a page of code means one thing, whatever module it is imported from."""
    modules: dict[str, list[str]] = {}
    for path in sorted(each for root in ("annotation", "training", "frontend") for each in (ROOT / root).rglob("*.py")):
        if "migrations" not in path.parts:
            for name in names_of_types(ast.parse(path.read_text(encoding="utf-8"))):
                modules.setdefault(name, []).append(str(path.relative_to(ROOT)))
    shared = {name: found for name, found in modules.items() if len(found) > 1 and name not in SHARED_NAMES}
    assert not shared, shared


def names_of_types(module: ast.Module) -> Iterator[str]:
    """Classes and type aliases at the top of a module; private ones are nobody else's business."""
    for node in module.body:
        match node:
            case ast.ClassDef(name=name) | ast.Assign(targets=[ast.Name(id=name)]):
                # CamelCase: constants are in capitals alone.
                if name[0].isupper() and (isinstance(node, ast.ClassDef) or not name.isupper()):
                    yield name
