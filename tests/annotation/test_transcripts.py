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


@pytest.mark.parametrize(
    ("text", "system"),
    [
        ("[SYSTEM_PROMPT]Be brief.[/SYSTEM_PROMPT][INST]{}[/INST]", True),  # Mistral
        ("<s>[SYSTEM_PROMPT]Be brief.[/SYSTEM_PROMPT] [INST] Hi [/INST] Hello.</s>[INST] {} [/INST]", True),
        ("<|system|>Be brief.<|end|><|user|>{}<|end|><|assistant|>", True),  # Phi 3
        (
            "<|im_start|>system<|im_sep|>Be brief.<|im_end|><|im_start|>user<|im_sep|>{}<|im_end|>"
            "<|im_start|>assistant<|im_sep|>",
            True,
        ),
        (
            "<｜begin▁of▁sentence｜>Be brief.<｜User｜>Hi<｜Assistant｜>Hello.<｜end▁of▁sentence｜>"
            "<｜User｜>{}<｜Assistant｜>",
            True,
        ),
        ("<|start|>developer<|message|>Be brief.<|end|><|start|>user<|message|>{}<|end|><|start|>assistant", True),
        (
            "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|USER_TOKEN|>{}<|END_OF_TURN_TOKEN|>"
            "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
            False,
        ),
        ("SYSTEM: Be brief. USER: {} ASSISTANT:", True),
    ],
    ids=["mistral", "mistral turns", "phi-3", "phi-4", "deepseek", "gpt-oss", "command-r", "vicuna"],
)
def test_the_marks_of_newer_templates_are_no_part_of_the_prompt(text: str, system: bool) -> None:
    question = "What is <b>two</b> plus two?"
    (row,) = parse_prompts(json.dumps({"prompt": text.format(question)}).encode(), "x.jsonl").rows
    assert row.messages[-1] == {"role": "user", "content": question}
    assert [turn["content"] for turn in row.messages if turn["role"] == "system"] == ["Be brief."] * system
    told = [turn["content"] for turn in row.messages if turn["role"] == "assistant"]
    assert told == ["Hello."] * ("Hello." in text)


def test_an_answer_that_says_no_is_an_answer() -> None:
    asked = {"role": "user", "content": "Do it?"}
    for answer in (
        {"content": None, "refusal": "I will not."},
        {"content": [{"type": "refusal", "refusal": "I will not."}]},
    ):
        rows = {"messages": [asked, {"role": "assistant", **answer}]}
        parsed = parse_prompts(json.dumps(rows).encode(), "x.jsonl")
        assert (parsed.rows[0].reference, dict(parsed.not_used)) == ("I will not.", {})
