"""Ways to bring a file: columns that belong together, saved mappings, folders, the report for machines, the preview."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command

from annotation import imports
from annotation.imports import PairRow, parse_prompts, stored
from annotation.models import ImportedJudgment, ImportMapping, Prompt, PromptUpload

pytestmark = pytest.mark.django_db
API = "/api/v1/projects/letters"


def jsonl(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def dry(path: Path, *more: str) -> dict:
    out = io.StringIO()
    call_command(
        "import_prompts", path, "--dry-run", "--json", *more, project="letters", stdout=out, stderr=io.StringIO()
    )
    return json.loads(out.getvalue())


@pytest.mark.parametrize(
    ("row", "mapping", "pairs"),
    [
        (
            {"history": "Why?", "human_ref_A": "No.", "human_ref_B": "Yes.", "labels": 0},
            {
                "text": "history",
                "chosen": "human_ref_A",
                "rejected": "human_ref_B",
                "winner": "labels",
                "winner_first": "1",
                "winner_second": "0",
            },
            [("Yes.", "No.")],
        ),
        (
            {"q": "Why?", "one": "Yes.", "two": "No.", "pick": "a"},
            {"text": "q", "chosen": "one", "rejected": "two", "winner": "pick"},
            [("Yes.", "No.")],
        ),
        (
            {"q": "Why?", "one": "Yes.", "two": "No.", "pick": "Tie"},
            {"text": "q", "chosen": "one", "rejected": "two", "winner": "pick"},
            [],
        ),
        (
            {"q": "Why?", "m1": "No.", "m2": "Yes.", "m3": "Well.", "best": "m2"},
            {"text": "q", "completions": "m1, m2, m3", "winner": "best"},
            [("Yes.", "No."), ("Yes.", "Well.")],
        ),
        (
            {"q": "Why?", "m1": "No.", "m2": "Yes.", "m3": "Well.", "s1": 1, "s2": "9", "s3": 8.8},
            {"text": "q", "completions": "m1, m2, m3", "scores": "s1, s2, s3", "tie_within": "0.5"},
            [("Yes.", "No."), ("Well.", "No.")],
        ),
        (
            {"q": "Why?", "all": ["No.", "Yes."], "loss": [2.5, 0.5]},
            {"text": "q", "completions": "all", "scores": "loss", "better": "lower"},
            [("Yes.", "No.")],
        ),
    ],
)
def test_columns_that_belong_together(row: dict, mapping: dict, pairs: list) -> None:
    parsed = parse_prompts(jsonl(row), "rows.jsonl", mapping)
    assert parsed.refused == []
    assert not parsed.not_used
    assert {(pair.chosen, pair.rejected) for pair in parsed.rows[0].pairs} == set(pairs)
    assert len(parsed.rows[0].votes) == 1


def test_a_prompt_out_of_several_columns() -> None:
    rows = [{"instruction": "Translate into German.", "input": text, "output": f"{text}!"} for text in ("Hi.", "Bye.")]
    parsed = parse_prompts(jsonl(*rows), "rows.jsonl", {"text": "instruction", "reference": "output"})
    assert [row.messages[-1]["content"] for row in parsed.rows] == [
        "Translate into German.\n\nHi.",
        "Translate into German.\n\nBye.",
    ]
    row = {"sys": "Like a pirate.", "before": [["Hi", "Arr."]], "ask": "Why?", "good": "Yes.", "bad": "No."}
    mapping = {"system": "sys", "history": "before", "text": "ask", "chosen": "good", "rejected": "bad"}
    (found,) = parse_prompts(jsonl(row), "rows.jsonl", mapping).rows
    assert [message["role"] for message in found.messages] == ["system", "user", "assistant", "user"]
    assert found.pairs == (PairRow("Yes.", "No."),)


def test_a_value_that_nobody_explained_refuses_its_row() -> None:
    mapping = {"text": "q", "chosen": "one", "rejected": "two", "winner": "pick"}
    (refused,) = parse_prompts(jsonl({"q": "Why?", "one": "A", "two": "B", "pick": "7"}), "r.jsonl", mapping).refused
    assert "\"pick\" is '7'; say what it means with winner_first" in refused.reason


def test_a_mapping_is_saved_and_used_by_command_api_and_page(project, admin, as_user, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("question,left_answer,right_answer,vote\nWhy?,Yes.,No.,L\n")
    columns = ["text=question", "chosen=left_answer", "rejected=right_answer", "winner=vote", "winner_first=L"]
    arguments = [argument for column in columns for argument in ("--column", column)]
    first = dry(path, *arguments, "--save-mapping", "our votes")
    assert (first["shape"], first["taken"], first["pairs"], first["votes"], first["not_used"]) == (
        "Columns as mapped",
        *(1, 1, 1, {}),
    )
    assert dry(path, "--mapping", "our votes")["pairs"] == 1
    with pytest.raises(CommandError, match="Mappings: our votes"):
        dry(path, "--mapping", "absent")
    client = as_user(admin)
    sent = {"file": SimpleUploadedFile("rows.csv", path.read_bytes()), "mapping_name": "our votes", "dry_run": "true"}
    assert client.post(f"{API}/prompts/", sent).json()["votes"] == 1
    file = SimpleUploadedFile("rows.csv", path.read_bytes())
    address = client.post("/projects/letters/prompts/", {"file": file}).headers["Location"]
    client.post(address, {"saved": "our votes"})
    client.post(f"{address}take/")
    assert ImportedJudgment.objects.count() == 1
    assert ImportMapping.objects.get().mapping["winner_first"] == "L"


def test_the_preview_names_the_shape_and_stops_at_fields_that_look_like_votes(project, admin, as_user) -> None:
    client = as_user(admin)
    content = jsonl({"prompt": "Why?", "my_reply": "Because it is so.", "source": "web"})
    file = SimpleUploadedFile("rows.jsonl", content)
    address = client.post("/projects/letters/prompts/", {"file": file}).headers["Location"]
    page = client.get(address)
    assert page.context["report"].unused == [("my_reply", 1, True), ("source", 1, False)]
    assert "Prefloop rows" in page.content.decode()
    assert "look like responses" in page.content.decode()
    assert page.context["report"].taken == 0
    client.post(address, {"ignore": ["my_reply"]})
    assert client.get(address).context["report"].taken == 1
    client.post(f"{address}take/")
    report = client.get(address).context["report"]
    assert (report.taken, dict(report.not_used)) == (1, {"my_reply": 1, "source": 1})
    assert Prompt.objects.count() == 1


def test_an_upload_is_read_once(project, admin, as_user, monkeypatch) -> None:
    read = []
    real = imports.parse_rows
    monkeypatch.setattr(
        "annotation.imports.batches.parse_rows", lambda *given, **more: read.append(1) or real(*given, **more)
    )
    client = as_user(admin)
    file = SimpleUploadedFile("rows.jsonl", jsonl({"prompt": "Why?", "chosen": "Yes.", "rejected": "No."}))
    address = client.post("/projects/letters/prompts/", {"file": file}).headers["Location"]
    client.get(address)
    client.get(f"{address}refused.csv")
    client.post(f"{address}take/")
    assert len(read) == 1
    assert ImportedJudgment.objects.count() == 1
    assert PromptUpload.objects.get().parsed is None


def test_stored_rows_are_the_rows() -> None:
    votes = {"instruction": "Why?", "input": "", "response1": "A", "response2": "B", "annotator1": 1, "annotator2": 0}
    parsed = parse_prompts(jsonl(votes, {"text": "x", "label": "y"}, {"text": ""}), "rows.jsonl")
    again = stored.loads(stored.dumps(parsed))
    assert again == parsed
    assert (again.shapes, again.count) == (parsed.shapes, parsed.count)


def test_the_command_says_as_json_what_would_happen(project, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    rows = [
        {"prompt": "Why?", "chosen": "Yes.", "rejected": "No.", "idx": 1},
        {"prompt": "Why?", "chosen": "Yes.", "rejected": "No.", "idx": 2},
        {"prompt": "How?", "chosen": "So.", "rejected": "So."},
    ]
    path.write_bytes(gzip.compress(jsonl(*rows)))
    report = dry(path)
    names = ("shape", "rows", "taken", "duplicate", "refused", "pairs", "votes", "labels", "not_used")
    assert [report[name] for name in names] == ["TRL preference", 3, 1, 1, 1, 1, 1, 0, {"idx": 2}]
    assert report["file"] == str(path)
    assert Prompt.objects.count() == 0
    path.write_bytes(gzip.compress(jsonl({"prompt": "Why?", "verdict": "good"})))
    assert dry(path)["stopping"] == {"verdict": 1}
    assert dry(path, "--ignore", "verdict")["taken"] == 1


def test_of_a_folder_only_data_is_read(project, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("LICENSE.txt", "requirements.txt", "README.md"):
        (tmp_path / name).write_text("Permission is hereby granted.\n")
    (tmp_path / "data" / "meta.json").write_text('{"name": "toy", "version": 1}')
    (tmp_path / "data" / "train.json").write_text('{"text": "One?"}\n{"text": "Two?"}\n')
    (tmp_path / "data" / "test.jsonl").write_text('{"text": "Three?"}\n')
    report = dry(tmp_path)
    assert report["taken"] == 3
    assert sorted(Path(name).name for name in report["ignored"]) == [
        "LICENSE.txt",
        "README.md",
        "meta.json",
        "requirements.txt",
    ]


def test_a_broken_file_of_a_folder_names_itself_and_nothing_is_half_imported(project, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "One?"}\n')
    (tmp_path / "b.json").write_text('[{"text": "Two?"}\n')
    with pytest.raises(CommandError, match=r"b\.json: The list lacks a comma"):
        call_command("import_prompts", tmp_path, project="letters", stdout=io.StringIO())
    assert Prompt.objects.count() == 0


def test_parquet_with_numbers_and_lists(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    rows = [{"id": 7, "prompt": "Why?", "completions": ["A", "B"], "score": 0.5, "tags": ["x"]}]
    file = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), file)
    parsed = parse_prompts(file.getvalue(), "rows.parquet", ignore=["score"])
    assert [(row.external_id, row.completions) for row in parsed.rows] == [("7", ("A", "B"))]
    assert dict(parsed.not_used) == {"score": 1, "tags": 1}


def test_columns_of_a_table_are_mapped_whatever_their_case() -> None:
    mapping = {
        "text": "Ask",
        "chosen": "human_ref_A",
        "rejected": "human_ref_B",
        "winner": "labels",
        "winner_second": "0",
    }
    parsed = parse_prompts(b"Ask,human_ref_A,human_ref_B,labels\nWhy?,No.,Yes.,0\n", "rows.csv", mapping)
    assert parsed.refused == []
    assert parsed.rows[0].pairs == (PairRow("Yes.", "No."),)
