"""Conversations with calls of tools and their results, several system messages, and other files that were refused."""

from __future__ import annotations

import json

import pytest

from annotation.exports.formats import alpaca, anthropic_hh, sharegpt
from annotation.imports import ParsedPrompts, PromptRow, parse_prompts

ASK = {"role": "user", "content": "How warm is it?"}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>'
RESULT = "<tool_response>\n17 °C\n</tool_response>"
WANTED = [("user", "How warm is it?"), ("assistant", CALL), ("user", RESULT)]
CITY = {"city": "Köln"}
OPENAI = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": json.dumps(CITY)}}
SPELLINGS = {
    "OpenAI": [
        {"role": "assistant", "content": None, "tool_calls": [OPENAI]},
        {"role": "tool", "tool_call_id": "1", "content": "17 °C"},
    ],
    "OpenAI without content": [
        {"role": "assistant", "tool_calls": [OPENAI]},
        {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "17 °C"}]},
    ],
    "OpenAI functions": [
        {"role": "assistant", "content": "", "function_call": {"name": "weather", "arguments": json.dumps(CITY)}},
        {"role": "function", "name": "weather", "content": "17 °C"},
    ],
    "TRL": [
        {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": CITY}}]},
        {"role": "tool", "name": "weather", "content": "17 °C"},
    ],
    "Anthropic": [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "weather", "input": CITY}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "17 °C"}]},
    ],
    "Hermes": [{"role": "assistant", "content": CALL}, {"role": "tool", "content": RESULT}],
}


def parsed(*rows: dict) -> ParsedPrompts:
    return parse_prompts("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode(), "rows.jsonl")


def turns(row: PromptRow) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in row.messages]


@pytest.mark.parametrize("name", SPELLINGS)
def test_calls_of_tools_and_their_results_stay_in_the_conversation(name) -> None:
    answer = {"role": "assistant", "content": "17 degrees."}
    found = parsed({"messages": [ASK, *SPELLINGS[name], answer], "tools": [{"name": "weather"}]})
    assert not found.refused
    assert (turns(found.rows[0]), found.rows[0].references) == (WANTED, ("17 degrees.",))
    assert found.not_used["tools"] == 1  # the descriptions of the tools are counted as not used


def test_llama_factory_and_gemini_write_them_in_other_words() -> None:
    said = [("human", ASK["content"]), ("function_call", json.dumps({"name": "weather"})), ("observation", "17 °C")]
    found = parsed({"conversations": [{"from": who, "value": text} for who, text in [*said, ("gpt", "17 degrees.")]]})
    call = '<tool_call>\n{"name": "weather"}\n</tool_call>'
    assert turns(found.rows[0])[1:] == [("assistant", call), ("user", RESULT)]
    parts = [
        {"role": "user", "parts": [{"text": ASK["content"]}]},
        {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": CITY}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": "17 °C"}}]},
    ]
    assert turns(parsed({"contents": parts}).rows[0]) == WANTED


def test_a_call_may_be_an_answer_and_be_preferred() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [OPENAI]}
    found = parsed({"prompt": [ASK], "chosen": [call], "rejected": [{"role": "assistant", "content": "No idea."}]})
    assert [(pair.chosen, pair.rejected) for pair in found.rows[0].pairs] == [(CALL, "No idea.")]


def test_several_system_messages_are_kept() -> None:
    rules = [{"role": "system", "content": "Be brief."}, {"role": "developer", "content": "Be kind."}]
    later = {"role": "system", "content": "Now in German."}
    found = parsed({"messages": [*rules, ASK, {"role": "assistant", "content": "17."}, later, ASK]})
    assert turns(found.rows[0]) == [
        ("system", "Be brief.\n\nBe kind."),
        ("user", ASK["content"]),
        ("assistant", "17."),
        ("system", "Now in German."),
        ("user", ASK["content"]),
    ]
    answer = [{"role": "assistant", "content": "Siebzehn."}]
    row = {"prompt": found.rows[0].messages, "completion": answer, "chosen": answer, "rejected": answer}
    (shared,) = sharegpt(row)
    assert [turn["from"] for turn in shared["conversations"]] == ["human", "gpt", "system", "human", "gpt"]
    (transcript,) = anthropic_hh(row)
    assert "\n\nHuman: Now in German.\n\nHuman: How warm is it?" in transcript["chosen"]
    (flat,) = alpaca(row)
    assert (flat["system"], flat["history"][-1][0]) == ("Be brief.\n\nBe kind.", "Now in German.")


