"""What a server's reply holds: its answers, or why one of them cannot be used. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from annotation.model_server import OddReply, read_object
from annotation.plain_text import cleaned_text
from training.rundir import Row
from training.tokenizers.settings import SHOWN, ChatSettings
from training.tokenizers.thoughts import split_thoughts

MOST_CHARACTERS = 1_000_000  # of one answer


class OddAnswer(Exception):
    """One answer cannot be used; the message is the reason, and is counted by it."""


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
    text = cleaned_text(_text_of(message.get("content")) or _text_of(message.get("refusal")))
    apart = cleaned_text(_text_of(message.get("reasoning_content") or message.get("reasoning")))
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


def _text_of(content: Any) -> str:
    """Return content as text: it is text, nothing, or a list of parts some of which are text."""
    match content:
        case None:
            return ""
        case str():
            return content
        case list():
            texts = [_part(part) for part in content]
            if None in texts:
                raise OddAnswer("an answer has a part that is no text")
            return "".join(text or "" for text in texts)
    raise OddAnswer(f"an answer's content is no text but {type(content).__name__}")


def _part(part: Any) -> str | None:
    """Return a part's text; an empty one for a part that holds thoughts, None for a picture or the like."""
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        return None
    if part.get("type") in ("thinking", "reasoning", "redacted_thinking"):
        return ""
    text = part.get("text")
    return text if isinstance(text, str) else None


def _logprobs(given: Any) -> list[float]:
    """Return the log-probability of each token; an empty list where the server gives none that are numbers."""
    tokens = given.get("content") if isinstance(given, Mapping) else None
    try:
        found = [float(token["logprob"]) for token in tokens or []]
    except (TypeError, ValueError, LookupError):
        return []
    return found if all(map(isfinite, found)) else []
