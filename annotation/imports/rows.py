"""From raw rows to prompts, with the answers and preferences that they bring, and to labelled texts."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from dataclasses import dataclass

from annotation.imports.reading import RawRow, unix_lines
from annotation.imports.refusals import KINDS, Refusal

MAX_TEXT_LENGTH = 20_000
MAX_ID_LENGTH = 200  # as Prompt.external_id
MAX_CATEGORY_LENGTH = 100  # as Prompt.category
MAX_LABEL_LENGTH = 100  # as ImportedLabel.label
MAX_COMPLETIONS = 100

ROLES = ("system", "user", "assistant")
PROMPT_FIELDS = ("text", "prompt", "messages")

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class PairRow:
    """Somebody elsewhere preferred the one text to the other; `margin` from 0 to 1, where the file says how much."""

    chosen: str
    rejected: str
    margin: float | None = None


@dataclass(frozen=True)
class PromptRow:
    """A prompt as it will be stored. `line` is where its row starts in the file, from 1."""

    line: int
    messages: list[dict[str, str]]
    external_id: str
    reference: str
    category: str
    completions: tuple[str, ...] = ()
    pairs: tuple[PairRow, ...] = ()


@dataclass(frozen=True)
class LabelRow:
    line: int
    text: str
    label: str


def label_row(raw: RawRow) -> LabelRow:
    fields = raw.fields
    name = next((name for name in ("text", "prompt") if fields.get(name) is not None), None)
    if name is None:
        raise Refusal('the row has no "text"; add it')
    label = fields.get("label")
    if label is None:
        raise Refusal('the row has no "label"; add it')
    if type(label) is int:  # classes are often numbered; true and false are no numbers
        label = str(label)
    text = _clean('"label"', label, MAX_LABEL_LENGTH)
    if not text:
        raise Refusal('"label" is empty; write the class there or delete the row')
    return LabelRow(raw.line, _required(f'"{name}"', fields[name]), text)


def prompt_row(raw: RawRow) -> PromptRow:
    return PromptRow(
        line=raw.line,
        messages=_prompt_messages(raw.fields),
        external_id=_optional(raw.fields, "id", MAX_ID_LENGTH),
        reference=_optional(raw.fields, "reference", MAX_TEXT_LENGTH),
        category=_optional(raw.fields, "category", MAX_CATEGORY_LENGTH),
        completions=_completions(raw.fields.get("completions"), raw.fields.get("completion")),
        pairs=_pairs(raw.fields),
    )


def _completions(several: object, one: object) -> tuple[str, ...]:
    """Answers that the file brings, each of them once."""
    if several is None:
        several = [] if one is None else [one]
    if not isinstance(several, list):
        raise Refusal(f'"completions" is {KINDS[type(several)]}; write a list of texts')
    if len(several) > MAX_COMPLETIONS:
        raise Refusal(f'"completions" has {len(several):,} texts; keep at most {MAX_COMPLETIONS}')
    texts = [_required(f"answer {number} of the row", _answer(each)) for number, each in enumerate(several, start=1)]
    return tuple(dict.fromkeys(texts))


def _pairs(fields: dict[str, object]) -> tuple[PairRow, ...]:
    """The preferences of a row: `chosen` and `rejected`, or a list of such objects in `pairs`."""
    found = fields.get("pairs")
    if not isinstance(found, list):
        found = [fields] if fields.get("chosen") is not None or fields.get("rejected") is not None else []
    return tuple(_pair(each) for each in found)


def _pair(fields: dict[str, object]) -> PairRow:
    for name in ("chosen", "rejected"):
        if fields.get(name) is None:
            raise Refusal(f'the row has no "{name}"; a preference needs both answers')
    chosen, rejected = (_required(f'"{name}"', _answer(fields[name])) for name in ("chosen", "rejected"))
    if chosen == rejected:
        raise Refusal('"chosen" and "rejected" are the same text; nobody prefers an answer to itself')
    return PairRow(chosen, rejected, _margin(fields.get("margin")))


def _margin(value: object) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise Refusal('"margin" is no number from 0 to 1; correct it or leave it out')
    return number


def _answer(value: object) -> object:
    """The text of an answer that stands there as a message or as a list of one."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict) and set(value) >= {"role", "content"}:
        if value["role"] != "assistant":
            raise Refusal(f"an answer has the role {json.dumps(str(value['role'])[:40])}; it should be assistant")
        return value["content"]
    return value


