"""Importing prompts: by page, by command, by API; the same file gives the same report."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection

from annotation.actions import prompts
from annotation.models import Completion, Prompt, PromptUpload, Split

pytestmark = [pytest.mark.django_db, pytest.mark.database]

FILE = b"""\
{"id": "a", "text": "Say hello."}
{"id": "b", "text": "Say goodbye.", "reference": "Goodbye!"}
{"id": "c", "text": "Say hello."}
{"id": "d", "text": ""}
{"id": "a", "text": "Another text with the first id."}
"""


def upload(client, content: bytes = FILE, name: str = "prompts.jsonl"):
    return client.post("/projects/letters/prompts/", {"file": SimpleUploadedFile(name, content)})


def test_the_page_shows_a_preview_and_takes_nothing_yet(project, admin, as_user):
    client = as_user(admin)
    response = client.get(upload(client).headers["Location"])
    page = response.content.decode()
    assert "Say goodbye." in page
    assert "the same prompt as line 1" in page
    assert Prompt.objects.count() == 0
    assert response.context["report"].taken == 2


def test_taking_the_upload_imports_what_the_preview_promised(project, admin, as_user):
    client = as_user(admin)
    address = upload(client).headers["Location"]
    response = client.post(f"{address}take/", follow=True)
    report = response.context["report"]
    assert report.taken == Prompt.objects.count() == 2
    assert [row.line for row in report.duplicates] == [3]
    assert [row.line for row in report.refused] == [4, 5]
    assert "id 'a'" in report.refused[1].reason
    assert Completion.objects.get(source="imported").text == "Goodbye!"
    upload_row = PromptUpload.objects.get()
    assert bytes(upload_row.content) == b""
    again = client.post(f"{address}take/", follow=True)
    assert again.context["report"] == report
    assert Prompt.objects.count() == 2


def test_rows_are_sorted_outside_of_the_transaction_and_again_where_another_import_came_between(
    project, admin, as_user, monkeypatch
):
    client = as_user(admin)
    first, second = (upload(client).headers["Location"] for _ in range(2))
    sort, depths, outside = prompts.sort_rows, [], len(connection.savepoint_ids)

    def sorted_rows(*arguments):
        depths.append(len(connection.savepoint_ids) - outside)
        found = sort(*arguments)
        if len(depths) == 1:
            client.post(f"{second}take/")  # by somebody else, before this one has the project
        return found

    monkeypatch.setattr(prompts, "sort_rows", sorted_rows)
    client.post(f"{first}take/")
    assert depths[:2] == [0, 0]  # of the first and of the second, before their transactions
    assert len(depths) == 3  # the first once more, in its transaction
    assert Prompt.objects.count() == 2
    reports = [pending.report for pending in PromptUpload.objects.order_by("pk")]
    assert [report["taken"] for report in reports] == [0, 2]


def test_importing_the_same_file_again_takes_nothing(project, capsys, tmp_path: Path):
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(FILE)
    out = io.StringIO()
    call_command("import_prompts", path, project="letters", stdout=out, stderr=io.StringIO())
    call_command("import_prompts", path, project="letters", stdout=out, stderr=io.StringIO())
    assert out.getvalue().splitlines() == [
        "2 taken, 1 duplicate, 2 refused, 1 answers",
        "0 taken, 3 duplicate, 2 refused",
    ]


def test_the_command_names_file_and_line(project, tmp_path: Path):
    path, errors = tmp_path / "prompts.jsonl", io.StringIO()
    path.write_bytes(FILE)
    call_command("import_prompts", path, project="letters", stdout=io.StringIO(), stderr=errors)
    assert f"{path}:4: refused: " in errors.getvalue()
    with pytest.raises(CommandError, match="no file"):
        call_command("import_prompts", tmp_path / "absent.txt", project="letters")
    with pytest.raises(CommandError, match=r"no project 'nowhere'. Projects: letters"):
        call_command("import_prompts", path, project="nowhere")


def test_the_api_gives_the_same_report(project, admin, as_user):
    file = SimpleUploadedFile("prompts.jsonl", FILE)
    response = as_user(admin).post("/api/v1/projects/letters/prompts/", {"file": file})
    assert response.status_code == 201
    assert response.json()["taken"] == 2
    assert response.json()["refused"][0]["line"] == 4


def test_an_unreadable_file_is_refused_beside_the_field(project, admin, as_user):
    response = upload(as_user(admin), b"caf\xe9", "prompts.txt")
    assert response.status_code == 200
    assert "UTF-8" in response.content.decode()
    assert PromptUpload.objects.count() == 0
    answer = as_user(admin).post(
        "/api/v1/projects/letters/prompts/", {"file": SimpleUploadedFile("prompts.txt", b"caf\xe9")}
    )
    assert answer.status_code == 400
    assert "UTF-8" in answer.json()["errors"]["file"]


def test_the_split_is_the_prompts_own_and_about_a_fifth_is_eval():
    digests = [Prompt.digest_of([{"role": "user", "content": f"Question {number}"}]) for number in range(2000)]
    splits = [Split.of(digest) for digest in digests]
    assert splits == [Split.of(digest) for digest in digests]
    assert 0.17 < splits.count(Split.EVAL) / 2000 < 0.23
