"""A full disk, and one that does not sync: people are told so, and what was confirmed to them is there afterwards."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.disks import fill, small_disk, without_fsync
from tests.frontend.test_serve import SET_UP, begin, environment_of, rank_one, serving, sign_in

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("serve")]

MORE = """
for number in range(3, 30):
    messages = [{"role": "user", "content": f"Question {number}"}]
    prompt = Prompt.objects.create(project=project, messages=messages, digest=Prompt.digest_of(messages), split="train")
    texts = [Completion.objects.create(prompt=prompt, source=Source.POLICY, policy=policy, text=t) for t in "ab"]
    tasks.open_task(prompt=prompt, kind="ranking", candidates=texts, seats=1)
"""
WAIT = 60  # seconds
PAGES = "/projects/letters/"
API = "/api/v1/projects/letters/"
PROMPTS = "".join(json.dumps({"text": f"Name a river, number {number}."}) + "\n" for number in range(1000))


class Visitor:
    """A person with a task on the page, and all that they may send to the server."""

    def __init__(self, url: str, session: requests.Session) -> None:
        self.url, self.session = url, session
        page = session.post(f"{url}{PAGES}annotate/", timeout=WAIT)
        self.task = urlsplit(page.url).path
        self.shown_uuid = re.search(r'name="client_uuid" value="([^"]+)"', page.text)[1]
        self.answers = list(dict.fromkeys(map(int, re.findall(r'data-id="(\d+)"', page.text))))

    def post(self, path: str, **sent: Any) -> requests.Response:
        return self.session.post(f"{self.url}{path}", timeout=WAIT, allow_redirects=False, **sent)

    def submit(self, *, rationale: str = "", **headers: str) -> requests.Response:
        tiers = json.dumps([[answer] for answer in self.answers])
        fields = {"client_uuid": self.shown_uuid, "tiers": tiers, "unacceptable": "[]", "active_ms": "900"}
        fields["rationale"] = rationale
        return self.post(f"{self.task}submit/", data=fields, headers=headers)

    def save_draft(self) -> requests.Response:
        return self.post(f"{self.task}draft/", data={"draft": json.dumps({"rationale": "half"}), "active_ms": "10"})

    def upload(self) -> requests.Response:
        return self.post(f"{PAGES}prompts/", files={"file": ("prompts.jsonl", PROMPTS)})

    def upload_large(self) -> requests.Response:
        """A body that waits in a temporary file until all of it is there."""
        padded = PROMPTS.replace("\n", f"{' ' * 850}\n")  # long, and few rows to read
        return self.post(f"{PAGES}prompts/", files={"file": ("prompts.jsonl", padded)})

    def import_by_api(self) -> requests.Response:
        return self.post(f"{API}prompts/", files={"file": ("prompts.jsonl", PROMPTS)})

    def take_snapshot(self) -> requests.Response:
        return self.post(f"{PAGES}snapshots/", data={"type": "ranking"})

    def take_snapshot_by_api(self) -> requests.Response:
        return self.post(f"{API}snapshots/", json={"type": "ranking"})

    def sign_in_again(self) -> requests.Response:
        other = requests.Session()
        page = other.get(f"{self.url}/accounts/login/", timeout=WAIT)
        if page.status_code >= 500:
            return page
        token = other.cookies["csrftoken"]
        form = {"username": "admin", "password": "secret words", "csrfmiddlewaretoken": token}
        return other.post(f"{self.url}/accounts/login/", data=form, timeout=WAIT, allow_redirects=False)

    def everything(self) -> dict[str, requests.Response]:
        """Send all of it once; none of it takes the place of the task on the page."""
        return {
            "part of a page": self.submit(**{"HX-Request": "true"}),
            "page": self.submit(),
            "draft": self.save_draft(),
            "upload": self.upload(),
            "large upload": self.upload_large(),
            "API import": self.import_by_api(),
            "snapshot": self.take_snapshot(),
            "API snapshot": self.take_snapshot_by_api(),
            "sign-in": self.sign_in_again(),
        }


def counts(home: Path) -> dict[str, int]:
    """What is stored, asked beside the server."""
    tables = ("ranking", "prompt", "promptupload", "datasetsnapshot")
    with contextlib.closing(sqlite3.connect(f"file:{home / 'db.sqlite3'}?mode=ro", uri=True)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {name: database.execute(f"SELECT COUNT(*) FROM annotation_{name}").fetchone()[0] for name in tables}


def check_words(said: dict[str, requests.Response], status: int, title: str) -> None:
    assert {name: answer.status_code for name, answer in said.items()} == dict.fromkeys(said, status)
    for name, answer in said.items():
        assert int(answer.headers["Retry-After"]) > 0, name
        assert title in answer.text.replace("&#x27;", "'"), (name, answer.text)
        assert "Keep this page open" in answer.text, name
        kind = answer.headers["Content-Type"].partition(";")[0]
        plain = {"part of a page": "text/plain", "draft": "text/plain", "large upload": kind}
        assert kind == plain.get(name, "application/json" if name.startswith("API") else "text/html"), name


def check_all_works(home: Path, visitor: Visitor, before: dict[str, int]) -> None:
    """All that was refused is taken now, the judgment once although it is sent again and again."""
    said = visitor.everything()
    assert {name: answer.status_code for name, answer in said.items()} == {
        "part of a page": 200,
        "page": 302,
        "draft": 409,  # the task is finished
        "upload": 302,
        "large upload": 302,
        "API import": 201,
        "snapshot": 302,
        "API snapshot": 201,
        "sign-in": 302,
    }, {name: answer.text[:300] for name, answer in said.items() if answer.status_code >= 400}
    after = counts(home)
    assert after["ranking"] == before["ranking"] + 1
    assert after["prompt"] == before["prompt"] + 1000
    assert after["promptupload"] == before["promptupload"] + 3
    assert after["datasetsnapshot"] == before["datasetsnapshot"] + 2
    files = list((home / "snapshots").iterdir())
    assert [path.suffix for path in files] == [".jsonl"]  # both have the same rows; nothing half-written is left
    assert len(files[0].read_text().splitlines()) == after["ranking"]


def test_a_full_disk_is_called_that_and_what_was_confirmed_is_there(tmp_path):
    with small_disk(tmp_path / "disk", "96m") as disk:
        home = disk / "home"
        (disk / "tmp").mkdir()
        environment = environment_of(home) | {"TMPDIR": str(disk / "tmp")}
        begin(environment, SET_UP + MORE)
        with (tmp_path / "log").open("w") as log, serving(environment, log=log) as (process, url):
            session = sign_in(url)
            for _ in range(3):
                rank_one(session, url)
            visitor, before = Visitor(url, session), counts(home)
            assert before["ranking"] == 3
            with contextlib.closing(sqlite3.connect(home / "db.sqlite3")) as database:
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # what it held could be written again
            filler = fill(disk)
            check_words(visitor.everything(), 507, "The server's disk is full")
            assert requests.get(f"{url}/health/", timeout=WAIT).status_code == 200
            ready = requests.get(f"{url}/ready/", timeout=WAIT)
            assert (ready.status_code, ready.json()["disk"]) == (503, "only 0 MB free in PREFLOOP_HOME")
            assert counts(home) == before
            assert not list((home / "snapshots").glob("*"))
            filler.unlink()
            check_all_works(home, visitor, before)
            assert process.poll() is None


def test_a_disk_that_does_not_sync_confirms_nothing_and_what_was_confirmed_is_there(tmp_path):
    refusing, home = without_fsync(), tmp_path / "home"
    environment = environment_of(home)
    begin(environment, SET_UP + MORE)
    with (tmp_path / "log").open("w") as log:
        with serving(environment, log=log) as (_, url):
            session = sign_in(url)
            for _ in range(3):
                rank_one(session, url)
            visitor, before = Visitor(url, session), counts(home)
            assert before["ranking"] == 3
        with serving(environment, log=log, launcher=refusing) as (process, visitor.url):
            session.headers["Referer"] = visitor.url
            check_words(visitor.everything(), 503, "The server's disk takes no data")
            assert requests.get(f"{visitor.url}/health/", timeout=WAIT).status_code == 200
            ready = requests.get(f"{visitor.url}/ready/", timeout=WAIT)
            assert ready.status_code == 503
            assert ready.json()["disk"] == "does not work; the server's log says why"
            assert process.poll() is None
        assert not list((home / "snapshots").glob("*"))
        with serving(environment, log=log) as (_, visitor.url):
            session.headers["Referer"] = visitor.url
            # A commit whose sync failed may be there all the same: it was refused, and its retry stores no second one.
            stored = counts(home)
            assert before["ranking"] <= stored["ranking"] <= before["ranking"] + 1
            check_all_works(home, visitor, {**stored, "ranking": before["ranking"]})
