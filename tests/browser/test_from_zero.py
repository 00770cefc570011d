"""From an empty server to a policy that people compared blind, without a shell and without Django's admin.

The script is that of the benchmark, on a server of its own with the bundled model. Training and evaluation take
minutes: they are part of the nightly run, and `test_from_preset_to_proof` has them with a smaller model.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
from playwright.sync_api import Browser

from tests import NIGHTLY
from tests.tables import sqlite_tables

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "from_zero.py"
MOST_CLICKS, MOST_DECISIONS = 25, 4
PROMPTS = 30 if NIGHTLY else 10  # thirty are enough for the smallest full round

pytestmark = [pytest.mark.browser, pytest.mark.recipes, pytest.mark.slow]


@pytest.fixture
def script(monkeypatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("from_zero", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "from_zero", module)  # its dataclasses look it up
    spec.loader.exec_module(module)
    return module


def test_from_an_empty_server_to_a_blind_evaluation(chromium: Browser, script: ModuleType, tmp_path: Path):
    said: list[str] = []
    (tmp_path / "home").mkdir(mode=0o700)
    shutil.copyfile(sqlite_tables(), tmp_path / "home" / "db.sqlite3")
    with script.empty_server(tmp_path) as url:
        found = script.Run(url, chromium, prompts=PROMPTS, folder=tmp_path, say=said.append).run(train=NIGHTLY)
    assert found["clicks"] <= MOST_CLICKS, said
    assert found["decisions"] <= MOST_DECISIONS, found["decided"]
    assert found["annotations"] >= PROMPTS  # a ranking of each prompt's responses, and some reference responses
    if NIGHTLY:
        assert found["comparisons"] > 0
        assert "%" in found["win_rate"]
    assert found["console_errors"] == []
    log = (tmp_path / "server.log").read_text(encoding="utf-8")
    assert "Traceback" not in log, log[-3000:]
