"""Files of other tools in our own words: one function each, from one of their rows to ours, and a row in FOREIGN.

Each is known by the fields that only it has; a row that no function knows stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

from annotation.imports.refusals import Refusal

Fields = dict[str, Any]
MAX_DEPTH = 100  # of a tree of messages; deeper ones would end in a RecursionError
_TURN = re.compile(r"\n\n(Human|Assistant):")
_SPEAKERS = {"Human": "user", "Assistant": "assistant"}
_QUESTION_NAMES = ("prompt", "instruction", "question", "text")


def native(fields: Fields) -> Iterator[Fields]:
    """The row in our words; several where one of theirs holds several prompts."""
    for knows, convert in FOREIGN.values():
        if knows(fields):
            yield from convert(fields)
            return
    yield fields


def transcripts(fields: Fields) -> Iterator[Fields]:
    """Anthropic's hh-rlhf: two transcripts that part at the last answer."""
    yield fields | _parted(*(_turns(name, fields[name]) for name in ("chosen", "rejected")))


def implicit_prompt(fields: Fields) -> Iterator[Fields]:
    """TRL's preference without a prompt of its own: two conversations that begin alike."""
    yield fields | _parted(fields["chosen"], fields["rejected"])


def label_studio(fields: Fields) -> Iterator[Fields]:
    """A Label Studio task: its data, with the choices, comparisons and orders of its annotations."""
    data = fields["data"]
    row: Fields = {"id": str(fields.get("id", "")), **_named(data, _QUESTION_NAMES)}
    pairs: list[Fields] = []
    labels: list[str] = []
    for result in _label_studio_results(fields):
        value = result.get("value")
        if not isinstance(value, dict):
            continue
        if value.get("selected") in ("left", "right"):
            left, right = _label_studio_sides(data, result)
            better, worse = (left, right) if value["selected"] == "left" else (right, left)
            pairs.append({"chosen": better, "rejected": worse})
        elif isinstance(value.get("choices"), list):
            labels += [str(choice) for choice in value["choices"][:1]]
        elif isinstance(value.get("ranker"), dict):
            for order in value["ranker"].values():
                pairs += _pairs_of([_label_studio_item(data, item) for item in order])
    if labels:
        row["label"] = max(sorted(set(labels)), key=labels.count)
    yield row | ({"pairs": pairs} if pairs else {})


def argilla(fields: Fields) -> Iterator[Fields]:
    """An Argilla record: its fields, with the orders and labels among its responses."""
    data = fields["fields"]
    row: Fields = {"id": str(fields.get("id") or ""), **_named(data, _QUESTION_NAMES)}
    pairs: list[Fields] = []
    for answers in (fields.get("responses") or {}).values():
        for answer in answers if isinstance(answers, list) else [answers]:
            value = answer.get("value") if isinstance(answer, dict) else answer
            if isinstance(value, str):
                row.setdefault("label", value)
            elif isinstance(value, list) and all(isinstance(each, dict) and "rank" in each for each in value):
                pairs += _ranked_pairs([(each["rank"], data.get(each.get("value"))) for each in value])
    yield row | ({"pairs": pairs} if pairs else {})


def message_tree(fields: Fields) -> Iterator[Fields]:
    """An OpenAssistant tree: each question in it, with its answers and the order that people put them in."""
    yield from _questions(fields["prompt"], [])


def _questions(node: Fields, before: list[dict[str, str]]) -> Iterator[Fields]:
    if len(before) > MAX_DEPTH:
        raise Refusal(f"the tree is more than {MAX_DEPTH} messages deep")
    role = {"prompter": "user", "assistant": "assistant"}.get(str(node.get("role")))
    if role is None:
        raise Refusal(f"a message of the tree has the role {str(node.get('role'))[:40]!r}; use prompter or assistant")
    said = [*before, {"role": role, "content": node.get("text")}]  # checked with every other conversation
    replies = [reply for reply in node.get("replies") or [] if isinstance(reply, dict) and not reply.get("deleted")]
    if role == "user":
        row: Fields = {"messages": said, "id": str(node.get("message_id") or "")}
        if replies:
            row["completions"] = [reply.get("text") for reply in replies]
        if pairs := _ranked_pairs([(reply.get("rank"), reply.get("text")) for reply in replies]):
            row["pairs"] = pairs
        yield row
    for reply in replies:
        yield from _questions(reply, said)  # type: ignore[arg-type]


