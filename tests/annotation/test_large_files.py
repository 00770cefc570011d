"""Files that are too large for memory: read piece by piece, their first rows shown, the rest cut by a worker."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import tracemalloc
import zipfile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection

from annotation.actions import import_jobs, import_parts, import_reports, table_statistics, upload_contents
from annotation.actions.import_reports import ImportReport
from annotation.actions.prompts import import_prompts
from annotation.imports import RefusedRow, UnreadableFile, batches, parse_prompts
from annotation.imports.reading import STREAMED, read_rows
from annotation.models import Completion, Prompt, PromptUpload, Task, UploadChunk, UploadPart
from annotation.models.claim import in_turn

PROMPTS = "/projects/letters/prompts/"
API = "/api/v1/projects/letters"
ROWS = [
    {"prompt": "Why\n“so”, then?", "chosen": "Because é.", "rejected": "No, 𝕏."},
    {"prompt": "Wie, bitte?", "chosen": "So\r\nund so.", "rejected": "[1, 2"},
    {"prompt": "Third?", "chosen": "Yes } ] ,", "rejected": 'No { [ \\ "'},
]


def jsonl(rows: list[dict]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def table(rows: list[dict]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def as_parquet(rows: list[dict]) -> bytes:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), file, row_group_size=1)
    return file.getvalue()


@pytest.mark.parametrize("piece", [4, 7, 64])
def test_read_in_small_pieces_each_format_has_the_same_rows(monkeypatch, piece) -> None:
    monkeypatch.setattr("annotation.imports.text.PIECE", piece)
    monkeypatch.setattr("annotation.imports.json_rows.PIECE", piece)
    pretty = json.dumps(ROWS, indent=2, ensure_ascii=False).encode()
    files = {
        "a.jsonl": jsonl(ROWS),
        "crlf.jsonl": jsonl(ROWS).replace(b"\n", b"\r\n").rstrip(),
        "mark.jsonl": codecs.BOM_UTF8 + jsonl(ROWS),
        "utf16.jsonl": codecs.BOM_UTF16_LE + jsonl(ROWS).decode().encode("utf-16-le"),
        "list.json": pretty,
        "line.json": json.dumps(ROWS).encode(),
        "lines.json": jsonl(ROWS),
        "object.json": json.dumps({"data": ROWS}, indent=1).encode(),
        "a.csv": codecs.BOM_UTF8 + table(ROWS),
        "a.jsonl.gz": gzip.compress(jsonl(ROWS)),
        "a.zip": zipped("in/a.json", pretty),
        "a.parquet": as_parquet(ROWS),
        "b.zip": zipped("a.parquet", as_parquet(ROWS)),
    }
    for name, content in files.items():
        if piece < 64 and name.startswith("a.csv"):
            continue  # the first piece must hold the header
        (parsed,) = batches.parse_batches(io.BytesIO(content), name)
        found = [(row.messages[0]["content"], *row.completions) for row in parsed.rows]
        wanted = [(row["prompt"], row["chosen"].replace("\r", ""), row["rejected"]) for row in ROWS]
        assert found == wanted, name
        lines = [row.line for row in parsed.rows]
        assert lines == {"list.json": [2, 7, 12], "a.zip": [2, 7, 12], "a.csv": [2, 4, 6], "line.json": [1, 1, 1]}.get(
            name, [1, 2, 3]
        ), name


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.jsonl", jsonl(ROWS) + b"\xff", "on line 4, is not valid UTF-8"),
        ("a.json", json.dumps(ROWS, indent=2).encode()[:-4], "In the list item on line 12: broken JSON"),
        ("a.json", json.dumps(ROWS).encode() + b"x", "more text after the end of the list, on line 1"),
        ("a.jsonl.gz", gzip.compress(jsonl(ROWS))[:-9], "is not whole gzip"),
    ],
)
def test_read_in_small_pieces_a_broken_file_says_the_same(monkeypatch, name, content, problem) -> None:
    with pytest.raises(UnreadableFile) as whole:
        parse_prompts(content, name)
    assert problem in str(whole.value)
    monkeypatch.setattr("annotation.imports.text.PIECE", 5)
    monkeypatch.setattr("annotation.imports.json_rows.PIECE", 5)
    with pytest.raises(UnreadableFile) as pieces:
        list(batches.parse_batches(io.BytesIO(content), name))
    assert str(pieces.value) == str(whole.value)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv"])
def test_the_memory_of_reading_does_not_grow_with_the_file(name, monkeypatch) -> None:
    monkeypatch.setattr("annotation.imports.text.PIECE", 2**16)
    monkeypatch.setattr("annotation.imports.json_rows.PIECE", 2**16)
    rows = [{"prompt": f"Question {number} " + "word " * 60} for number in range(10_000)]
    made = {"rows.jsonl": jsonl, "rows.json": lambda rows: json.dumps(rows).encode(), "rows.csv": table}[name](rows)
    packed = gzip.compress(made)
    assert len(made) > 3_000_000
    tracemalloc.start()
    count = sum(1 for _ in read_rows(io.BytesIO(packed), f"{name}.gz", limits=STREAMED))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (count, peak < 1_500_000) == (10_000, True), peak


@pytest.mark.parametrize("limit", [64, 4096])
@pytest.mark.parametrize("indent", [None, 1])
def test_an_object_that_is_too_long_is_read_row_by_row(monkeypatch, limit, indent) -> None:
    monkeypatch.setattr("annotation.imports.text.PIECE", 16)
    monkeypatch.setattr("annotation.imports.json_rows.PIECE", 16)
    monkeypatch.setattr("annotation.imports.json_rows.MAX_OBJECT", limit)

    def read(held: dict, **how: object) -> list[tuple[int, dict]]:
        content = json.dumps(held, indent=indent, ensure_ascii=False).encode()
        return [(row.line, row.fields) for row in read_rows(io.BytesIO(content), "a.json", **how)]

    numbered = list(enumerate(ROWS, start=1))
    features = [{"name": "prompt", "type": {"dtype": "string"}}]
    assert read({"data": ROWS}) == read({"version": 1.5, "name": 'of "data"', "data": ROWS, "end": None}) == numbered
    assert (
        read({"features": features, "rows": [{"row_idx": 7, "row": row} for row in ROWS], "partial": False}) == numbered
    )
    assert read({"train": ROWS[:1], "test": ROWS[1:]}) == numbered
    briefly = {"license": "MIT", "system": "Be brief.", "data": ROWS}
    assert read(briefly) == [(at, {"file.system": "Be brief.", **row}) for at, row in numbered]
    problems = {
        "two lists of rows": {"data": ROWS, "items": ROWS},
        "behind the rows of the file": {"data": ROWS, "system": "Be brief."},
        "that has no list of rows": {"some": {"rows": ROWS}, "more": ["x" * 5000]},
    }
    monkeypatch.setattr("annotation.imports.json_rows.MAX_LINE", 1000)
    monkeypatch.setattr("annotation.imports.json_rows.MAX_OBJECT", 64)
    for problem, held in problems.items():
        with pytest.raises(UnreadableFile, match=problem):
            read(held)
    whole = json.dumps({"data": ROWS}, indent=indent).encode()
    for content, problem in ((whole[:-4], "broken JSON|lacks a comma"), (whole + b"x", "after the end of the object")):
        with pytest.raises(UnreadableFile, match=problem):
            list(read_rows(io.BytesIO(content), "a.json"))


def test_conversations_in_rows_are_put_together_wherever_they_stand(monkeypatch) -> None:
    monkeypatch.setattr(batches, "ROWS_AT_ONCE", 3)
    monkeypatch.setattr(batches, "MAX_ROWS", 4)  # that would be in memory together

    def message(tree: int, name: str, role: str, text: str, parent: str | None = None, **more: object) -> dict:
        about = {
            "message_id": f"{tree}{name}",
            "parent_id": parent and f"{tree}{parent}",
            "message_tree_id": f"t{tree}",
        }
        return about | {"role": role, "text": text} | more

    questions = [message(at, "q", "prompter", f"Question {at}?") for at in range(5)]
    answers = [
        message(at, name, "assistant", f"{name} {at}", "q", rank=rank)
        for at in range(5)
        for rank, name in enumerate("ab")
    ]
    rows = [*questions, *reversed(answers), message(9, "a", "assistant", "Of nothing.", "q")]
    found = list(batches.parse_batches(io.BytesIO(jsonl(rows)), "m.jsonl"))
    assert len(found) > 2
    prompts = [row for parsed in found for row in parsed.rows]
    assert [row.messages[0]["content"] for row in prompts] == [f"Question {at}?" for at in range(5)]
    assert [(pair.chosen, pair.rejected) for row in prompts for pair in row.pairs] == [
        (f"a {at}", f"b {at}") for at in range(5)
    ]
    (refused,) = [row for parsed in found for row in parsed.refused]
    assert (refused.line, "parent_id) is not in the file" in refused.reason) == (16, True)
    asked = [
        {"custom_id": f"r{at}", "body": {"messages": [{"role": "user", "content": f"Why {at}?"}]}} for at in range(5)
    ]
    answered = [
        {
            "custom_id": f"r{at}",
            "response": {"body": {"choices": [{"message": {"role": "assistant", "content": "So."}}]}},
        }
        for at in reversed(range(5))
    ]
    found = list(batches.parse_batches(io.BytesIO(jsonl([*asked, *answered])), "b.jsonl"))
    assert [row.completions for parsed in found for row in parsed.rows] == [("So.",)] * 5
    nameless = [{name: value for name, value in row.items() if name != "message_tree_id"} for row in rows]
    with pytest.raises(UnreadableFile, match="none says of which conversation"):
        list(batches.parse_batches(io.BytesIO(jsonl(nameless)), "m.jsonl"))


# --- page, API and worker --------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch) -> None:
    """Files of more than three rows are large, and chunks have 100 bytes."""
    monkeypatch.setattr(batches, "FIRST_ROWS", 3)
    monkeypatch.setattr(batches, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(upload_contents, "CHUNK", 100)
    monkeypatch.setattr(import_parts, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(import_jobs, "WORKS_FOR_SECONDS", 0.0)


def questions(count: int) -> list[dict]:
    return [{"prompt": f"Question {number}?", "completions": [f"Yes {number}.", "No."]} for number in range(count)]


@pytest.mark.django_db
def test_a_batch_costs_as_much_in_a_large_project_as_in_a_small_one(project, monkeypatch) -> None:
    """In instructions of SQLite's virtual machine, for rows with answers and for rows with votes of known prompts."""
    if connection.vendor != "sqlite":
        pytest.skip("counts SQLite's instructions")

    def steps(rows: list[dict]) -> int:
        counted: list[int] = []
        connection.connection.set_progress_handler(lambda: counted.append(1), 100)
        try:
            assert import_prompts(project=project, parsed=parse_prompts(jsonl(rows), "p.jsonl"), by=None).taken == 50
        finally:
            connection.connection.set_progress_handler(None, 0)
        return len(counted)

    def voted(rows: list[dict]) -> list[dict]:
        return [{**row, "chosen": "Yes.", "rejected": "No."} for row in rows]

    first, second = ([{"prompt": f"{name} {number}?"} for number in range(50)] for name in ("First", "Second"))
    small = [steps(first), steps(voted(first))]
    texts = [[{"role": "user", "content": f"Of many {number}"}] for number in range(3000)]
    Prompt.objects.bulk_create(
        Prompt(project=project, messages=text, digest=Prompt.digest_of(text), split="train") for text in texts
    )
    monkeypatch.setattr(table_statistics, "_known_at", {})
    table_statistics.refresh()
    large = [steps(second), steps(voted(second))]
    assert all(after < 1.5 * before for before, after in zip(small, large, strict=True)), (small, large)


