"""Every export format, made from judgments that came in over the API, loaded by the library that takes it."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import json
import uuid
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from annotation.exports.formats import FORMATS, STORED
from annotation.models import Membership, Role, Split

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

SEATS = "/api/v1/projects/letters"


@pytest.fixture
def say(project, as_user):
    """Somebody new claims the next seat over the API and answers it, with tiers of texts or with a text."""
    numbers = itertools.count(1)

    def answer(said, unacceptable=()) -> User:
        person = User.objects.create_user(f"judge-{next(numbers)}")
        Membership.objects.create(project=project, user=person, role=Role.ANNOTATOR)
        client = as_user(person)
        seat = client.post(f"{SEATS}/tasks/claim/").json()
        pk = {each["text"]: each["id"] for each in seat["candidates"]}
        body = {"client_uuid": str(uuid.uuid4()), "active_ms": 4000}
        if isinstance(said, str):
            body["text"] = said
        else:
            body["tiers"] = [[pk[text] for text in tier] for tier in said]
            body["unacceptable"] = [pk[text] for text in unacceptable]
        stored = client.post(f"{SEATS}/assignments/{seat['id']}/submit/", body, content_type="application/json")
        assert stored.status_code == 200, stored.content
        return person

    return answer


@pytest.fixture
def judged(open_ranking_task, make_prompt, say, accept_proposal):
    """Two people agree on the first of three answers; one draws a line. Somebody writes a reference answer."""
    prompt = make_prompt("Say hello.", split=Split.TRAIN)
    open_ranking_task(["Hello!", "Hi.", "=1+1"], prompt=prompt, seats=2, priority=2)
    say([["Hello!"], ["Hi."], ["=1+1"]], unacceptable=["=1+1"])
    say([["Hello!"], ["=1+1", "Hi."]])
    open_ranking_task(["Good bye.", "Off."], prompt=make_prompt("Say goodbye.", split=Split.EVAL), priority=1)
    say([["Good bye."], ["Off."]])
    open_ranking_task(["Hm."], prompt=prompt, kind="reference")
    say("Good morning!")
    accept_proposal()


@pytest.fixture
def download(admin, as_user, judged):
    """The bytes of a new snapshot in a format, over the API."""

    def get(rows: str, **wish: str) -> bytes:
        client = as_user(admin)
        body = {"type": FORMATS[rows].made_from}
        taken = client.post(f"{SEATS}/snapshots/", body, content_type="application/json").json()
        response = client.get(f"{SEATS}/snapshots/{taken['number']}/download/", {"rows": rows, **wish})
        assert response.status_code == 200, response.content
        return b"".join(response.streaming_content)

    return get


def lines(content: bytes) -> list[dict]:
    return [json.loads(line) for line in content.splitlines()]


def test_preferences_as_text(download):
    rows = lines(download("preference-text"))
    assert [(row["prompt"], row["chosen"], row["rejected"], row["margin"], row["split"]) for row in rows] == [
        ("Say hello.", "Hello!", "Hi.", 0.5, "train"),
        ("Say hello.", "Hello!", "=1+1", 0.75, "train"),
        ("Say hello.", "Hi.", "=1+1", 0.25, "train"),
        ("Say goodbye.", "Good bye.", "Off.", 1.0, "eval"),
    ]


def test_preferences_with_an_implicit_prompt_begin_alike(download):
    row = lines(download("preference-implicit"))[0]
    asked = {"role": "user", "content": "Say hello."}
    assert row["chosen"] == [asked, {"role": "assistant", "content": "Hello!"}]
    assert row["rejected"] == [asked, {"role": "assistant", "content": "Hi."}]


def test_kto_goes_by_the_line_and_else_by_first_and_last(download):
    """Hello! is good for both. Hi. is above the one's line and in the other's last tier: even, so left out."""
    rows = lines(download("kto"))
    assert [(row["completion"][0]["content"], row["label"]) for row in rows] == [
        ("Hello!", True),
        ("=1+1", False),
        ("Good bye.", True),
        ("Off.", False),
    ]


def test_scores_put_the_answers_of_a_task_on_one_scale(download):
    rows = lines(download("scores"))
    said = {row["completion"]: row for row in rows}
    assert said["Hello!"]["score"] > said["Hi."]["score"] > said["=1+1"]["score"]
    assert said["Hello!"]["rankings"] == 2
    # One win, with half a win and half a loss against the average: 1 - σ(2t) = σ(t) - 1/2, that is, with x for e^t,
    # x³ - x² - x - 3 = 0. Its root is 2.1304, so t is 0.7563.
    assert said["Good bye."]["score"] == pytest.approx(0.7563, abs=0.0002)
    assert said["Off."]["score"] == -said["Good bye."]["score"]
    assert all(row["score_low"] < row["score"] < row["score_high"] for row in rows)


def test_anthropic_and_openai(download):
    assert lines(download("hh"))[0] == {
        "chosen": "\n\nHuman: Say hello.\n\nAssistant: Hello!",
        "rejected": "\n\nHuman: Say hello.\n\nAssistant: Hi.",
    }
    assert lines(download("openai-preference"))[0] == {
        "input": {"messages": [{"role": "user", "content": "Say hello."}], "tools": [], "parallel_tool_calls": True},
        "preferred_output": [{"role": "assistant", "content": "Hello!"}],
        "non_preferred_output": [{"role": "assistant", "content": "Hi."}],
    }


def test_what_is_imitated(download):
    assert lines(download("messages"))[0] == {
        "messages": [{"role": "user", "content": "Say hello."}, {"role": "assistant", "content": "Good morning!"}]
    }
    assert lines(download("alpaca"))[0] == {
        "instruction": "Say hello.",
        "input": "",
        "output": "Good morning!",
        "system": "",
        "history": [],
    }
    assert lines(download("sharegpt"))[0] == {
        "conversations": [{"from": "human", "value": "Say hello."}, {"from": "gpt", "value": "Good morning!"}],
        "system": "",
    }
    assert lines(download("sharegpt-preference"))[0]["rejected"] == {"from": "gpt", "value": "Hi."}


def test_classes_are_by_the_line_that_people_drew(download):
    rows = lines(download("classification"))
    assert [(row["text"].rsplit(": ", 1)[1], row["label"]) for row in rows] == [
        ("Hello!", "acceptable"),
        ("Hi.", "acceptable"),
        ("=1+1", "unacceptable"),
    ]


def test_raw_judgments_have_times_and_positions(download):
    rows = lines(download("judgments"))
    assert len(rows) == 3
    first = rows[0]
    assert sorted(first["shown_order"]) == sorted(each["id"] for each in first["candidates"])
    assert first["active_ms"] == 4000
    assert first["claimed_at"] < first["submitted_at"]
    assert first["annotator"].startswith("annotator-")
    text = {each["id"]: each["text"] for each in first["candidates"]}
    assert [[text[pk] for pk in tier] for tier in first["tiers"]] == [["Hello!"], ["Hi."], ["=1+1"]]


def test_a_conversation_in_formats_without_messages(open_ranking_task, make_prompt, say, admin, as_user):
    prompt = make_prompt(split=Split.TRAIN)
    prompt.messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "One."},
        {"role": "user", "content": "Two?"},
    ]
    prompt.save()
    open_ranking_task(["Two.", "No."], prompt=prompt)
    say([["Two."], ["No."]])
    client = as_user(admin)
    for type in ("preference", "prompt-completion"):
        client.post(f"{SEATS}/snapshots/", {"type": type}, content_type="application/json")

    def row(number: int, rows: str) -> dict:
        response = client.get(f"{SEATS}/snapshots/{number}/download/", {"rows": rows})
        return lines(b"".join(response.streaming_content))[0]

    assert row(1, "hh")["rejected"] == (
        "\n\nHuman: Be kind.\n\nOne?\n\nAssistant: One.\n\nHuman: Two?\n\nAssistant: No."
    )
    assert row(1, "preference-text")["prompt"] == "System: Be kind.\n\nUser: One?\n\nAssistant: One.\n\nUser: Two?"
    found = row(2, "alpaca")
    assert (found["system"], found["history"], found["instruction"]) == ("Be kind.", [["One?", "One."]], "Two?")


AS_FILES = [
    (rows, file)
    for rows, format in FORMATS.items()
    for file in ("jsonl", "csv", "parquet")
    if file != "csv" or format.flat
]


@pytest.mark.parametrize(("rows", "file"), AS_FILES)
def test_datasets_and_pandas_read_every_file(download, tmp_path: Path, rows, file):
    import pandas
    from datasets import load_dataset

    path = tmp_path / f"data.{file}"
    path.write_bytes(download(rows, file=file))
    plain = lines(download(rows))
    loader = {"jsonl": "json"}.get(file, file)
    loaded = load_dataset(loader, data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(loaded) == len(plain)
    assert set(loaded.column_names) == set(plain[0])
    read = {
        "jsonl": lambda: pandas.read_json(path, lines=True),
        "csv": lambda: pandas.read_csv(path),
        "parquet": lambda: pandas.read_parquet(path),
    }[file]
    assert len(read()) == len(plain)
    if file == "parquet" and rows in ("hh", "preference-text", "messages"):
        assert loaded.to_list() == plain


@pytest.mark.parametrize("file", ["jsonl", "csv", "parquet"])
def test_a_split_without_rows_is_a_file_without_rows(download, tmp_path: Path, file):
    import pandas

    content = download("classification", file=file, split="eval")
    if file == "parquet":
        assert len(pandas.read_parquet(io.BytesIO(content))) == 0
    else:
        assert content == b""


def test_csv_changes_no_answer_and_says_that_it_is_utf_8(download):
    content = download("preference-text", file="csv")
    assert content.startswith(codecs.BOM_UTF8)
    rejected = [row["rejected"] for row in csv.DictReader(io.StringIO(content.decode("utf-8-sig")))]
    assert rejected == ["Hi.", "=1+1", "=1+1", "Off."]


def test_gzip_and_split(download):
    assert gzip.decompress(download("hh", gzip="1")) == download("hh")
    assert download("hh", gzip="1") == download("hh", gzip="1")
    assert len(lines(download("hh", split="eval"))) == 1
    assert len(lines(download("hh", split="train"))) == 3


def test_a_download_goes_on_where_it_broke_off(download, admin, as_user):
    whole = download("hh")
    client, address = as_user(admin), f"{SEATS}/snapshots/1/download/?rows=hh"
    first = client.get(address, headers={"Range": "bytes=0-9"})
    rest = client.get(address, headers={"Range": "bytes=10-", "If-Range": first.headers["ETag"]})
    assert (first.status_code, rest.status_code) == (206, 206)
    assert first.headers["Content-Range"] == f"bytes 0-9/{len(whole)}"
    assert first.getvalue() + rest.getvalue() == whole
    page = client.get("/projects/letters/snapshots/1/download/?rows=hh", headers={"Range": "bytes=-5"})
    assert page.getvalue() == whole[-5:]
    beyond = client.get(address, headers={"Range": f"bytes={len(whole)}-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(whole)}")
    changed = client.get(address, headers={"Range": "bytes=10-", "If-Range": '"another"'})
    assert changed.status_code == 200
    assert changed.getvalue() == whole


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"rows": "kto"}, "not one of the available choices"),
        ({"rows": "preference", "file": "csv"}, "CSV has no place for"),
        ({"file": "xlsx"}, "not one of the available choices"),
        ({"split": "test"}, "not one of the available choices"),
    ],
)
def test_a_file_that_cannot_be_made_is_refused_in_words(judged, admin, as_user, wish, message):
    client = as_user(admin)
    client.post("/projects/letters/snapshots/", {"type": "preference"})
    page = client.get("/projects/letters/snapshots/1/download/", wish)
    assert page.status_code == 422
    assert message in page.content.decode()
    answer = client.get(f"{SEATS}/snapshots/1/download/", wish)
    assert answer.status_code == 400
    assert message in str(answer.json())


def test_the_command_writes_what_the_download_gives(download, tmp_path: Path):
    for rows in ("preference", "hh", "kto", "judgments"):
        path = tmp_path / rows
        call_command("export", "letters", rows=rows, output=str(path), stdout=io.StringIO())
        assert path.read_bytes() == download(rows)
    path = tmp_path / "some.jsonl.gz"
    call_command(
        "export", "letters", "--format=hh", f"--output={path}", "--gzip", "--min-agreement=0.9", stdout=io.StringIO()
    )
    assert len(lines(gzip.decompress(path.read_bytes()))) == 3  # Hi. over =1+1 is one vote and a tie: 0.75


def test_what_breaks_off_leaves_no_file(project, tmp_path: Path):
    with pytest.raises(CommandError, match="No ranking"):
        call_command("export", "letters", output=str(tmp_path / "rows.jsonl"))
    assert list(tmp_path.glob("rows*")) == []


def test_every_type_is_stored_in_one_of_its_formats():
    assert {FORMATS[name].made_from for name in STORED.values()} == {each.made_from for each in FORMATS.values()}
