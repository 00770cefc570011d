"""The files of deploy/ start what there is, with settings that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

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


def test_the_guide_names_the_files_that_there_are():
    guide = (ROOT / "docs" / "guides" / "deployment.md").read_text()
    named = set(re.findall(r"deploy/([\w.@-]+\.\w+)", guide))
    assert named <= {path.name for path in DEPLOY.iterdir()}
    for unit in UNITS:
        assert unit.stem.rstrip("@") in guide
