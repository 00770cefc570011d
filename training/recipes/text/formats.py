"""The chat format of a loaded model, under the settings of the project whose run this process is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.recipes.process.errors import RecipeError
from training.tokenizers.chat_format import ChatFormat, FormatError, declared_stops
from training.tokenizers.settings import ChatSettings

_SETTINGS: ContextVar[ChatSettings | None] = ContextVar("chat settings", default=None)


@contextmanager
def chat_settings(given: Mapping[str, Any] | None) -> Iterator[None]:
    """Apply the project's chat settings (`inputs.chat` of config.json) while the block lasts."""
    token = _SETTINGS.set(ChatSettings.of(given))
    try:
        yield
    finally:
        _SETTINGS.reset(token)


def chat_format(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel | None = None) -> ChatFormat:
    """Return how this model writes conversations. Raises RecipeError where that cannot be found out."""
    inner = getattr(tokenizer, "backend_tokenizer", None)
    if inner is None:
        raise RecipeError(f"{type(tokenizer).__name__} has no tokenizer.json: a model needs a fast tokenizer")
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    if not template:
        raise RecipeError("The tokenizer has no chat template: prepare the model first")
    config = getattr(model, "generation_config", None)
    special = {name: str(value) for name, value in tokenizer.special_tokens_map.items() if isinstance(value, str)}
    declared = declared_stops(config.to_dict() if config is not None else None)
    try:
        return ChatFormat(inner, template, special, declared, _SETTINGS.get())
    except (FormatError, TemplateError) as problem:
        raise RecipeError(str(problem)) from None
