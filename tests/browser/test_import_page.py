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
