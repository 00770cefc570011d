"""Exactly which tokens a policy reads and which of them it learns, without torch: for the page that shows them.

The recipes write their tokens with the same chat format; that transformers comes to the same ids is a test.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from tokenizers import Tokenizer

from training.phrases import phrase
from training.rundir import Messages, where_now
from training.tokenizers.chat_format import (
    ChatFormat,
    FormatError,
    declared_stops,
    read_json,
    special_tokens,
)
from training.tokenizers.settings import ChatSettings

NO_FILES = phrase("This policy's folder has no tokenizer with a chat template on this machine (%(folder)s).")


class NoTokens(ValueError):
    """Raised where there are no tokens to show; the message gives the reason."""


@dataclass(frozen=True)
class ChatToken:
    """One token of a row. `learned`: its loss counts."""

    id: int
    text: str
    learned: bool

    @property
    def shown(self) -> str:
        """Return the text with spaces and line ends to be seen."""
        return self.text.replace(" ", "␣").replace("\n", "↵")


class PolicyTokenizer:
    """The tokenizer of a policy: of its own folder, or where that is an adapter, of the model below it."""

    def __init__(self, checkpoint: str, settings: Mapping[str, Any] | None = None) -> None:
        """Load the tokenizer of a folder. `settings` are the project's (`ChatSettings`). Raises NoTokens."""
        folder = Path(checkpoint)
        adapter = folder / "adapter_config.json"
        if adapter.exists():
            folder = Path(where_now(json.loads(adapter.read_text("utf-8"))["base_model_name_or_path"], folder))
        try:
            given = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
            inner = Tokenizer.from_str((folder / "tokenizer.json").read_text("utf-8"))
            template = _template(folder, given)
        except FileNotFoundError:
            raise NoTokens(NO_FILES % {"folder": folder}) from None
        declared = declared_stops(read_json(folder / "generation_config.json"))
        try:
            self.chat = ChatFormat(inner, template, special_tokens(given), declared, ChatSettings.of(settings))
        except (FormatError, TemplateError) as problem:
            raise NoTokens(f"{problem}.") from None

    def example(self, messages: Messages, answer: str) -> list[ChatToken]:
        """Return conversation and answer as the recipes train on them. Raises NoTokens.

        Learned are the answer and the closing token behind it.
        """
        try:
            prompt, answered = self.chat.prompt(messages), self.chat.answer(answer)
        except FormatError as problem:
            raise NoTokens(f"{problem}.") from None
        return [
            *(ChatToken(number, self.chat.decode([number]), learned=False) for number in prompt),
            *(ChatToken(number, self.chat.decode([number]), learned=True) for number in answered),
        ]


def _template(folder: Path, settings: Mapping[str, Any]) -> str:
    """Return the template out of its own file, or as older models have it, of the settings: one, or several by name."""
    file = folder / "chat_template.jinja"
    given = file.read_text("utf-8") if file.exists() else settings.get("chat_template")
    if isinstance(given, list):
        given = {entry["name"]: entry["template"] for entry in given}.get("default")
    if not given:
        raise NoTokens(NO_FILES % {"folder": folder})
    return str(given)
