"""What files bring beside prompts: answers, preferences and labels, in the shapes of other tools; and bad files."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command

from annotation import imports
from annotation.imports import PairRow, UnreadableFile, parse_prompts
from annotation.imports.packed import FileLimits
from annotation.models import Completion, ImportedJudgment, ImportedLabel, Prompt, PromptUpload, Ranking, Task

pytestmark = [pytest.mark.django_db, pytest.mark.database]

API = "/api/v1/projects/letters"
ASKED = {"role": "user", "content": "Say hello."}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def jsonl(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def send(client, content: bytes, name: str = "rows.jsonl", **fields):
    return client.post(f"{API}/prompts/", {"file": SimpleUploadedFile(name, content), **fields})


HH = {
    "chosen": "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Say hello.\n\nAssistant: Hello!",
    "rejected": "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Say hello.\n\nAssistant: No.",
}
TREE = {
    "message_tree_id": "t",
    "prompt": {
        "role": "prompter",
        "text": "Say hello.",
        "message_id": "q",
        "replies": [
            {"role": "assistant", "text": "No.", "rank": 1, "replies": []},
            {"role": "assistant", "text": "Gone.", "rank": 2, "deleted": True},
            {
                "role": "assistant",
                "text": "Hello!",
                "rank": 0,
                "replies": [
                    {"role": "prompter", "text": "Louder.", "message_id": "q2", "replies": []},
                ],
            },
        ],
    },
}
LABEL_STUDIO_PAIR = {
    "id": 7,
    "data": {"prompt": "Say hello.", "answer1": "No.", "answer2": "Hello!"},
    "annotations": [{"result": [{"type": "pairwise", "to_name": "answer1,answer2", "value": {"selected": "right"}}]}],
}
LABEL_STUDIO_ORDER = {
    "id": 8,
    "data": {"prompt": "Say hello.", "items": [{"id": "a", "body": "No."}, {"id": "b", "body": "Hello!"}]},
    "annotations": [{"result": [{"value": {"ranker": {"rank": ["b", "a"]}}}]}],
}
ARGILLA = {
    "id": "r1",
    "fields": {"instruction": "Say hello.", "response-1": "No.", "response-2": "Hello!"},
    "responses": {"order": [{"value": [{"value": "response-2", "rank": 1}, {"value": "response-1", "rank": 2}]}]},
}


@pytest.mark.parametrize(
    ("row", "messages"),
    [
        ({"prompt": "Say hello.", "chosen": "Hello!", "rejected": "No."}, [ASKED]),
        ({"prompt": [ASKED], "chosen": [said("Hello!")], "rejected": [said("No.")]}, [ASKED]),
        ({"chosen": [ASKED, said("Hello!")], "rejected": [ASKED, said("No.")]}, [ASKED]),
        (HH, [{"role": "user", "content": "Hi"}, said("Hello."), ASKED]),
        (TREE, [ASKED]),
        (LABEL_STUDIO_PAIR, [ASKED]),
        (LABEL_STUDIO_ORDER, [ASKED]),
        (ARGILLA, [ASKED]),
    ],
    ids=[
        "TRL text",
        "TRL messages",
        "TRL implicit",
        "HH",
        "OASST",
        "Label Studio pair",
        "Label Studio order",
        "Argilla",
    ],
)
def test_a_preference_in_the_words_of_many_tools(row, messages):
    parsed = parse_prompts(jsonl(row), "rows.jsonl")
    assert parsed.refused == []
    assert parsed.rows[0].messages == messages
    assert parsed.rows[0].pairs == (PairRow("Hello!", "No."),)


def test_a_tree_gives_each_of_its_questions():
    first, second = parse_prompts(jsonl(TREE), "rows.jsonl").rows
    assert (first.external_id, first.completions) == ("q", ("No.", "Hello!"))
    assert second.messages == [ASKED, said("Hello!"), {"role": "user", "content": "Louder."}]
    assert second.pairs == second.completions == ()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "Hi", "chosen": "Same.", "rejected": " Same. "}, "the same text"),
        ({"prompt": "Hi", "chosen": "One."}, 'no "rejected"'),
        ({"prompt": "Hi", "chosen": True, "rejected": "No."}, '"chosen" is true or false'),
        ({"prompt": "Hi", "chosen": "Yes.", "rejected": ""}, '"rejected" is empty'),
        ({"prompt": "Hi", "chosen": "Yes.", "rejected": "No.", "margin": "wide"}, "is no number"),
        ({"prompt": "Hi", "chosen": "Yes.", "rejected": "No.", "margin": True}, "is no number"),
        ({"prompt": "Hi", "chosen": [{"role": "user", "content": "x"}], "rejected": "No."}, "should be assistant"),
        ({"chosen": HH["chosen"], "rejected": "\n\nHuman: Other\n\nAssistant: No."}, "part before the last answer"),
        ({"chosen": HH["chosen"], "rejected": "\n\nHuman: Other"}, "does not end with an answer"),
        ({"messages": [{"role": "critic", "content": "x"}]}, "which is unknown"),
        ({"prompt": "Hi", "completions": "One."}, '"completions" is text'),
        ({"prompt": "Hi", "completions": ["One.", False]}, "answer 2 of the row is true or false"),
        ({"message_tree_id": "t", "prompt": {"role": "judge", "text": "Hi"}}, "role 'judge'"),
        ({"message_tree_id": "t", "prompt": {"role": "prompter", "text": "Hi", "replies": 3}}, "another tool"),
        ({"data": {"prompt": "Hi"}, "annotations": [{"result": [{"value": {"selected": "left"}}]}]}, "answer1"),
    ],
)
def test_rows_that_are_no_preference_are_refused_with_the_reason(row, reason):
    parsed = parse_prompts(jsonl({"text": "Fine."}, row), "rows.jsonl")
    assert len(parsed.rows) == 1
    assert parsed.refused[0].line == 2
    assert reason in parsed.refused[0].reason


def test_a_preference_counts_as_imported_and_never_as_an_annotators(project, admin, as_user):
    client = as_user(admin)
    report = send(client, jsonl({"prompt": "Say hello.", "chosen": "Hello!", "rejected": "No.", "margin": 0.25})).json()
    assert (report["taken"], report["answers"], report["pairs"], report["tasks"]) == (1, 2, 1, 0)
    assert Ranking.objects.count() == Task.objects.count() == 0
    for type in ("preference", "ranking", "judgments"):
        client.post(f"{API}/snapshots/", {"type": type}, content_type="application/json")
    pair, ranking, judgment = (
        json.loads(client.get(f"{API}/snapshots/{number}/download/").getvalue()) for number in (1, 2, 3)
    )
    assert (pair["chosen"], pair["rejected"]) == ([said("Hello!")], [said("No.")])
    assert (pair["source"], pair["margin"], pair["votes_for"]) == ("imported", 0.25, 1)
    (vote,) = ranking["rankings"]
    assert (vote["tiers"], vote["unacceptable"], vote["weight"], vote["margin"]) == ([[0], [1]], [], 1.0, 0.25)
    assert vote["annotator"] == "imported"
    assert (judgment["annotator"], judgment["source"]) == ("imported", "imported")
    card = client.get(f"{API}/snapshots/1/card/").json()
    assert card["people"] == {"imported": 1}


def test_the_same_preference_again_is_a_duplicate_and_its_reverse_another_judgment(project, admin, as_user):
    client = as_user(admin)
    row = {"prompt": "Say hello.", "chosen": "Hello!", "rejected": "No."}
    send(client, jsonl(row))
    report = send(client, jsonl(row, row, {**row, "chosen": "No.", "rejected": "Hello!"})).json()
    assert (report["taken"], report["answers"], report["pairs"]) == (1, 0, 1)
    assert [each["line"] for each in report["duplicates"]] == [1, 2]
    assert ImportedJudgment.objects.count() == 2
    assert Completion.objects.count() == 2


def test_prompts_that_come_with_answers_become_ranking_tasks_once(project, admin, annotator, as_user):
    row = {"text": "Say hello.", "completions": ["Hello!", "No.", "Hello!"]}
    assert send(as_user(admin), jsonl(row)).json()["tasks"] == 1
    assert send(as_user(admin), jsonl(row)).json()["taken"] == 0
    seat = as_user(annotator).post(f"{API}/tasks/claim/").json()
    assert sorted(each["text"] for each in seat["candidates"]) == ["Hello!", "No."]
    assert Task.objects.count() == 1


def test_labelled_texts_become_a_classification_snapshot(project, admin, as_user):
    client = as_user(admin)
    content = b"text,label\nLovely.,good\nAwful.,bad\nLovely.,good\nAwful.,good\n,bad\nFine,\n"
    report = send(client, content, "rows.csv", labels="true").json()
    assert report["taken"] == ImportedLabel.objects.count() == 2
    assert [each["line"] for each in report["duplicates"]] == [4]
    assert [(each["line"], each["reason"].split(";")[0]) for each in report["refused"]] == [
        (5, "the text is labelled 'bad' already"),
        (6, '"text" is empty'),
        (7, '"label" is empty'),
    ]
    client.post(f"{API}/snapshots/", {"type": "classification"}, content_type="application/json")
    rows = [json.loads(line) for line in client.get(f"{API}/snapshots/1/download/").getvalue().splitlines()]
    assert [(row["text"], row["label"], row["source"]) for row in rows] == [
        ("Lovely.", "good", "imported"),
        ("Awful.", "bad", "imported"),
    ]
    assert Prompt.objects.count() == 0


def test_a_dry_run_says_what_would_happen_and_takes_nothing(project, admin, as_user, tmp_path: Path):
    answer = send(as_user(admin), jsonl({"text": "One."}, {"text": ""}), dry_run="true")
    assert (answer.status_code, answer.json()["taken"], len(answer.json()["refused"])) == (200, 1, 1)
    path, out = tmp_path / "rows.jsonl", io.StringIO()
    path.write_bytes(jsonl({"text": "One."}))
    call_command("import_prompts", path, "--dry-run", project="letters", stdout=out)
    assert out.getvalue() == "1 taken, 0 duplicate, 0 refused (nothing was taken: dry run)\n"
    assert Prompt.objects.count() == 0


def test_columns_with_other_names_are_chosen_in_the_preview(project, admin, as_user):
    client = as_user(admin)
    content = b"Question;first;weak\nSay hello.;Hello!;No.\n"
    sent = client.post("/projects/letters/prompts/", {"file": SimpleUploadedFile("a.csv", content)})
    address = sent.headers["Location"]
    page = client.get(address).content.decode()
    assert "The first row must name the columns" in page
    assert '<option value="question">' in page
    client.post(address, {"text": "question", "chosen": "first", "rejected": "weak"})
    assert client.get(address).context["report"].pairs == 1
    refused = client.post(address, {"text": "elsewhere"}).content.decode()
    assert "not one of the available choices" in refused
    client.post(f"{address}take/")
    best = ImportedJudgment.objects.get().tiers[0]
    assert Completion.objects.get(pk__in=best).text == "Hello!"
    over_api = send(client, b"question\nAnother one?\n", "b.csv", **{"mapping.text": "question"})
    assert over_api.json()["taken"] == 1


def test_rows_that_were_not_taken_can_be_downloaded(project, admin, as_user):
    client = as_user(admin)
    content = jsonl(
        {"text": "One."}, {"text": "One."}, {"text": "Two.", "id": "=cmd"}, {"text": "Three.", "id": "=cmd"}
    )
    file = SimpleUploadedFile("rows.jsonl", content)
    address = client.post("/projects/letters/prompts/", {"file": file}).headers["Location"]
    before = client.get(f"{address}refused.csv").content.decode()
    client.post(f"{address}take/")
    after = client.get(f"{address}refused.csv").content.decode()
    assert before == after
    rows = list(csv.DictReader(io.StringIO(after)))
    assert [(row["line"], row["what"]) for row in rows] == [("2", "duplicate"), ("4", "refused")]


def test_parquet_and_gzip(project, admin, as_user):
    import pyarrow as pa
    from pyarrow import parquet

    file = io.BytesIO()
    rows = [{"messages": [ASKED], "completions": ["Hello!", "No."]}, {"messages": [], "completions": None}]
    parquet.write_table(pa.Table.from_pylist(rows), file)
    report = send(as_user(admin), file.getvalue(), "rows.parquet").json()
    assert (report["taken"], report["tasks"]) == (1, 1)
    assert report["refused"][0]["line"] == 2
    assert send(as_user(admin), gzip.compress(b"One more.\n"), "more.txt.gz").json()["taken"] == 1


def test_files_that_would_fill_the_memory_are_refused_by_size(project, admin, as_user, monkeypatch):
    bomb = gzip.compress(bytes(60 * 2**20))
    assert len(bomb) < 100_000
    answer = send(as_user(admin), bomb, "rows.jsonl.gz")
    assert "mostly NUL bytes" in answer.json()["errors"]["file"]
    monkeypatch.setattr("annotation.imports.batches.STREAMED", FileLimits(10 * 2**20, 10**6, 10**6))
    blank = gzip.compress(b" " * (60 * 2**20))
    assert "larger than 10 MB" in send(as_user(admin), blank, "rows.jsonl.gz").json()["errors"]["file"]
    monkeypatch.setattr(imports.reading, "MAX_FILE_BYTES", 1000)
    with pytest.raises(UnreadableFile, match="Unpacked, the file is larger"):
        parse_prompts(_parquet_of(5000), "rows.parquet")


def _parquet_of(length: int) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pa.table({"text": ["x" * length]}), file, compression="zstd")
    assert len(file.getvalue()) < 1000
    return file.getvalue()


def test_a_file_over_the_limit_is_refused_before_it_is_read(project, admin, as_user, monkeypatch):
    monkeypatch.setattr("annotation.forms.uploads.LARGEST_FILE", 10)
    monkeypatch.setattr("annotation.api.imports.LARGEST_FILE", 10)
    file = SimpleUploadedFile("rows.txt", b"Longer than that.")
    page = as_user(admin).post("/projects/letters/prompts/", {"file": file})
    assert "rows.txt is larger than" in page.content.decode()
    assert "larger than" in str(send(as_user(admin), b"Longer than that.", "rows.txt").json())
    assert PromptUpload.objects.count() == Prompt.objects.count() == 0


def test_a_file_of_any_length_comes_in_batches_and_goes_on_where_it_stopped(project, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("annotation.imports.batches.ROWS_AT_ONCE", 3)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl(*[{"text": f"Question {number}"} for number in range(7)], {"text": 1}, {"text": "Last."}))
    taken = iter([True, False])
    from annotation.management.commands import import_prompts as command

    real = command.import_prompts

    def stops(**values):
        if not next(taken, True):
            raise KeyboardInterrupt
        return real(**values)

    monkeypatch.setattr(command, "import_prompts", stops)
    with pytest.raises(KeyboardInterrupt):
        call_command("import_prompts", path, project="letters", stdout=io.StringIO(), stderr=io.StringIO())
    assert Prompt.objects.count() == 3
    out, errors = io.StringIO(), io.StringIO()
    call_command("import_prompts", path, project="letters", stdout=out, stderr=errors)
    assert out.getvalue() == "5 taken, 3 duplicate, 1 refused\n"
    assert f"{path}:8: refused" in errors.getvalue()
    assert Prompt.objects.count() == 8


def test_a_file_that_is_broken_at_its_end_is_not_taken_at_its_beginning(project, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("annotation.imports.batches.ROWS_AT_ONCE", 1)
    path = tmp_path / "rows.txt"
    path.write_bytes(b"One.\nTwo.\ncaf\xe9\n")
    with pytest.raises(CommandError, match="on line 3, is not valid UTF-8"):
        call_command("import_prompts", path, project="letters", stdout=io.StringIO())
    assert Prompt.objects.count() == 0


def test_a_folder_of_a_data_set(project, tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "README.md").write_text("A data set.")
    (tmp_path / "dataset_info.json").write_text("{}")
    (tmp_path / "data" / "train.jsonl").write_bytes(jsonl({"text": "One."}))
    (tmp_path / "data" / "test.csv").write_text("text\nTwo.\n")
    out = io.StringIO()
    call_command("import_prompts", tmp_path, project="letters", stdout=out)
    assert out.getvalue() == "2 taken, 0 duplicate, 0 refused\n"