def work() -> None:
    for _ in range(30):
        if not import_jobs.work_next():
            return
    raise AssertionError("the worker does not come to an end")


def put(client, content: bytes, name: str = "rows.jsonl") -> str:
    return client.post(PROMPTS, {"file": SimpleUploadedFile(name, content)}).headers["Location"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "pack"),
    [("rows.jsonl", bytes), ("rows.jsonl.gz", gzip.compress), ("rows.zip", lambda data: zipped("r.jsonl", data))],
)
def test_the_page_shows_the_first_rows_and_a_worker_takes_all(project, admin, as_user, small, name, pack) -> None:
    client = as_user(admin)
    rows = [*questions(9), {"prompt": ""}, {"prompt": "Question 1?", "completions": ["Yes 1.", "Perhaps."]}]
    address = put(client, pack(jsonl(rows)), name)
    page = client.get(address).content.decode()
    assert "Preview of the first 3 rows" in page
    assert "Import the whole file" in page
    if name == "rows.jsonl":
        assert UploadChunk.objects.count() == -(-len(jsonl(rows)) // 100)
    client.post(f"{address}take/")
    assert "Waiting" in client.get(address).content.decode()
    work()
    assert "9 of 9" not in client.get(address).content.decode()
    upload = PromptUpload.objects.get()
    report = ImportReport.from_json(upload.report)
    assert (upload.status, report.rows, report.taken, report.tasks) == ("taken", 11, 10, 9)
    assert [row.line for row in report.refused] == [10]
    assert (Prompt.objects.count(), Task.objects.count()) == (9, 9)
    # All answers to a question are compared, wherever in the file they stand.
    task = Task.objects.get(prompt=Prompt.objects.all()[1])
    assert {each.text for each in Completion.objects.filter(tasks=task)} == {"Yes 1.", "No.", "Perhaps."}
    assert (UploadChunk.objects.count(), UploadPart.objects.count(), bytes(upload.content)) == (0, 0, b"")


@pytest.mark.django_db
def test_a_small_file_of_many_rows_is_taken_whole(project, admin, as_user, small, monkeypatch) -> None:
    monkeypatch.setattr(upload_contents, "CHUNK", 100_000)
    client = as_user(admin)
    address = put(client, jsonl(questions(9)))
    assert "Preview of the first 3 rows" in client.get(address).content.decode()
    assert not UploadChunk.objects.exists()
    client.post(f"{address}take/")
    file = SimpleUploadedFile("more.jsonl", jsonl([{"prompt": f"More {number}?"} for number in range(7)]))
    assert client.post(f"{API}/prompts/", {"file": file}).status_code == 202
    work()
    uploads = PromptUpload.objects.order_by("pk")
    assert [(each.status, ImportReport.from_json(each.report).taken) for each in uploads] == [
        ("taken", 9),
        ("taken", 7),
    ]
    assert Prompt.objects.count() == 16
    assert [bytes(each.content) for each in uploads] == [b"", b""]


@pytest.mark.django_db
def test_a_large_file_comes_back_where_later_rows_have_fields_that_look_like_votes(
    project, admin, as_user, small
) -> None:
    client = as_user(admin)
    rows = questions(5)
    rows[4]["verdict"] = "the first"
    address = put(client, jsonl(rows))
    client.post(f"{address}take/")
    work()
    page = client.get(address).content.decode()
    assert "Nothing is imported yet" in page
    assert "<code>verdict</code>" in page
    assert (Prompt.objects.count(), UploadPart.objects.count()) == (0, 0)
    client.post(f"{address}take/")  # it was seen: without that row, then
    work()
    assert Prompt.objects.count() == 4
    report = ImportReport.from_json(PromptUpload.objects.get().report)
    assert (report.taken, [row.line for row in report.refused], dict(report.stopping)) == (4, [5], {"verdict": 1})


@pytest.mark.django_db
def test_a_large_file_with_late_fields_is_mapped_and_taken(project, admin, as_user, small) -> None:
    client = as_user(admin)
    rows = questions(5)
    rows[4]["verdict"] = "the first"
    address = put(client, jsonl(rows))
    client.post(f"{address}take/")
    work()
    client.post(address, {"ignore": ["verdict"]})
    assert "Nothing is imported yet" not in client.get(address).content.decode()
    client.post(f"{address}take/")
    work()
    assert Prompt.objects.count() == 5


@pytest.mark.django_db
def test_of_a_large_file_that_breaks_off_nothing_is_imported(project, admin, as_user, small, monkeypatch) -> None:
    monkeypatch.setattr("annotation.imports.text.PIECE", 64)
    client = as_user(admin)
    address = put(client, jsonl(questions(9)) + b'{"prompt": "caf\xe9"}')
    client.post(f"{address}take/")
    work()
    upload = PromptUpload.objects.get()
    assert upload.status == "failed"
    assert "on line 10, is not valid UTF-8" in client.get(address).content.decode()
    assert Prompt.objects.count() == 0


@pytest.mark.django_db
def test_a_worker_that_stops_while_it_reads_leaves_the_file_to_another_one(project, admin, as_user, small) -> None:
    client = as_user(admin)
    address = put(client, jsonl(questions(9)))
    client.post(f"{address}take/")
    asked: list[int] = []
    import_jobs.work_next(lambda: len(asked) > 2 or asked.append(1) is not None)
    upload = PromptUpload.objects.get()
    assert (upload.status, in_turn(upload.attempt), UploadPart.objects.count()) == ("queued", 0, 0)
    assert "rows so far" in client.get(address).content.decode()
    work()
    assert Prompt.objects.count() == 9


@pytest.mark.django_db
def test_the_api_pauses_resumes_and_undoes_a_large_file(project, admin, annotator, as_user, small) -> None:
    client = as_user(admin)
    dry = client.post(f"{API}/prompts/", {"file": SimpleUploadedFile("r.jsonl", jsonl(questions(9))), "dry_run": "1"})
    assert (dry.json()["whole"], dry.json()["rows"]) == (False, 3)
    sent = client.post(f"{API}/prompts/", {"file": SimpleUploadedFile("r.jsonl", jsonl(questions(9)))})
    job = sent.json()
    assert (sent.status_code, job["status"], job["is_read"], job["so_far"]) == (202, "queued", False, None)
    address = sent.headers["Location"]
    import_jobs.work_next()
    job = client.get(address).json()
    assert (job["rows"], job["done"], job["percent"], job["so_far"]["taken"], job["is_read"]) == (9, 4, 44, 4, True)
    job = client.post(f"{address}pause/").json()
    assert (job["status"], job["can_pause"], job["can_resume"], job["can_undo"]) == ("paused", False, True, True)
    assert not import_jobs.work_next()
    assert client.post(f"{address}resume/").json()["status"] == "queued"
    work()
    job = client.get(address).json()
    assert (job["status"], job["report"]["taken"], job["so_far"]) == ("taken", 9, None)
    assert as_user(annotator).post(f"{address}undo/").status_code == 403
    assert client.post(f"{address}undo/").json()["status"] == "undoing"
    work()
    assert (client.get(address).json()["status"], Prompt.objects.count()) == ("undone", 0)
    assert client.post(f"{address}resume/").status_code == 409


def test_of_very_many_refused_rows_the_first_are_listed_and_all_are_counted(monkeypatch) -> None:
    monkeypatch.setattr(import_reports, "LISTED", 3)
    total = ImportReport()
    for start in (0, 2, 4):
        total.add(ImportReport(rows=2, refused=[RefusedRow(start + 1, "x"), RefusedRow(start + 2, "x")]))
    again = ImportReport.from_json(total.as_json())
    assert ([row.line for row in again.refused], again.refused_count, again.rows) == ([1, 2, 3], 6, 6)
    assert again.as_csv().splitlines()[-1] == ',refused,"and 3 more rows, which are not listed"'
    assert again.for_machines()["refused"] == 6
