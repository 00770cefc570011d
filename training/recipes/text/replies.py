"""What a server's reply holds: its answers, or why one of them cannot be used. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from annotation.model_server import OddAnswer, OddReply, read_object, text_of
from annotation.plain_text import cleaned_text
from training.rundir import Row
from training.tokenizers.settings import SHOWN, ChatSettings
from training.tokenizers.thoughts import split_thoughts

MOST_CHARACTERS = 1_000_000  # of one answer


def read_choices(body: bytes, settings: ChatSettings) -> list[Row | OddAnswer]:
    """Return the usable facts of each choice, or why it cannot be used. Raises OddReply."""
    reply = read_object(body)
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices:
        raise OddReply("the reply has no choices")
    usage = reply.get("usage")
    drawn = usage.get("completion_tokens") if isinstance(usage, Mapping) and len(choices) == 1 else None
    return [_read(choice, drawn, settings) for choice in choices]


def _read(choice: Any, drawn: Any, settings: ChatSettings) -> Row | OddAnswer:
    try:
        return _facts(choice, drawn, settings)
    except OddAnswer as reason:
        return reason


def _facts(choice: Any, drawn: Any, settings: ChatSettings) -> Row:
    """Return text and figures of one choice. What the server does not tell stays None: it is not ours to guess."""
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(message, Mapping):
        raise OddAnswer("a choice has no message")
    text = _visible(message, settings)
    if len(text) > MOST_CHARACTERS:
        raise OddAnswer(f"an answer is longer than {MOST_CHARACTERS:,} characters")
    logprobs = _logprobs(choice.get("logprobs"))
    whole_number = isinstance(drawn, int) and not isinstance(drawn, bool) and drawn >= 0
    return {
        "text": text,
        "tokens": len(logprobs) if logprobs else drawn if whole_number else None,
        "logprob": sum(logprobs) if logprobs else None,
        "finished": choice.get("finish_reason") == "stop",
    }


def _visible(message: Mapping[str, Any], settings: ChatSettings) -> str:
    """Return the text that people see: without thoughts, unless the project shows them."""
    text = cleaned_text(text_of(message.get("content")) or text_of(message.get("refusal")))
    apart = cleaned_text(text_of(message.get("reasoning_content") or message.get("reasoning")))
    thought = split_thoughts(text)
    if settings.thoughts == SHOWN:
        text = f"<think>\n{apart}\n</think>\n\n{text}" if apart and text.strip() else text
    elif not thought.closed:
        raise OddAnswer("an answer ended before its thoughts did")
    else:
        text = thought.answer
    if text.strip():
        return text
    if message.get("tool_calls"):
        raise OddAnswer("an answer calls a tool instead of saying something")
    raise OddAnswer("an answer ended before its thoughts did" if apart else "a response is empty")


def _logprobs(given: Any) -> list[float]:
    """Return the log-probability of each token; an empty list where the server gives none that are numbers."""
    tokens = given.get("content") if isinstance(given, Mapping) else None
    try:
        found = [float(token["logprob"]) for token in tokens or []]
    except (TypeError, ValueError, LookupError):
        return []
    return found if all(map(isfinite, found)) else []
