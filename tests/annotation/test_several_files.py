"""Several files, or a folder, chosen together: only data is read, each is named, and nothing stays half imported."""

from __future__ import annotations

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from annotation.models import Prompt, PromptUpload

pytestmark = [pytest.mark.django_db, pytest.mark.database]
PROMPTS = "/projects/letters/prompts/"


def files(**texts: str) -> list[SimpleUploadedFile]:
    return [SimpleUploadedFile(name.replace("__", "."), text.encode()) for name, text in texts.items()]


def row(text: str) -> str:
    return json.dumps({"prompt": text}) + "\n"


@pytest.mark.parametrize("field", ["file", "folder"])
def test_the_data_files_are_taken_and_the_others_are_named(project, admin, as_user, field: str) -> None:
    client = as_user(admin)
    chosen = files(
        b__jsonl=row("Second?"), a__csv="prompt\nFirst?\n", LICENSE__txt="Permission is granted", c__jsonl=""
    )
    sent = client.post(PROMPTS, {field: [*chosen, *files(b__jsonl=row("Third?"))]}, follow=True)
    page = sent.content.decode()
    assert "Not read: LICENSE.txt" in page
    assert "c.jsonl: the file holds no rows" in page
    assert "b.jsonl and 3 more.zip" in page
    client.post(f"{sent.redirect_chain[0][0]}take/")
    assert sorted(prompt.messages[0]["content"] for prompt in Prompt.objects.all()) == ["First?", "Second?", "Third?"]


def test_a_folder_with_one_data_file_is_that_file(project, admin, as_user) -> None:
    chosen = files(readme__md="# Data", train__jsonl=row("Why?"), dataset_info__json="{}")
    sent = as_user(admin).post(PROMPTS, {"folder": chosen}, follow=True)
    assert PromptUpload.objects.get().filename == "train.jsonl.zip"
    assert "Not read: readme.md, dataset_info.json" in sent.content.decode()
    assert sent.context["report"].taken == 1


def test_texts_are_data_where_nothing_else_is(project, admin, as_user) -> None:
    sent = as_user(admin).post(PROMPTS, {"file": files(a__txt="One?\nTwo?\n", b__txt="Three?\n")}, follow=True)
    assert sent.context["report"].taken == 3


@pytest.mark.parametrize(
    ("chosen", "problem"),
    [
        ({"a__jsonl": row("Why?"), "b__json": '[{"prompt": "z"}'}, "b.json: The list lacks a comma"),
        ({"a__zip": "x", "b__zip": "y"}, "None of a.zip, b.zip is a data file"),
        ({"LICENSE": "x", "notes__md": "y"}, "None of LICENSE, notes.md is a data file"),
        ({"a__jsonl": ""}, "The file is empty."),
        ({}, "Choose a file first."),
    ],
)
def test_what_cannot_be_read_is_named_and_nothing_is_stored(
    project, admin, as_user, chosen: dict, problem: str
) -> None:
    page = as_user(admin).post(PROMPTS, {"file": files(**chosen)}).content.decode()
    assert problem in page
    assert not PromptUpload.objects.exists()


def test_several_files_over_the_api_are_one_import(project, admin, as_user) -> None:
    client = as_user(admin)
    api = "/api/v1/projects/letters/prompts/"
    chosen = {"a__jsonl": row("First?"), "b__csv": "prompt\nSecond?\n", "LICENSE__txt": "Permission", "c__jsonl": ""}
    tried = client.post(api, {"file": files(**chosen), "dry_run": "1"}).json()
    assert (tried["taken"], tried["not_read"], Prompt.objects.count()) == (2, ["LICENSE.txt"], 0)
    broken = client.post(api, {"file": files(**chosen, d__json='[{"prompt": "z"}')})
    assert broken.status_code == 400
    assert "d.json: The list lacks a comma" in broken.content.decode()
    assert not Prompt.objects.exists()  # nothing of the others either
    sent = client.post(api, {"file": files(**chosen)})
    assert sent.status_code == 201
    assert [each["reason"] for each in sent.json()["refused"]] == [
        "c.jsonl: the file holds no rows; the others are read"
    ]
    assert sorted(prompt.messages[0]["content"] for prompt in Prompt.objects.all()) == ["First?", "Second?"]
    many = client.post(api, {"file": files(x__txt="?", y__jsonl="".join(row(f"{n}?") for n in range(2001)))})
    assert (many.status_code, many.json()["not_read"], many.json()["status"]) == (202, ["x.txt"], "queued")
    assert "not_read" not in client.get(many.headers["Location"]).json()
    alone = client.post(api, {"file": files(e__jsonl="")})
    assert (alone.status_code, "The file is empty" in alone.content.decode()) == (400, True)
    assert client.post(api, {}).status_code == 400