def _prompt_messages(fields: dict[str, object]) -> list[dict[str, str]]:
    """The conversation that a row holds in exactly one of its possible fields."""
    # Tools that write a table as JSON put null where there is no value: null is no second prompt.
    given = [name for name in PROMPT_FIELDS if fields.get(name) is not None]
    if len(given) > 1:
        names = " and ".join(f'"{name}"' for name in given)
        raise Refusal(f"{names} are both given; keep one of them")
    if not given:
        null = next((name for name in PROMPT_FIELDS if name in fields), None)
        if null:
            raise Refusal(f'"{null}" is null; write the prompt there')
        raise Refusal('the row has no "text", "prompt" or "messages"; add one of them')
    name = given[0]
    if name == "messages" or (name == "prompt" and isinstance(fields[name], list)):
        return _conversation(fields[name])
    return [{"role": "user", "content": _required(f'"{name}"', fields[name])}]


def _conversation(value: object) -> list[dict[str, str]]:
    shape = '{"role": "user", "content": "…"}'
    if not isinstance(value, list):
        raise Refusal(f'"messages" is {KINDS[type(value)]}; write a list of messages such as {shape}')
    if not value:
        raise Refusal(f'"messages" is an empty list; add a message such as {shape}')
    messages = []
    for number, item in enumerate(value, start=1):
        if not isinstance(item, dict):
            raise Refusal(f'message {number} of "messages" is {KINDS[type(item)]}; write {shape}')
        messages.append(_message(number, item))
    last = messages[-1]["role"]
    if last != "user":
        article = "an" if last == "assistant" else "a"
        raise Refusal(f'"messages" ends with {article} {last} message; end with the user message to answer')
    length = sum(len(message["content"]) for message in messages)
    if length > MAX_TEXT_LENGTH:
        raise Refusal(_too_long('"messages"', length, MAX_TEXT_LENGTH))
    return messages


def _message(number: int, item: dict[str, object]) -> dict[str, str]:
    for name in ("role", "content"):
        if name not in item:
            raise Refusal(f'message {number} of "messages" has no "{name}"; add it')
    role = item["role"]
    if not isinstance(role, str):
        raise Refusal(f'"role" of message {number} is {KINDS[type(role)]}; use system, user or assistant')
    if role not in ROLES:
        # Shown back to people, so without whatever it may hold that is not printable, and not at any length.
        name = json.dumps(role[:40])
        raise Refusal(f'"role" of message {number} is {name}, which is unknown; use system, user or assistant')
    if role == "system" and number > 1:
        raise Refusal(f"message {number} is a system message; keep only one and put it first")
    return {"role": role, "content": _required(f'"content" of message {number}', item["content"])}


def _required(label: str, value: object) -> str:
    text = _clean(label, value, MAX_TEXT_LENGTH)
    if not text:
        raise Refusal(f"{label} is empty; write something there or delete the row")
    return text


def _optional(fields: dict[str, object], name: str, limit: int) -> str:
    value = fields.get(name)
    return "" if value is None else _clean(f'"{name}"', value, limit)


def _clean(label: str, value: object, limit: int) -> str:
    """Text as it is stored: trimmed, \\n for line ends, no control characters, and NFC."""
    if not isinstance(value, str):
        raise Refusal(f"{label} is {KINDS[type(value)]}; write text in double quotes instead")
    if "\0" in value:
        raise Refusal(f"{label} contains a NUL character; remove it")
    if _SURROGATE.search(value):  # JSON can spell it, but no database can store it
        raise Refusal(f"{label} contains half of a surrogate pair; write the whole character")
    text = _CONTROL.sub("", unix_lines(value)).strip()
    if len(text) <= limit:  # NFC of many combining characters takes quadratic time, so never on text of any length
        text = unicodedata.normalize("NFC", text)
    if len(text) > limit:
        raise Refusal(_too_long(label, len(text), limit))
    return text


def _too_long(label: str, length: int, limit: int) -> str:
    return f"{label} has {length:,} characters; shorten it to at most {limit:,}"
