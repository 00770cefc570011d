"""The exact versions in requirements/: whole, in step with pyproject.toml, and free of any one machine."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {
    "web": [],
    "train": ["train", "demo"],
    "dev": list(PROJECT["optional-dependencies"]),
}


def locked(name: str) -> list[Requirement]:
    """Return what a file pins; a package may stand there once for each of several environments."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def asked_for(name: str) -> list[Requirement]:
    extras = [line for extra in EXTRAS[name] for line in PROJECT["optional-dependencies"][extra]]
    return [Requirement(line) for line in [*PROJECT["dependencies"], *extras]]


@pytest.mark.parametrize("name", EXTRAS)
def test_every_requirement_of_the_project_is_pinned_within_its_range(name: str):
    pins = {canonicalize_name(pin.name): pin for pin in locked(name)}
    for requirement in asked_for(name):
        package = canonicalize_name(requirement.name)
        if package == "torch":
            continue
        assert package in pins, f"{package} is not in requirements/{name}.txt: run `make lock`"
        (pin,) = pins[package].specifier
        assert pin.operator == "=="
        assert pin.version in requirement.specifier, f"{package} {pin.version}: run `make lock`"


@pytest.mark.parametrize(("smaller", "larger"), [("web", "train"), ("train", "dev")])
def test_the_files_agree(smaller: str, larger: str):
    few, many = ({(pin.name, str(pin.specifier)) for pin in locked(name)} for name in (smaller, larger))
    assert few < many


@pytest.mark.parametrize("name", EXTRAS)
def test_any_build_of_torch_fits_and_no_machine_is_named(name: str):
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    for pin in locked(name):
        assert not canonicalize_name(pin.name).startswith(("torch", "triton", "nvidia-", "cuda-", "rocm"))
        assert pin.url is None
    assert "://" not in text
    assert "--" not in text  # neither an index nor a folder to find packages in
