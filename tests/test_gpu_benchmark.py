"""The check for the day a GPU is there runs at toy size on a CPU, so that it works when it is needed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.forked import command

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.recipes
@pytest.mark.slow
def test_every_figure_is_there(tmp_path: Path):
    ended = subprocess.run(
        command("benchmarks.gpu", "--toy", "--models", "7B"), cwd=ROOT, capture_output=True, text=True, check=True
    )
    line = json.loads(ended.stdout.strip().splitlines()[-1])
    found = line["models"]["7B"]
    assert "error" not in found, found
    assert found["sampling"]["tokens_per_second"] > 0
    assert found["update"]["tokens_per_second"] > 0
    assert found["matmul_tflops"] > 0
    assert found["memory"]["peak"] > 0
    assert found["memory"]["forecast"] > 0
    assert found["recovery"]["recovered"]
    assert found["agreement"]["worst_nats"] < 0.5


@pytest.mark.recipes
@pytest.mark.slow
def test_a_shape_that_is_not_there_is_refused():
    ended = subprocess.run(
        command("benchmarks.gpu", "--models", "9B"), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "no such model: 9B; there are 0.5B, 1.5B, 7B" in ended.stderr


def test_the_table_of_what_fits_is_that_of_the_forecast(monkeypatch):
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "PREFLOOP_PRECISION"):
        monkeypatch.setenv(name, "float32" if name == "PREFLOOP_PRECISION" else "1")  # what the import sets ends here
    from benchmarks.memory_forecast import tables

    page = (ROOT / "docs" / "reference" / "memory.md").read_text("utf-8")
    assert tables() in page
