"""SQuAD and those like it: a paragraph, questions about it, and the answers that people found in it.

https://huggingface.co/datasets/rajpurkar/squad; the original JSON has paragraphs with several questions each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from annotation.imports.fields import Fields
from annotation.imports.items import Item, texts_below
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.shape import Shape


def read(fields: Fields) -> Iterator[Item]:
    """Read each question below its paragraph, with its answers as references; one without an answer is a prompt."""
    fields.describes("title", "document_title")
    if "paragraphs" not in fields:
        yield _item(fields, fields.take("context"))
        return
    for paragraph in fields.take("paragraphs"):
        inside = fields.sub(paragraph, "paragraphs")
        context = inside.take("context")
        for question in inside.take("qas"):
            yield _item(inside.sub(question, "qas"), context)


def _item(asked: Fields, context: Any) -> Item:
    asked.describes("is_impossible", "plausible_answers")
    item = Item(texts_below(context, asked.take("question")), "question", id=asked.take("id"))
    answers = asked.take("answers")
    texts = answers.get("text", []) if isinstance(answers, dict) else [_text(each) for each in answers or []]
    item.references = list(dict.fromkeys(texts if isinstance(texts, list) else [texts]))
    return item


def _text(answer: Any) -> Any:
    if isinstance(answer, dict) and "text" in answer:
        return answer["text"]
    if isinstance(answer, str):
        return answer
    raise Refusal('an entry of "answers" has no "text"; write the answer there')


def _is_one(fields: Fields) -> bool:
    if isinstance(paragraphs := fields.peek("paragraphs"), list) and paragraphs:
        return all(isinstance(each, dict) and {"context", "qas"} <= each.keys() for each in paragraphs)
    answers = fields.peek("answers")
    found = answers.get("text") if isinstance(answers, dict) else answers
    return fields.has("context", "question") and isinstance(found, list) and "answer_start" in str(answers)[:2000]


SQUAD = Shape("SQuAD", _is_one, read)
