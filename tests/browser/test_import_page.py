"""The preview of an import on a phone: long names of fields break, and the page is no wider than the screen."""

from __future__ import annotations

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]


def test_a_preview_with_long_names_of_fields_fits_a_phone(project, admin, as_user, visit) -> None:
    row = {
        "prompt": "Why?",
        "chosen": "Because.",
        "rejected": "No.",
        f"best_answer_{'of_a_tool_' * 8}": "Some other text",
    }
    file = SimpleUploadedFile("rows.jsonl", json.dumps(row).encode() + b"\n")
    preview = as_user(admin).post(f"/projects/{project.slug}/prompts/", {"file": file}).url
    visitor = visit(admin, viewport={"width": 390, "height": 844})
    visitor.goto(preview)
    assert visitor.page.get_by_text("its rows are skipped").is_visible()
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_of_a_folder_only_its_data_files_are_sent(project, admin, visit, tmp_path) -> None:
    texts = {
        "set/train.jsonl": '{"prompt": "Why?"}\n',
        "set/more/test.csv": "prompt\nWhere?\n",
        "set/LICENSE": "Permission is granted",
        "set/.git/old.jsonl": '{"prompt": "Hidden?"}\n',
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    visitor = visit(admin)
    visitor.goto(f"/projects/{project.slug}/prompts/")
    page = visitor.page
    page.get_by_label("Or a folder").set_input_files(tmp_path / "set")
    said = page.locator("#chosen-files")
    said.get_by_text("To be read:").wait_for()
    words = said.inner_text()
    to_read, left_out = words.split("Left out:")
    assert "set/train.jsonl" in to_read
    assert "set/more/test.csv" in to_read
    assert "set/LICENSE" in left_out
    assert "old.jsonl" not in to_read
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("heading", name="and 1 more.zip").wait_for()
    assert page.get_by_role("button", name="Import 2 prompts").is_visible()
