"""The rules of docs/architecture.md, as a machine can see them."""

from __future__ import annotations

import subprocess
import sys
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


def test_recipes_never_import_django():
    program = "import sys, training.recipes.ppo, training.recipes.reward, training.recipes.sample; "
    checked = run(sys.executable, "-c", program + "assert 'django' not in sys.modules")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.django_db
def test_migrations_are_up_to_date():
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)
