"""docs/guides/api.md does what it says: its Python is run, as it stands there, against a real server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from django.core.management import call_command

from annotation.actions.tokens import make_token
from annotation.models import Ranking, Scope, Webhook
from tests.annotation.test_webhooks import Receiver

CURL = shutil.which("curl")
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "api.md"


@pytest.mark.django_db(transaction=True)
def test_the_python_of_the_guide_runs(live_server, project, admin, monkeypatch, settings, capsys):
    scopes = [Scope.READ, Scope.ANNOTATE, Scope.DATA, Scope.MANAGE]
    _, token = make_token(user=admin, name="the guide", scopes=scopes)
    monkeypatch.setenv("PREFLOOP_URL", live_server.url)
    monkeypatch.setenv("PREFLOOP_TOKEN", token)
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
    reader: dict = {}
    for block in blocks:
        exec(block, reader)
    assert reader["report"]["taken"] == 2
    assert [row["line"] for row in reader["report"]["refused"]] == [3]
    assert Ranking.objects.count() == 2
    assert [pair["chosen"][0]["content"] for pair in reader["pairs"]] == [
        "Umbrella received.",
        "I would love to, but I am away that week.",
    ]
    assert "2 pairs, SHA-256" in capsys.readouterr().out

    receiver = Receiver()
    threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    settings.WEBHOOK_PRIVATE_ADDRESSES = True
    Webhook.objects.update(url=receiver.url)
    reader["call"]("projects/letters/snapshots/", {})
    call_command("deliver_webhooks", "--until-idle")
    receiver.shutdown()
    receiver.server_close()
    [(headers, body)] = receiver.got
    check, secret = reader["is_from_prefloop"], reader["secret"]
    assert check(headers, body.encode(), secret)
    assert not check(headers, body.encode() + b" ", secret)
    assert not check(headers | {"webhook-id": "msg_another"}, body.encode(), secret)
    assert not check(headers, body.encode(), secret, tolerance=-1)


@pytest.mark.skipif(CURL is None, reason="no curl on this machine")
@pytest.mark.django_db(transaction=True)
def test_the_curl_of_the_guide_runs(live_server, project, admin, ranked_task, tmp_path):
    _, token = make_token(user=admin, name="the guide", scopes=[Scope.ANNOTATE, Scope.DATA])
    row = {"prompt": "Thank Ada.", "completions": ["Thanks!", "Ta."]}
    (tmp_path / "prompts.jsonl").write_text(json.dumps(row), "utf-8")
    script = re.search(r"^letters\(\) \{.*?(?=^```)", GUIDE.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    ran = subprocess.run(
        ["sh", "-ec", script[0]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PREFLOOP_URL": live_server.url, "PREFLOOP_TOKEN": token},
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert project.prompts.filter(messages__0__content="Thank Ada.").count() == 1
    pairs = [json.loads(line) for line in (tmp_path / "preference.jsonl").read_text("utf-8").splitlines()]
    assert len(pairs) == 3