def _is_transcripts(fields: Fields) -> bool:
    return all(isinstance(fields.get(name), str) and _TURN.match(fields[name]) for name in ("chosen", "rejected")) and (
        not any(fields.get(name) for name in ("prompt", "text", "messages"))
    )


def _is_implicit(fields: Fields) -> bool:
    return all(isinstance(fields.get(name), list) and len(fields[name]) > 1 for name in ("chosen", "rejected")) and (
        not any(fields.get(name) for name in ("prompt", "text", "messages"))
    )


def _is_tree(fields: Fields) -> bool:
    return isinstance(fields.get("prompt"), dict) and "message_tree_id" in fields


FOREIGN: dict[str, tuple[Callable[[Fields], bool], Callable[[Fields], Iterator[Fields]]]] = {
    "Anthropic HH": (_is_transcripts, transcripts),
    "TRL implicit prompt": (_is_implicit, implicit_prompt),
    "OpenAssistant tree": (_is_tree, message_tree),
    "Label Studio": (lambda fields: isinstance(fields.get("data"), dict), label_studio),
    "Argilla": (lambda fields: isinstance(fields.get("fields"), dict), argilla),
}


def _turns(name: str, transcript: str) -> list[dict[str, str]]:
    parts = _TURN.split(transcript)
    turns = [
        {"role": _SPEAKERS[speaker], "content": text.strip()}
        for speaker, text in zip(parts[1::2], parts[2::2], strict=True)
    ]
    if turns[-1]["role"] != "assistant":
        raise Refusal(f'"{name}" does not end with an answer of the assistant')
    return turns


def _parted(chosen: list[Any], rejected: list[Any]) -> Fields:
    """The conversation that both share, and the two last answers."""
    if len(chosen) != len(rejected) or chosen[:-1] != rejected[:-1]:
        raise Refusal('"chosen" and "rejected" part before the last answer, so there is no prompt that both answer')
    return {"messages": chosen[:-1], "chosen": chosen[-1:], "rejected": rejected[-1:]}


def _named(data: Fields, names: tuple[str, ...]) -> Fields:
    """The first of the fields that may hold the prompt."""
    name = next((name for name in names if data.get(name) is not None), None)
    return {} if name is None else {"prompt": data[name]}


def _pairs_of(texts: list[Any]) -> list[Fields]:
    return [{"chosen": better, "rejected": worse} for better, worse in combinations(texts, 2)]


def _ranked_pairs(ranked: list[tuple[Any, Any]]) -> list[Fields]:
    """Every pair of different ranks, the smaller first; without a rank nothing is said."""
    known = sorted((each for each in ranked if type(each[0]) is int), key=lambda each: each[0])
    return [
        {"chosen": better, "rejected": worse}
        for (first, better), (second, worse) in combinations(known, 2)
        if first < second
    ]


def _label_studio_results(fields: Fields) -> Iterator[Fields]:
    for annotation in fields.get("annotations") or []:
        if isinstance(annotation, dict) and not annotation.get("was_cancelled"):
            yield from (result for result in annotation.get("result") or [] if isinstance(result, dict))


def _label_studio_sides(data: Fields, result: Fields) -> list[Any]:
    """`to_name` names the two controls; the usual templates call them as the fields they show."""
    names = str(result.get("to_name", "")).split(",")
    if len(names) == 2 and all(name in data for name in names):
        return [data[name] for name in names]
    known = [("answer1", "answer2"), ("response1", "response2"), ("left", "right"), ("answer_a", "answer_b")]
    for pair in known:
        if all(name in data for name in pair):
            return [data[name] for name in pair]
    raise Refusal("the two answers of a comparison are not in the data; call them answer1 and answer2")


def _label_studio_item(data: Fields, item: object) -> Any:
    for items in data.values():
        if isinstance(items, list):
            for each in items:
                if isinstance(each, dict) and each.get("id") == item:
                    return each.get("body") or each.get("title")
    raise Refusal(f"the order names {str(item)[:40]!r}, which is not among the items of the task")