def test_a_margin_of_another_scale_is_kept_as_what_it_is() -> None:
    pair = {"chosen": "Yes.", "rejected": "No."}
    given = {"Why?": 2.5, "How?": 0.5, "So?": -1}
    found = parsed(*({"prompt": prompt, **pair, "margin": margin} for prompt, margin in given.items()))
    votes = [row.votes[0] for row in found.rows]
    assert [vote.margin for vote in votes] == [None, 0.5, None]
    assert [vote.ratings for vote in votes] == [((0, "margin", 2.5),), (), ((0, "margin", -1.0),)]


def test_requests_and_results_of_a_batch_are_put_together() -> None:
    def asked(name: str) -> dict:
        return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": {"messages": [ASK]}}

    def result(name: str, *texts: str) -> dict:
        choices = [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"} for text in texts]
        return {"custom_id": name, "response": {"status_code": 200, "body": {"choices": choices}}, "error": None}

    found = parsed(result("b", "Alone."), asked("a"), result("a", "17.", "Warm."))
    assert [(row.line, row.external_id, row.completions) for row in found.rows] == [(2, "a", ("17.", "Warm."))]
    (refused,) = found.refused
    assert (refused.line, refused.reason.rsplit(", ", 1)[-1]) == (1, "into one .zip file")


def test_answers_found_in_a_paragraph_are_references() -> None:
    answers = {"text": ["Monday", "on Monday", "Monday"], "answer_start": [13, 10, 13]}
    flat = {"id": "q", "title": "Rain", "context": "Rain fell on Monday.", "question": "When?", "answers": answers}
    none = {**flat, "id": "n", "question": "Who?", "answers": {"text": [], "answer_start": []}}
    found = parsed(flat, none)
    assert [(row.messages[0]["content"], row.references) for row in found.rows] == [
        ("Rain fell on Monday.\n\nWhen?", ("Monday", "on Monday")),
        ("Rain fell on Monday.\n\nWho?", ()),
    ]
    assert not found.refused


def test_an_edit_is_better_than_what_it_edits() -> None:
    asked = {"context": [ASK], "original_response": "No.", "feedback": ["Too short."]}
    found = parsed(
        {**asked, "edited_response": "It is 17 °C.", "change_summary": "Says it."},
        {**asked, "good_edited_response": "It is 17 °C.", "bad_edited_response": "Nope."},
    )
    assert [row.pairs[0].chosen for row in found.rows] == ["It is 17 °C."] * 2
    assert [row.pairs[0].rejected for row in found.rows] == ["No.", "Nope."]
    assert found.rows[0].votes[0].rationale == "Says it."


@pytest.mark.parametrize(
    ("given", "at"),
    [
        ("2024-01-05T03:04:05Z", "2024-01-05T03:04:05+00:00"),
        ("2024-01-05 03:04:05 UTC", "2024-01-05T03:04:05+00:00"),
        ("2024/01/05 03:04:05", "2024-01-05T03:04:05+00:00"),
        ("Fri, 05 Jan 2024 03:04:05 +0100", "2024-01-05T03:04:05+01:00"),
        (1704423845, "2024-01-05T03:04:05+00:00"),
        ("1704423845000", "2024-01-05T03:04:05+00:00"),
    ],
)
def test_dates_in_the_forms_in_which_tools_write_them(given, at) -> None:
    row = {"prompt": "Why?", "chosen": "Yes.", "rejected": "No.", "created_at": given}
    assert parsed(row).rows[0].votes[0].at == at


def test_a_date_that_may_mean_two_days_is_counted_as_not_used() -> None:
    row = {"prompt": "Why?", "chosen": "Yes.", "rejected": "No.", "created_at": "05.01.2024"}
    found = parsed(row, {**row, "created_at": ""}, {**row, "created_at": None})
    assert [vote.at for row in found.rows for vote in row.votes] == ["", "", ""]
    assert dict(found.not_used) == {"a date that cannot be read": 1}
