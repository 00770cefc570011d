"""Which versions a version descends from, and which one its adapter lies over."""

from __future__ import annotations

from pathlib import Path

from annotation.models import PolicyVersion


def ancestors(policy: PolicyVersion) -> list[PolicyVersion]:
    """Return a version and those that it was made from: itself first, v0 last."""
    found = [policy]
    while (parent := found[-1].parent) is not None:
        found.append(parent)
    return found


def is_adapter(policy: PolicyVersion) -> bool:
    """Return whether its checkpoint is an adapter, which another version is the base of."""
    return (Path(policy.checkpoint) / "adapter_config.json").exists()


def base_version(policy: PolicyVersion) -> PolicyVersion:
    """Return the nearest version with weights of its own: itself, or the first ancestor that is no adapter."""
    return next(version for version in ancestors(policy) if version.number == 0 or not is_adapter(version))


def hub_name(policy: PolicyVersion) -> str:
    """Return what a download calls the base of a version: the base model, or the version that the adapter lies over."""
    base = base_version(policy)
    return policy.project.base_model if base.number == 0 else f"{policy.project.slug}-{base}"
