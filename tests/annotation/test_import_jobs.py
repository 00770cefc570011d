"""Large files are imported by a worker: in batches, with pause, resume after a kill, and undo."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotation.actions import import_jobs, import_parts, prompts
from annotation.imports import Reading, parse_prompts, stored
from annotation.imports.spool import Spool
from annotation.models import (
    Assignment,
    Completion,
    ImportedJudgment,
    ImportedLabel,
    ImportStatus,
    Project,
    Prompt,
    PromptUpload,
    Task,
    UploadPart,
)
from training.worker.loop import work_beside_runs

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small(monkeypatch) -> None:
    monkeypatch.setattr(import_jobs, "LARGE", 5)
    monkeypatch.setattr(import_jobs, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(import_parts, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(import_jobs, "WORKS_FOR_SECONDS", 0.0)  # one batch each time


def _rows(count: int) -> list[dict]:
    return [
        {"prompt": f"Question {number}?", "chosen": f"Yes {number}.", "rejected": f"No {number}."}
        if number % 2
        else {"prompt": f"Question {number}?", "completions": [f"Yes {number}.", f"No {number}."]}
        for number in range(count)
    ]


@pytest.fixture
def upload(project: Project, admin, as_user) -> PromptUpload:
    """Ten rows, one of them refused, that were uploaded and taken."""
    content = "".join(json.dumps(row) + "\n" for row in [*_rows(10), {"prompt": ""}]).encode()
    client = as_user(admin)
    page = client.post(f"/projects/{project.slug}/prompts/", {"file": SimpleUploadedFile("rows.jsonl", content)})
    client.post(f"{page.url}take/")
    return PromptUpload.objects.get()


def _work() -> None:
    for _ in range(30):
        if not import_jobs.work_next():
            return
    raise AssertionError("the worker does not come to an end")


def _page(upload: PromptUpload) -> str:
    return f"/projects/{upload.project.slug}/prompts/uploads/{upload.pk}/"


def test_a_worker_imports_it_in_batches_and_the_page_shows_how_far_it_is(upload, admin, as_user) -> None:
    client = as_user(admin)
    assert Prompt.objects.count() == 0
    assert "Waiting" in client.get(_page(upload)).content.decode()
    assert import_jobs.work_next()
    page = client.get(_page(upload)).content.decode()
    assert "4 of 10 rows processed" in page
    assert "prompts imported" not in page
    _work()
    assert "10 prompts imported" in client.get(_page(upload)).content.decode()
    upload.refresh_from_db()
    report = prompts.ImportReport.from_json(upload.report)
    assert (upload.status, report.rows, report.taken, report.pairs, report.tasks) == ("taken", 11, 10, 5, 5)
    assert [row.line for row in report.refused] == [11]
    assert (Prompt.objects.count(), ImportedJudgment.objects.count()) == (10, 5)


def test_after_the_first_turn_a_worker_reads_no_more_than_it_imports(upload, monkeypatch) -> None:
    import_jobs.work_next()
    upload.refresh_from_db()
    assert upload.parsed is None
    assert [part.rows for part in upload.parts.all()] == [4, 2]
    real, read = stored.loads, []
    monkeypatch.setattr(stored, "loads", lambda data: read.append(real(data)) or read[-1])
    _work()
    assert [len(parsed.rows) for parsed in read] == [4, 2]
    assert not upload.parts.exists()


def test_what_an_undo_leaves_of_a_paused_file_is_nothing(upload, admin, as_user) -> None:
    import_jobs.work_next()
    import_jobs.pause(upload=upload)
    as_user(admin).post(f"{_page(upload)}job/", {"do": "undo"})
    _work()
    assert (Prompt.objects.count(), UploadPart.objects.count()) == (0, 0)


def test_a_killed_worker_resumes_behind_its_last_batch_and_nothing_is_there_twice(upload, monkeypatch) -> None:
    import_jobs.work_next()
    real = import_jobs.import_prompts

    def killed(**given):
        def stored(report):
            given["also"](report)
            raise KeyboardInterrupt

        real(**{**given, "also": stored})

    monkeypatch.setattr(import_jobs, "import_prompts", killed)
    with pytest.raises(KeyboardInterrupt):
        import_jobs.work_next()
    monkeypatch.setattr(import_jobs, "import_prompts", real)
    upload.refresh_from_db()
    assert (upload.status, upload.done, Prompt.objects.count()) == ("running", 4, 4)
    assert not import_jobs.work_next()  # another worker may still be at it
    PromptUpload.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=2))
    _work()
    upload.refresh_from_db()
    report = prompts.ImportReport.from_json(upload.report)
    assert (upload.status, report.taken, report.duplicates) == ("taken", 10, [])


def test_a_worker_that_fell_behind_never_owns_a_file_again(upload) -> None:
    """The first is away while another takes the file and puts it back, and a third has it."""
    files, claim = PromptUpload.objects.filter(pk=upload.pk), {"status": "running", "heartbeat_at": timezone.now()}
    behind = files.claim(**claim)
    files.update(heartbeat_at=timezone.now() - timedelta(minutes=2))
    assert import_jobs.work_next()
    third = files.claim(**claim)
    assert (files.still_ours(behind).exists(), files.still_ours(third).exists()) == (False, True)
    import_jobs._settle(behind, status=ImportStatus.FAILED)
    upload.refresh_from_db()
    assert (upload.status, upload.done) == ("running", 4)


def test_a_pause_rolls_the_running_batch_back_and_it_goes_on_later(upload, admin, as_user, monkeypatch) -> None:
    client, real = as_user(admin), import_jobs.import_prompts
    import_jobs.work_next()

    def paused_meanwhile(**given):
        def stored(report):
            PromptUpload.objects.update(status=ImportStatus.PAUSED)
            given["also"](report)

        return real(**{**given, "also": stored})

    monkeypatch.setattr(import_jobs, "import_prompts", paused_meanwhile)
    PromptUpload.objects.update(status=ImportStatus.QUEUED)
    import_jobs.work_next()
    assert Prompt.objects.count() == 4
    monkeypatch.setattr(import_jobs, "import_prompts", real)
    PromptUpload.objects.update(status=ImportStatus.QUEUED, attempt=0)
    client.post(f"{_page(upload)}job/", {"do": "pause"})
    assert "Paused" in client.get(_page(upload)).content.decode()
    assert not import_jobs.work_next()
    client.post(f"{_page(upload)}job/", {"do": "resume"})
    _work()
    assert Prompt.objects.count() == 10


def test_rows_of_one_prompt_are_never_parted() -> None:
    rows = [{"prompt": f"Q{number % 3}", "chosen": f"a{number}", "rejected": f"b{number}"} for number in range(9)]
    parsed = parse_prompts("".join(json.dumps(row) + "\n" for row in rows).encode(), "x.jsonl")
    with Spool(lambda row: Prompt.digest_of(row.messages)) as spool:
        spool.add(parsed)
        parts = [stored.loads(content) for _, content in spool.parts(4)]
        assert [[row.messages[0]["content"] for row in part.rows] for part in parts] == [
            ["Q0"] * 3 + ["Q1"] * 3,
            ["Q2"] * 3,
        ]
        assert [part.count["rows"] for part in parts] == [9, 3]  # the first has the counts of the file
    with Spool(lambda row: Prompt.digest_of(row.messages)) as spool:
        spool.add(parsed)
        assert [rows for rows, _ in spool.parts(4, behind=6)] == [3]


def test_an_import_is_undone_as_long_as_nobody_has_judged_any_of_it(upload, admin, annotator, as_user) -> None:
    client = as_user(admin)
    _work()
    assert "Undo this import" in client.get(_page(upload)).content.decode()
    seat = Assignment.objects.filter(task__kind="ranking").first()
    Assignment.objects.filter(pk=seat.pk).update(
        status="done", annotator=annotator, claimed_at=timezone.now(), finished_at=timezone.now()
    )
    page = client.post(f"{_page(upload)}job/", {"do": "undo"}, follow=True).content.decode()
    assert "Rows of this file are annotated" in page
    assert Prompt.objects.count() == 10


def test_undo_deletes_what_the_file_brought_and_nothing_else(project, upload, admin, as_user) -> None:
    parsed = parse_prompts(b'{"prompt": "Question 1?"}\n{"prompt": "Mine?"}\n', "x.jsonl")
    prompts.import_prompts(project=project, parsed=parsed, by=admin)
    _work()
    as_user(admin).post(f"{_page(upload)}job/", {"do": "undo"})
    _work()
    upload.refresh_from_db()
    assert upload.status == "undone"
    assert sorted(prompt.last_message for prompt in Prompt.objects.all()) == ["Mine?", "Question 1?"]
    left = (Completion, ImportedJudgment, Task.objects.filter(kind="ranking").model)
    assert [kind.objects.count() for kind in left] == [0, 0, 0]
    assert "are deleted" in as_user(admin).get(_page(upload)).content.decode()


def test_labelled_texts_are_imported_in_batches_and_undone_too(project, admin) -> None:
    parsed = parse_prompts("".join(f'{{"text": "t{n}", "label": "a"}}\n' for n in range(9)).encode(), "x.jsonl")
    upload = PromptUpload.objects.create(project=project, uploaded_by=admin, filename="x.jsonl", content=b"")
    import_jobs.queue(upload=upload, parsed=parsed)
    _work()
    assert ImportedLabel.objects.count() == 9
    import_jobs.undo(upload=upload)
    _work()
    assert ImportedLabel.objects.count() == 0


def test_only_an_admin_who_uploaded_it_moves_it(upload, annotator, as_user) -> None:
    assert as_user(annotator).post(f"{_page(upload)}job/", {"do": "pause"}).status_code in (403, 404)


def test_a_file_that_nobody_takes_is_deleted_after_a_week_and_nothing_else_is(project, admin, as_user) -> None:
    client = as_user(admin)

    def uploaded(name: str, days: float, **changes: object) -> str:
        content = json.dumps({"prompt": f"A question of {name}?"}).encode()
        page = client.post(f"/projects/{project.slug}/prompts/", {"file": SimpleUploadedFile(f"{name}.jsonl", content)})
        of = PromptUpload.objects.filter(filename=f"{name}.jsonl")
        of.update(created_at=timezone.now() - timedelta(days=days), **changes)
        return page.url

    old, new = uploaded("old", 7.1), uploaded("new", 6.9)
    taken = uploaded("taken", 0)
    client.post(f"{taken}take/")
    PromptUpload.objects.filter(filename="taken.jsonl").update(created_at=timezone.now() - timedelta(days=70))
    for status in (ImportStatus.PAUSED, ImportStatus.FAILED, ImportStatus.UNDONE):
        uploaded(status, 70, status=status)
    assert "is not imported within 7 days is deleted" in client.get(old).content.decode()

    work_beside_runs()
    left = set(PromptUpload.objects.values_list("filename", flat=True))
    assert left == {"new.jsonl", "taken.jsonl", "paused.jsonl", "failed.jsonl", "undone.jsonl"}
    assert client.get(old).status_code == client.post(f"{old}take/").status_code == 404
    assert client.post(f"{new}take/").status_code == 302
    assert {prompt.last_message for prompt in Prompt.objects.all()} == {"A question of new?", "A question of taken?"}


def test_many_that_nobody_takes_go_bit_by_bit_and_without_being_read(project, admin, monkeypatch) -> None:
    monkeypatch.setattr(import_jobs, "PREVIEWS_AT_ONCE", 2)
    for number in range(5):
        PromptUpload.objects.create(project=project, uploaded_by=admin, filename=str(number), content=b"x" * 1000)
    PromptUpload.objects.update(created_at=timezone.now() - timedelta(days=8))
    with CaptureQueriesContext(connection) as asked:
        assert [import_jobs.forget_previews() for _ in range(4)] == [2, 2, 1, 0]
    assert not [query for query in asked.captured_queries if '"content"' in query["sql"]]


def test_the_api_hands_a_large_file_to_a_worker_and_says_where_to_look(project, admin, as_user) -> None:
    client, api = as_user(admin), f"/api/v1/projects/{project.slug}"
    content = "".join(json.dumps(row) + "\n" for row in _rows(10)).encode()
    answer = client.post(f"{api}/prompts/", {"file": SimpleUploadedFile("rows.jsonl", content)})
    assert (answer.status_code, answer.json()["status"], answer.json()["rows"]) == (202, "queued", 10)
    assert answer.headers["Location"] == answer.json()["url"]
    assert Prompt.objects.count() == 0
    import_jobs.work_next()
    job = client.get(answer.json()["url"]).json()
    assert (job["done"], job["report"]) == (4, None)
    _work()
    job = client.get(answer.json()["url"]).json()
    assert (job["status"], job["report"]["taken"], job["report"]["pairs"]) == ("taken", 10, 5)
    small = SimpleUploadedFile("few.jsonl", b'{"text": "One more?"}\n')
    assert client.post(f"{api}/prompts/", {"file": small}).status_code == 201
    assert [each["filename"] for each in client.get(f"{api}/imports/").json()["results"]] == ["rows.jsonl", "few.jsonl"]


def test_an_import_that_failed_half_way_can_be_undone(upload, admin, as_user, monkeypatch) -> None:
    real = import_jobs.import_prompts
    import_jobs.work_next()

    def broken(**given):
        raise OSError("the disk is full")

    monkeypatch.setattr(import_jobs, "import_prompts", broken)
    import_jobs.work_next()
    monkeypatch.setattr(import_jobs, "import_prompts", real)
    upload.refresh_from_db()
    assert (upload.status, Prompt.objects.count()) == (ImportStatus.FAILED, 4)
    client = as_user(admin)
    page = client.get(_page(upload)).content.decode()
    assert "the disk is full" in page
    assert "Resume" in page
    client.post(f"{_page(upload)}job/", {"do": "undo"})
    _work()
    upload.refresh_from_db()
    assert (upload.status, upload.error, Prompt.objects.count()) == (ImportStatus.UNDONE, "", 0)
    assert Completion.objects.count() == ImportedJudgment.objects.count() == Task.objects.count() == 0


def test_what_the_command_imported_is_on_the_page_and_can_be_undone(project, admin, as_user, tmp_path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in _rows(6)), "utf-8")
    call_command("import_prompts", str(path), "--project", project.slug, stdout=io.StringIO(), stderr=io.StringIO())
    upload = PromptUpload.objects.get()
    client = as_user(admin)
    assert _page(upload) in client.get(f"/projects/{project.slug}/prompts/").content.decode()
    assert "6 prompts imported" in client.get(_page(upload)).content.decode()
    call_command("import_prompts", str(path), "--project", project.slug, stdout=io.StringIO(), stderr=io.StringIO())
    assert PromptUpload.objects.count() == 1  # nothing new, no second record
    client.post(f"{_page(upload)}job/", {"do": "undo"})
    _work()
    upload.refresh_from_db()
    assert (upload.status, Prompt.objects.count(), ImportedJudgment.objects.count()) == (ImportStatus.UNDONE, 0, 0)


def test_a_command_that_was_stopped_goes_on_by_the_command_alone(project, admin, as_user) -> None:
    upload = import_jobs.begin(project=project, filename="rows.jsonl", reading=Reading())
    parsed = parse_prompts(b'{"text": "One?"}\n', "rows.jsonl")
    report = prompts.import_prompts(project=project, parsed=parsed, by=None, upload=upload)
    import_jobs.note(upload=upload, report=report)
    client = as_user(admin)
    page = client.get(_page(upload)).content.decode()
    assert "run the same command again" in page
    assert "Resume" not in page
    client.post(f"{_page(upload)}job/", {"do": "resume"})
    assert not import_jobs.work_next()
    client.post(f"{_page(upload)}job/", {"do": "undo"})
    _work()
    assert Prompt.objects.count() == 0


def test_a_dry_run_needs_no_project(tmp_path) -> None:
    path, out = tmp_path / "rows.jsonl", io.StringIO()
    path.write_text("".join(json.dumps(row) + "\n" for row in [*_rows(6), {"text": "x", "label": "good"}]), "utf-8")
    call_command("import_prompts", str(path), "--dry-run", "--json", stdout=out, stderr=io.StringIO())
    report = json.loads(out.getvalue())
    assert {name: report[name] for name in ("rows", "taken", "duplicate", "refused", "pairs", "votes", "labels")} == {
        "rows": 7,
        "taken": 7,
        "duplicate": 0,
        "refused": 0,
        "pairs": 3,
        "votes": 3,
        "labels": 1,
    }
    assert report["not_used"] == {}
    assert report["shape"] == "Prefloop rows, TRL preference, Text and label"
    with pytest.raises(CommandError, match="--project SLUG"):
        call_command("import_prompts", str(path), stdout=out)
