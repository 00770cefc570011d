"""The wheel by itself: built from the checkout, installed where the checkout is not, serving a page."""

from __future__ import annotations

import os
import re
import shutil
import signal
import site
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests import NIGHTLY
from tests.programs import free_port

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def environment(**added: str) -> dict[str, str]:
    """Return this process's environment without what points at the checkout or at another data folder."""
    points_here = ("PYTHONPATH", "DJANGO_SETTINGS_MODULE", "PREFLOOP_HOME", "DATABASE_URL", "REDIS_URL")
    kept = {name: value for name, value in os.environ.items() if name not in points_here}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", **added}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built in a copy, since a build writes into its folder."""
    folder = tmp_path_factory.mktemp("build")
    leave = shutil.ignore_patterns(
        ".git", ".venv*", ".*_cache", "node_modules", "var", "__pycache__", "build", "dist", "*.egg-info"
    )
    shutil.copytree(ROOT, folder / "checkout", ignore=leave)
    build = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    run(sys.executable, *build, folder / "checkout", cwd=folder)
    (built,) = folder.glob("prefloop-*.whl")
    shutil.rmtree(folder / "checkout")
    return built


def installed(wheel: Path, folder: Path, *, with_dependencies: bool) -> Path:
    """Return the bin folder of a new environment with the wheel; its dependencies are downloaded, or are ours."""
    venv.create(folder, with_pip=with_dependencies)
    python = folder / "bin" / "python"
    if with_dependencies:
        run(python, "-m", "pip", "install", "--quiet", str(wheel), cwd=folder)
    else:
        run(
            sys.executable, "-m", "pip", f"--python={python}", "install", "--quiet", "--no-deps", str(wheel), cwd=folder
        )
        (packages,) = folder.glob("lib/python*/site-packages")
        (packages / "ours.pth").write_text("\n".join(site.getsitepackages()))
    return folder / "bin"


@pytest.fixture(
    scope="module",
    params=[False, pytest.param(True, marks=pytest.mark.skipif(not NIGHTLY, reason="downloads; `make nightly`"))],
    ids=["our dependencies", "downloaded dependencies"],
)
def commands(request, wheel, tmp_path_factory) -> Path:
    return installed(wheel, tmp_path_factory.mktemp("installed"), with_dependencies=request.param)


@pytest.fixture
def served(commands, tmp_path) -> Iterator[str]:
    """The address of `prefloop serve` as a new user starts it, in no folder of ours and with no settings."""
    port = free_port()
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [commands / "prefloop", "serve", "--port", str(port)],
            cwd=tmp_path,
            env=environment(XDG_DATA_HOME=str(tmp_path / "data")),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    for _ in range(2400):
        try:
            requests.get(f"http://127.0.0.1:{port}/health/", timeout=5)
            break
        except requests.ConnectionError:
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    process.send_signal(signal.SIGINT)
    process.wait(30)
    assert "Stopped." in (tmp_path / "log").read_text()


def test_the_wheel_holds_what_pages_need_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert folders == {"annotation", "frontend", "training"}
    for needed in (
        "annotation/migrations/0001_initial.py",
        "annotation/sample_prompts.jsonl",
        "frontend/docs/guides/api.md",
        "frontend/static/scripts/work.js",
        "frontend/static/vendor/Sortable.min.js",
        "frontend/static/vendor/htmx.min.js",
        "frontend/static/vendor/uPlot.iife.min.js",
        "frontend/templates/annotation/kinds/ranking.html",
        "training/instructions/seed_tasks.jsonl",
        "training/recipes/ppo.py",
    ):
        assert needed in names
    templates = {str(path.relative_to(ROOT)) for path in (ROOT / "templates").rglob("*.html")}
    assert {f"frontend/{name}" for name in templates} <= set(names)


def test_prefloop_serve_opens_a_page_and_keeps_data_in_the_users_folder(served, commands, tmp_path):
    page = requests.get(f"{served}/accounts/login/", timeout=20)
    assert page.status_code == 200
    assert "Set up Prefloop" in page.text  # nobody has an account yet
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
    assert any("htmx" in address for address in addresses)
    assert "Guides" in requests.get(f"{served}/help/", timeout=20).text
    for address in addresses:
        assert requests.get(served + address, timeout=20).status_code == 200, address
    home = tmp_path / "data" / "prefloop"
    assert (home / "db.sqlite3").exists()
    assert (home / "static" / "staticfiles.json").exists()
    assert not list(commands.parent.glob("lib/python*/site-packages/**/db.sqlite3"))


def test_every_management_command_is_there(commands, tmp_path):
    where = "import frontend, training; print(frontend.__file__, training.__file__)"
    assert run(commands / "python", "-c", where, cwd=tmp_path).count(str(commands.parent)) == 2
    listed = run(commands / "prefloop", "help", "--commands", cwd=tmp_path).split()
    assert {"serve", "demo", "migrate", "createsuperuser", "import_prompts", "export", "run_worker"} <= set(listed)
