"""Chat templates, rendered as transformers renders them, without importing it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

ChatMessage = Mapping[str, Any]


class ChatTemplate:
    """A compiled chat template. It comes with a model from elsewhere, so it runs in a sandbox."""

    def __init__(self, source: str, variables: Mapping[str, Any]) -> None:
        """`variables` are the special tokens by name, and the project's chat_template_kwargs."""
        self.source, self.variables = source, dict(variables)
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        now = datetime.now().astimezone()  # once: two renderings differ by what was said, not by the clock
        environment.globals |= {"raise_exception": _refuse, "strftime_now": now.strftime}
        self._compiled = environment.from_string(source)

    def render(self, messages: Sequence[ChatMessage], *, generation_prompt: bool) -> str:
        """Return the conversation as text. Raises TemplateError where the template refuses it."""
        try:
            given = {"tools": None, "documents": None, **self.variables}
            given |= {"messages": messages, "add_generation_prompt": generation_prompt}
            return str(self._compiled.render(given))
        except (
            TypeError,
            KeyError,
            ValueError,
            AttributeError,
            IndexError,
            ArithmeticError,
            RecursionError,
        ) as problem:
            raise TemplateError(f"{type(problem).__name__}: {problem}") from None


class _Generation(Extension):
    """Accept {% generation %} blocks, with which templates mark what an assistant wrote."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> None:
    raise TemplateError(message)
