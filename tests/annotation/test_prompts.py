"""Importing prompts: by page, by command, by API; the same file gives the same report."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection

from annotation import blinding
from annotation.actions import import_jobs, prompt_edits, prompts
from annotation.models import Completion, Prompt, PromptUpload, Split, Task

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
    assert depths == [0, 0, 0]  # of the first, of the second, and of the first once more: none in a transaction
    assert Prompt.objects.count() == 2
    reports = [pending.report for pending in PromptUpload.objects.order_by("pk")]
    assert [report["taken"] for report in reports] == [0, 2]


ANSWERED = (
    b'{"prompt": "Say hello.", "completions": ["Hello!", "Hi."]}\n'
    b'{"prompt": "Say goodbye.", "chosen": "Goodbye!", "rejected": "Go."}\n'
)
LABELLED = b'{"text": "Fine.", "label": "good"}\n{"text": "Awful.", "label": "bad"}\n'
COMPUTING = [
    (prompts, "sort_rows"),
    (prompts, "sort_labels"),
    (prompts.import_votes, "by_digest"),
    (blinding, "names_its_model"),
    (prompt_edits, "parse_prompts"),
]


@pytest.fixture
def in_transaction(monkeypatch) -> list[str]:
    """The names of what was computed in a transaction, and "" for each that was not."""
    found, outside = [], len(connection.savepoint_ids)

    def watched(name, compute):
        def wrapped(*arguments, **named):
            found.append(name * (len(connection.savepoint_ids) > outside))
            return compute(*arguments, **named)

        return wrapped

    for module, name in COMPUTING:
        monkeypatch.setattr(module, name, watched(name, getattr(module, name)))
    return found


def test_nothing_is_computed_in_the_transaction_of_an_import(
    project, admin, as_user, in_transaction, tmp_path: Path, monkeypatch
):
    client, path = as_user(admin), tmp_path / "rows.jsonl"
    client.post(f"{upload(client, ANSWERED).headers['Location']}take/")
    assert Task.objects.filter(kind="ranking").count() == 1
    client.post(f"{upload(client, LABELLED).headers['Location']}take/")
    api = "/api/v1/projects/letters/prompts/"
    client.post(api, {"file": SimpleUploadedFile("a.jsonl", ANSWERED.replace(b"Say", b"Write"))})
    path.write_bytes(ANSWERED.replace(b"Say", b"Sing"))
    call_command("import_prompts", path, project="letters", stdout=io.StringIO())
    monkeypatch.setattr(import_jobs, "LARGE", 1)  # more rows are imported by a worker
    client.post(api, {"file": SimpleUploadedFile("b.jsonl", ANSWERED.replace(b"Say", b"Whisper"))})
    client.post(api, {"file": SimpleUploadedFile("c.jsonl", LABELLED.replace(b".", b"!"))})
    while import_jobs.work_next():
        pass
    added = prompt_edits.add_prompt(project=project, messages=[{"role": "user", "content": "Shout."}], by=admin)
    changed = [{"role": "user", "content": "Shout it."}]
    prompt_edits.edit_prompt(prompt=added, messages=changed, by=admin)
    assert (Prompt.objects.count(), Task.objects.filter(kind="ranking").count()) == (10, 4)
    assert project.imported_labels.count() == 4
    assert len(in_transaction) > 20
    assert set(in_transaction) == {""}


def test_an_import_that_others_overtake_each_time_stores_nothing_and_says_so(project, admin, as_user, monkeypatch):
    sort, others = prompts.sort_rows, []

    def overtaken(*arguments):
        found = sort(*arguments)
        others.append(Prompt.objects.create(project=project, messages=[], digest=f"other {len(others)}"))
        return found

    monkeypatch.setattr(prompts, "sort_rows", overtaken)
    file = SimpleUploadedFile("prompts.jsonl", FILE)
    refused = as_user(admin).post("/api/v1/projects/letters/prompts/", {"file": file})
    assert refused.status_code == 409
    assert "Other files are being imported" in refused.json()["detail"]
    assert Prompt.objects.count() == len(others) == prompts.TRIES


def test_rows_that_an_undo_took_back_meanwhile_are_no_duplicates(project, admin, as_user, monkeypatch):
    client = as_user(admin)
    first, second = (upload(client).headers["Location"] for _ in range(2))
    client.post(f"{first}take/")
    Prompt.objects.create(project=project, messages=[], digest="the newest row, which stays")
    sort, done = prompts.sort_rows, []

    def sorted_rows(*arguments):
        found = sort(*arguments)
        if not done:
            done.append(True)
            import_jobs.undo(upload=PromptUpload.objects.earliest("pk"))
            while import_jobs.work_next():
                pass
        return found

    monkeypatch.setattr(prompts, "sort_rows", sorted_rows)
    assert client.post(f"{second}take/", follow=True).context["report"].taken == 2
    assert Prompt.objects.count() == 3


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
