"""docs/guides/feedback.md does what it says: its Python and its JavaScript are run against a real server."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from playwright._impl._driver import compute_driver_executable

from annotation.actions.tokens import make_token
from annotation.models import Feedback, Scope

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "feedback.md"


@pytest.mark.django_db(transaction=True)
def test_the_clients_of_the_guide_send_feedback(live_server, project, admin, monkeypatch, tmp_path):
    _, token = make_token(user=admin, name="the guide", scopes=[Scope.FEEDBACK])
    monkeypatch.setenv("PREFLOOP_URL", live_server.url)
    monkeypatch.setenv("PREFLOOP_TOKEN", token)
    blocks = dict(re.findall(r"^```(\w+)\n(.*?)^```", GUIDE.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL))
    exec(blocks["python"], {})
    script = tmp_path / "client.mjs"
    script.write_text(blocks["javascript"], "utf-8")
    node, _ = compute_driver_executable()  # the one that Playwright brings
    ran = subprocess.run([node, script], env=os.environ, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    sent = Feedback.objects.values_list("prompt__digest", "completion__text", "thumb", "user", "version")
    assert len(set(sent)) == 1
    assert len(set(Feedback.objects.values_list("key", flat=True))) == 2
