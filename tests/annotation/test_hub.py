"""Data sets to and from a hub: a small one of our own, that speaks as much of the protocol as is used."""

from __future__ import annotations

import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.core.management import CommandError, call_command

from annotation.actions import snapshots
from annotation.models import Prompt

pytestmark = pytest.mark.django_db
TOKEN = "hf_a-token-of-the-test"
PUBLIC = "https://huggingface.co"  # the library only believes addresses of a hub that it knows


class Hub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.files: dict[str, bytes] = {}
        self.created: dict[str, object] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, {"error": "Invalid token"})
        elif self.path == "/api/repos/create":
            self.server.created = json.loads(body)
            self.answer(200, {"url": f"{PUBLIC}/datasets/team/said"})
        elif "/preupload/" in self.path:
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            self.answer(200, {"files": files})
        elif "/commit/" in self.path:
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    self.server.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            self.answer(200, {"commitUrl": f"{PUBLIC}/datasets/team/said/commit/{'a' * 40}", "commitOid": "a" * 40})
        else:
            self.answer(200, {"errors": [], "warnings": []})

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, {"error": "Invalid token"})
        elif self.path.startswith("/api/datasets/team/said/tree"):
            tree = [
                {"type": "file", "path": path, "size": len(data), "oid": "b" * 40}
                for path, data in self.server.files.items()
            ]
            self.answer(200, tree)
        elif self.path.startswith("/api/datasets/team/said"):
            files = [{"rfilename": path} for path in self.server.files]
            self.answer(200, {"id": "team/said", "sha": "a" * 40, "siblings": files})
        else:
            self.file()

    def do_HEAD(self) -> None:
        self.file()

    def file(self) -> None:
        data = self.server.files.get(self.path.partition(f"/resolve/{'a' * 40}/")[2])
        if data is None:
            return self.answer(404, {"error": "Not found"})
        self.send_response(200)
        self.send_header("ETag", '"c"')
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)
        return None

    def answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(settings, monkeypatch):
    server = Hub()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    settings.HUB_ENDPOINT = server.address
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # whatever was set when it was imported
    yield server
    server.shutdown()
    server.server_close()


def test_a_snapshot_is_pushed_with_its_card(hub, project, ranked_task, admin):
    project.licence = "CC BY 4.0"
    project.save()
    snapshot = snapshots.take_snapshot(project=project, by=admin)
    out = io.StringIO()
    call_command("push_snapshot", "letters", 1, "team/said", stdout=out)
    assert out.getvalue() == f"{PUBLIC}/datasets/team/said/commit/{'a' * 40}\n"
    data = b"".join(content for path, content in sorted(hub.files.items()) if path.startswith("data/"))
    assert data == snapshot.path.read_bytes()
    assert json.loads(hub.files["data-card.json"])["sha256"] == snapshot.sha256
    readme = hub.files["README.md"].decode()
    assert 'license_name: "CC BY 4.0"' in readme
    assert all(f'path: "{path}"' in readme for path in hub.files if path.startswith("data/"))
    assert hub.created.get("visibility") == "private" or hub.created.get("private") is True


def test_a_push_without_a_token_or_with_a_wrong_one_is_refused_in_words(hub, project, ranked_task, admin, monkeypatch):
    snapshots.take_snapshot(project=project, by=admin)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(CommandError, match="The hub refused"):
        call_command("push_snapshot", "letters", 1, "team/said")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(CommandError, match="HF_TOKEN"):
        call_command("push_snapshot", "letters", 1, "team/said")
    assert hub.files == {}


def test_a_data_set_of_the_hub_is_imported(hub, project):
    hub.files = {"data/train.jsonl": b'{"text": "One."}\n{"text": ""}\n', "README.md": b"A data set."}
    out, errors = io.StringIO(), io.StringIO()
    call_command("import_prompts", "--hub=team/said", project="letters", stdout=out, stderr=errors)
    assert out.getvalue() == "1 taken, 0 duplicate, 1 refused\n"
    assert Prompt.objects.get().last_message == "One."
