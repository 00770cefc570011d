"""Anthropic's hh-rlhf: two transcripts that part at the last answer. https://huggingface.co/datasets/Anthropic/hh-rlhf"""

from __future__ import annotations

from collections.abc import Iterator

from annotation.imports.fields import Fields
from annotation.imports.items import Item
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.pairs import add_preference
from annotation.imports.shapes.shape import Shape
from annotation.imports.transcripts import transcript_of


def transcripts(fields: Fields) -> Iterator[Item]:
    """Read two transcripts that begin alike."""
    item = Item(id=fields.take("id"))
    pair = [fields.take(name) for name in ("chosen", "rejected")]
    for name, text in zip(("chosen", "rejected"), pair, strict=True):
        turns = transcript_of(text)
        if turns is None or turns[-1]["role"] != "assistant":
            raise Refusal(f'"{name}" does not end with an answer of the assistant')
    add_preference(item, *pair)
    yield item


def transcript(fields: Fields) -> Iterator[Item]:
    """Read one transcript: with an open end it is a prompt, otherwise a prompt with its reference answer."""
    name = "text" if "text" in fields else "transcript"
    turns = transcript_of(fields.take(name)) or []
    item = Item(field=name, id=fields.take("id"), category=fields.take("category"))
    if turns[-1]["role"] == "assistant":
        item.references.append(turns.pop()["content"])
    item.prompt = turns
    yield item


def _is_pair(fields: Fields) -> bool:
    both = all(transcript_of(fields.peek(name)) for name in ("chosen", "rejected"))
    return both and not any(name in fields for name in ("prompt", "text", "messages", "instruction", "question"))


def _is_one(fields: Fields) -> bool:
    text = fields.peek("text") if "text" in fields else fields.peek("transcript")
    turns = transcript_of(text)
    return len(turns or ()) > 1


PAIR = Shape("Anthropic HH", _is_pair, transcripts, ())
TRANSCRIPT = Shape("Transcript", _is_one, transcript)
