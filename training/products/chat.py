"""How a project's conversations are written, as recipes and the token page are told."""

from __future__ import annotations

from typing import Any

from annotation.models import Project


def chat_settings(project: Project) -> dict[str, Any]:
    """Return the settings by the names of `training.tokenizers.settings.ChatSettings`."""
    return {
        "template_kwargs": project.chat_template_kwargs,
        "thoughts": project.thoughts,
        "long_prompts": project.long_prompts,
    }


def inherited_settings(project: Project) -> dict[str, Any]:
    """Return the project's settings that stages have where their own are not set, by the names of training.methods."""
    return {"answer_tokens": project.answer_tokens, "temperature": project.temperature}


def chat_inputs(project: Project) -> dict[str, Any]:
    """Return the project's chat settings as inputs of a run; empty where they are the defaults."""
    settings = chat_settings(project)
    return {} if settings == chat_settings(Project()) else {"chat": settings}
