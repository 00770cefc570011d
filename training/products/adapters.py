"""The adapter of the version in use, as its adapter_config.json tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.utils.translation import gettext

from annotation.models import PolicyVersion, Project
from training.products.promotions import current_policy


def adapter_of(project: Project) -> dict[str, Any]:
    """Return the adapter_config.json of the version in use; empty where it has weights of its own."""
    try:
        found = json.loads((Path(current_policy(project).checkpoint) / "adapter_config.json").read_text("utf-8"))
    except (OSError, ValueError, PolicyVersion.DoesNotExist):
        return {}
    return found if isinstance(found, dict) else {}


def has_adapter(project: Project) -> bool:
    """Return whether the version in use is an adapter."""
    return bool(adapter_of(project))


def too_small(project: Project, method: str, config: Any, defaults: Any) -> str:
    """Return why an adapter of this rank and these blocks cannot follow that of the version in use; empty if it can.

    A setting left at its default asks for nothing: the adapter keeps what it has.
    """
    found = adapter_of(project)
    blocks = found.get("layers_to_transform")
    has = {"lora_rank": found.get("r"), "top_blocks": len(blocks) if isinstance(blocks, list) else None}
    for name, size in has.items():
        asked = config.get(name)
        if isinstance(size, int) and isinstance(asked, int) and asked != getattr(defaults, name) and asked < size:
            return gettext(
                "%(setting)s: the adapter of the active version has %(size)s, and an adapter grows between rounds but "
                "never shrinks. Set %(size)s or more, leave it out, or activate another version."
            ) % {"setting": f"{method}.{name}", "size": size}
    return ""
