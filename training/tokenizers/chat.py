"""Exactly which tokens a policy reads and which of them it learns, without torch: for the page that shows them.

The recipe makes them with transformers, out of the same two files: tokenizer.json and the chat template. That both come
to the same ids and the same mask is a test (tests/recipes/test_chat_tokens.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

Messages = list[dict[str, str]]
NO_FILES = "This policy's folder has no tokenizer with a chat template on this machine"


class NoTokens(ValueError):
    """There is nothing to show; the message says why."""


@dataclass(frozen=True)
class Token:
    id: int
    text: str
    learned: bool

    @property
    def shown(self) -> str:
        """With spaces and line ends to be seen."""
        return self.text.replace(" ", "␣").replace("\n", "↵")


class PolicyTokenizer:
    """The tokenizer of a policy: of its own folder, or where that is an adapter, of the model below it."""

    def __init__(self, checkpoint: str) -> None:
        folder = Path(checkpoint)
        adapter = folder / "adapter_config.json"
        if adapter.exists():
            folder = Path(json.loads(adapter.read_text("utf-8"))["base_model_name_or_path"])
        try:
            self.settings: dict[str, Any] = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
            self.tokenizer = Tokenizer.from_str((folder / "tokenizer.json").read_text("utf-8"))
            self.template = self._template(folder)
        except FileNotFoundError:
            raise NoTokens(f"{NO_FILES} ({folder}).") from None
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    def _template(self, folder: Path) -> str:
        """In a file of its own, or as older models have it, in the settings: one text, or several with names."""
        file = folder / "chat_template.jinja"
        given = file.read_text("utf-8") if file.exists() else self.settings.get("chat_template")
        if isinstance(given, list):
            given = {entry["name"]: entry["template"] for entry in given}.get("default")
        if not given:
            raise NoTokens(f"{NO_FILES} ({folder}).")
        return str(given)

    def example(self, messages: Messages, answer: str) -> list[Token]:
        """Conversation and answer as the recipes train on them: learned are the answer and the end after it."""
        prompt = self._ids(self.render(messages), special=True)
        answered = [*self._ids(answer, special=False), self.end]
        return [
            *(Token(number, self._show(number), learned=False) for number in prompt),
            *(Token(number, self._show(number), learned=True) for number in answered),
        ]

    def render(self, messages: Messages) -> str:
        """The conversation as text, up to where the answer begins."""
        try:
            return str(self._compiled.render(messages=messages, add_generation_prompt=True, **self.special))
        except TemplateError as problem:
            raise NoTokens(f"The chat template refuses it ({problem}).") from None

    @cached_property
    def special(self) -> dict[str, str]:
        """Special tokens by name, as chat templates may ask for them."""
        named = {name: value for name, value in self.settings.items() if name.endswith("_token") and value}
        return {
            name: str(value["content"] if isinstance(value, Mapping) else value)
            for name, value in named.items()
            if isinstance(value, str | Mapping)
        }

    @cached_property
    def end(self) -> int:
        number = self.tokenizer.token_to_id(self.special.get("eos_token", ""))
        if number is None:
            raise NoTokens("The tokenizer has no end-of-sequence token.")
        return int(number)

    @cached_property
    def _compiled(self) -> Any:
        """In a sandbox: a template comes with a model from somewhere. As transformers has it."""
        sandbox = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        sandbox.filters["tojson"] = _to_json
        sandbox.globals["raise_exception"] = _refuse
        sandbox.globals["strftime_now"] = _now
        return sandbox.from_string(self.template)

    def _ids(self, text: str, *, special: bool) -> list[int]:
        """Special tokens spelled out in an answer are just text."""
        self.tokenizer.encode_special_tokens = not special
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def _show(self, number: int) -> str:
        return str(self.tokenizer.decode([number], skip_special_tokens=False))


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _refuse(message: str) -> None:
    raise TemplateError(message)


def _now(format: str) -> str:
    return datetime.now().astimezone().strftime(format)
