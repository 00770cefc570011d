"""Conversations in one text, in the marks of the tools that write them."""

from __future__ import annotations

import json

import pytest

from annotation.imports import parse_prompts

ASKED = [("user", "Hi"), ("assistant", "Hello."), ("user", "When does water boil?")]
OPEN = {
    "hh": "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: When does water boil?\n\nAssistant:",
    "user and assistant": "User: Hi\n\nAssistant: Hello.\n\nUser: When does water boil?\n\nAssistant:",
    "one line break": "Human: Hi\nAssistant: Hello.\nHuman: When does water boil?\nAssistant:",
    "guanaco": "### Human: Hi### Assistant: Hello.### Human: When does water boil?### Assistant:",
    "vicuna": "### User: Hi\n### Assistant: Hello.\n### User: When does water boil?\n### Assistant: ",
    "chatml": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n"
    "<|im_start|>user\nWhen does water boil?<|im_end|>\n<|im_start|>assistant\n",
}


def _rows(*rows: dict) -> list:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    parsed = parse_prompts(content, "rows.jsonl")
    assert parsed.refused == []
    return parsed.rows


def _said(row) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in row.messages]


@pytest.mark.parametrize("text", OPEN.values(), ids=OPEN)
@pytest.mark.parametrize("field", ["prompt", "question", "text"])
def test_a_transcript_that_waits_for_its_answer_is_a_conversation(text: str, field: str) -> None:
    (row,) = _rows({field: text, "chosen": "At 100 degrees.", "rejected": "Never."})
    assert _said(row) == ASKED
    assert [(pair.chosen, pair.rejected) for pair in row.pairs] == [("At 100 degrees.", "Never.")]


def test_chatml_with_a_system_message_and_an_answer_is_a_prompt_with_its_reference() -> None:
    text = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYo.<|im_end|>"
    )
    (row,) = _rows({"text": text})
    assert (_said(row), row.reference) == ([("system", "Be brief."), ("user", "Hi")], "Yo.")


@pytest.mark.parametrize(
    "text",
    [
        "User: is that a role?",
        "Write a dialogue.\n\nUser: Hi\n\nAssistant:",
        "User: Hi\nAssistant: Hello.\nGo on.",
        "What does <|im_start|> mean?",
        "### Human rights\nName three.",
    ],
)
def test_marks_inside_a_question_leave_it_as_it_is(text: str) -> None:
    (row,) = _rows({"prompt": text})
    assert _said(row) == [("user", text)]


def test_marks_of_one_format_inside_a_turn_of_another_are_text() -> None:
    text = "\n\nHuman: What does this mean?\nUser: x\n\nAssistant:"
    (row,) = _rows({"prompt": text})
    assert _said(row) == [("user", "What does this mean?\nUser: x")]


def test_an_id_of_any_type_names_the_row() -> None:
    ids = [7, 7.0, "7", {"$oid": "5f1"}, ["a", 1], True, None, {}]
    rows = _rows(*({"prompt": f"Question {number}", "id": given} for number, given in enumerate(ids)))
    assert [row.external_id for row in rows] == ["7", "7", "7", "5f1", '["a", 1]', "true", "", ""]
