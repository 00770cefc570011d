"""The Makefile's targets: each can be made, and none that a page names is missing."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)[1].split()
PATTERNS = ("*.md", "docs/**/*.md", ".github/**/*.yml", ".pre-commit-config.yaml")
PAGES = [page for pattern in PATTERNS for page in ROOT.glob(pattern)]


RECURSIVE = {"test", "nightly", "test-newest"}  # a dry run would run what they call make for


@pytest.mark.parametrize("target", [target for target in TARGETS if target not in RECURSIVE])
def test_what_a_target_needs_can_be_made(target: str):
    plan = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert plan.returncode == 0, plan.stderr


def test_every_target_but_helpers_is_in_the_help():
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"\bmake ([\w-]+)", said)) == set(TARGETS) - {"help", "pages"}


def test_pages_name_only_targets_that_there_are():
    named = {(target, page.name) for page in PAGES for target in re.findall(r"[`$] ?make ([a-z-]+)", page.read_text())}
    assert named
    assert not [(target, page) for target, page in sorted(named) if target not in TARGETS]
