"""What the README tells a newcomer to type exists, and what the docs name is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from django.core.management import get_commands

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_files_that_are_named_exist(page: Path):
    text = page.read_text("utf-8")
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)", text)) <= targets
    assert set(re.findall(r"manage\.py (\w+)", text)) <= set(get_commands())
    named = re.findall(r"`((?:annotation|training|frontend|templates|tests|docs|benchmarks)/[\w./-]*\w/?)`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_readme_is_for_a_newcomer():
    text = (ROOT / "README.md").read_text("utf-8")
    assert "make demo" in text
    assert "make test" in text
    assert len(text.splitlines()) <= 90


def test_links_of_pages_outside_the_site_lead_somewhere():
    for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"):
        targets = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / name).read_text("utf-8"))
        assert [target for target in targets if not (ROOT / target).exists()] == [], name


def test_the_site_builds_without_a_warning(tmp_path):
    """Links, anchors and file names: mkdocs fails on each that leads nowhere."""
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.returncode, built.stderr) == (0, "")
    assert "Glossary" in (tmp_path / "site" / "index.html").read_text("utf-8")


def test_every_metric_that_a_recipe_logs_is_explained():
    explained = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "training" / "recipes").rglob("*.py"))
    groups = "objective|ppo|reward|response|sample|time|dpo|rloo|grpo|kto|sft|prompt_tuning|self_instruct"
    logged = set(re.findall(rf'"((?:{groups})/\w+)"', sources))
    assert [name for name in sorted(logged) if f"`{name}`" not in explained] == []


# Words in italics that are no label of a page: an example, a heading of a table, a name of Django's.
NO_LABELS = {
    "this movie is great",
    "this movie is great all in all, it was ____",
    "sign in with example university",
    "per completion",
    "right",
    "log-probabilities",
    "cpu seconds",
    "can add project",
}


def test_documents_call_things_as_the_pages_do():
    """*Training → Rounds* names labels of pages, which are texts of the catalog."""
    with (ROOT / "frontend/locale/zh_Hans/LC_MESSAGES/django.po").open("rb") as file:
        texts = [text for message in read_po(file) if message.id for text in _forms(message.id)]
    labels = {_plain(text) for text in texts} | NO_LABELS
    strange, found = [], 0
    for path in PAGES:
        for words in re.findall(r"(?<![*\w])\*([A-Z][^*\n]*(?:\n[^*\n]+)?)\*(?![*\w])", path.read_text("utf-8")):
            for label in " ".join(words.split()).split(" → "):
                found += 1
                if _plain(label) not in labels:
                    strange.append(f"{path.name}: {label}")
    assert strange == []
    assert found > 50


def _forms(text: str | tuple[str, ...]) -> list[str]:
    return [text] if isinstance(text, str) else list(text)


def _plain(text: str) -> str:
    return text.strip(".…: ").lower()
