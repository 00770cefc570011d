"""The files of deploy/ start what there is, with settings that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from frontend.serving import metrics

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
PROGRAM = "/opt/prefloop/bin/prefloop"


def values(unit: Path, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_service_starts_a_command_with_options_that_it_takes(unit):
    (started,) = values(unit, "ExecStart")
    program, command, *options = started.replace("%i", "8000").split()
    assert program == PROGRAM
    load_command_class(get_commands()[command], command).create_parser("prefloop", command).parse_args(options)
    assert values(unit, "User") == ["prefloop"]
    assert values(unit, "EnvironmentFile") == ["/etc/prefloop.env"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_services(tmp_path):
    program = tmp_path / "prefloop"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    written = []
    for unit in UNITS:
        written.append(tmp_path / unit.name.replace("@", "@8000"))
        written[-1].write_text(unit.read_text().replace(PROGRAM, str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *written], capture_output=True, text=True, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "prefloop" in line]
    assert complaints == []


def test_settings_are_those_that_are_documented():
    documented = (ROOT / "docs" / "reference" / "settings.md").read_text()
    lines = [line for line in (DEPLOY / "prefloop.env").read_text().splitlines() if not line.startswith("#")]
    names = [line.partition("=")[0] for line in lines]
    assert len(names) >= 6
    assert [name for name in names if f"`{name}`" not in documented] == []


def test_the_dashboard_and_the_alerts_ask_for_metrics_that_there_are(db):
    """The names in every query, held against what `/metrics` has; each of ours is shown."""
    families = [*metrics.OF_PROCESS.collect(), *metrics.OF_DATABASE.collect()]
    kinds = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    known = {f"{each.name}{end}" for each in families for end in kinds.get(each.type, ("",))}
    known.add("prefloop_worker_silent_seconds")  # once there was a worker
    board = json.loads((DEPLOY / "grafana.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked += re.findall(r"`(prefloop_\w+ [=><]+ \d+)`", (ROOT / "docs" / "guides" / "monitoring.md").read_text())
    assert len(asked) > 15
    for query in asked:
        found = set(re.findall(r"\b(?:prefloop|process)_\w+", query))
        assert found, query
        assert found <= known, query
    assert {name for name in known if name.startswith("prefloop_")} <= set(re.findall(r"\bprefloop_\w+", str(asked)))


def test_the_guide_names_the_files_that_there_are():
    guide = (ROOT / "docs" / "guides" / "deployment.md").read_text()
    named = set(re.findall(r"deploy/([\w.@-]+\.\w+)", guide))
    assert named <= {path.name for path in DEPLOY.iterdir()}
    for unit in UNITS:
        assert unit.stem.rstrip("@") in guide
