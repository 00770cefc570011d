"""What other tools do with our files: their rules, stated again from their documentation, and files of over 10 MB.

The rules are ours, in a few lines each; the tools themselves are not installed. Sources:
LLaMA-Factory's data/README.md, OpenRLHF's README (datasets of reward models), NeMo RL's docs/guides/rm.md, and OpenAI's
guides to supervised and preference fine-tuning.
"""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from annotation.exports.files import DownloadOptions
from annotation.exports.formats import FORMATS
from annotation.imports import parse_prompts

SYSTEM = {"role": "system", "content": "Be brief."}
TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
ASK = {"role": "user", "content": "What is 1+1?"}
PROMPTS = [[ASK], [SYSTEM, ASK], [*TURNS, ASK], [SYSTEM, *TURNS, ASK]]


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def preference(prompt: list) -> dict:
    return {
        "prompt": prompt,
        "chosen": said("Two."),
        "rejected": said("=3"),
        "prompt_id": 1,
        "group_id": 1,
        "split": "train",
    }


def completion(prompt: list) -> dict:
    return {"prompt": prompt, "completion": said("Two."), "prompt_id": 1, "split": "train", "source": "reference"}


def ranking(prompt: list) -> dict:
    texts = ["Two.", "=3", "Eleven."]
    given = {"tiers": [[0], [1, 2]], "weight": 1.0, "unranked": [], "unacceptable": []}
    candidates = [{"text": text, "finished": True} for text in texts]
    about = {"prompt_id": 1, "group_id": 1, "split": "train", "policy": -1}
    return {"prompt": prompt, "candidates": candidates, "rankings": [given], **about}


def rows_of(name: str, made: Any) -> list[dict]:
    return [row for prompt in PROMPTS for row in FORMATS[name].rows(made(prompt))]


def is_alternating(turns: list[dict], speaker: str, user: str, assistant: str) -> bool:
    """LLaMA-Factory skips a conversation whose turns do not alternate, the person first."""
    return [turn[speaker] for turn in turns] == [(user, assistant)[at % 2] for at in range(len(turns))]


def test_llama_factory_converts_every_row() -> None:
    for row in rows_of("alpaca", completion):
        assert row["instruction"]
        assert row["output"] == "Two."
        assert all(len(pair) == 2 and all(isinstance(text, str) for text in pair) for pair in row["history"])
    for row in rows_of("sharegpt", completion):
        assert is_alternating(row["conversations"], "from", "human", "gpt")
        assert len(row["conversations"]) % 2 == 0  # an odd number is a broken example
    for row in rows_of("sharegpt-preference", preference):
        assert is_alternating(row["conversations"], "from", "human", "gpt")
        assert len(row["conversations"]) % 2 == 1  # with ranking: true the answer is in chosen and rejected
        assert row["chosen"] == {"from": "gpt", "value": "Two."}
        assert row["rejected"] == {"from": "gpt", "value": "=3"}
    assert [row["system"] for row in rows_of("sharegpt", completion)] == ["", "Be brief.", "", "Be brief."]


def test_openrlhf_and_trl_apply_a_chat_template_to_prompt_plus_answer() -> None:
    """With --data.apply_chat_template and a prompt key, OpenRLHF renders prompt + answer and cuts the prompt off."""
    for row in rows_of("preference", preference):
        for name in ("chosen", "rejected"):
            turns = row["prompt"] + row[name]
            roles = [turn["role"] for turn in turns if turn["role"] != "system"]
            assert roles == ["user", "assistant"] * (len(turns) // 2)
            assert [turn["role"] for turn in turns[1:]].count("system") == 0
    for row in rows_of("preference-implicit", preference):
        assert row["chosen"][:-1] == row["rejected"][:-1]


def test_nemo_rl_finds_a_best_and_a_worst_completion() -> None:
    for row in rows_of("nemo-rl", ranking):
        assert row["context"][-1]["role"] == "user"
        ranks = [each["rank"] for each in row["completions"]]
        assert sorted(set(ranks)) == list(range(len(set(ranks))))  # 0 is best
        assert ranks.count(0) == 1
        assert max(ranks) > 0
        assert all(each["completion"][-1]["role"] == "assistant" for each in row["completions"])


def test_openai_validates_every_row() -> None:
    """Roles are known, content is text, preferred outputs are one assistant message each, files are JSON lines."""
    for row in rows_of("messages", completion):
        assert row["messages"][-1]["role"] == "assistant"
        assert all(set(turn) == {"role", "content"} and turn["content"] for turn in row["messages"])
        assert {turn["role"] for turn in row["messages"]} <= {"system", "user", "assistant"}
    for row in rows_of("openai-preference", preference):
        assert set(row) == {"input", "preferred_output", "non_preferred_output"}
        assert row["input"]["messages"][-1]["role"] == "user"
        for name in ("preferred_output", "non_preferred_output"):
            assert [turn["role"] for turn in row[name]] == ["assistant"]
        assert row["preferred_output"] != row["non_preferred_output"]


CALLS = [{"name": "weather", "arguments": {"city": "Rome"}}, {"name": "clock", "arguments": "now"}]
TOOL_TURNS = [
    {"role": "user", "content": "Weather and time in Rome?"},
    {
        "role": "assistant",
        "content": "I look.",
        "tool_calls": [{"id": f"x{at}", "type": "function", "function": call} for at, call in enumerate(CALLS)],
    },
    {"role": "tool", "tool_call_id": "x0", "content": "22 °C\n\nsunny"},
    {"role": "tool", "tool_call_id": "x1", "content": "noon"},
    {"role": "assistant", "content": "22 °C at noon."},
    {"role": "user", "content": "And <tool_call> is what?"},
    {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": CALLS[0]}]},
]


@pytest.mark.parametrize("file", ["jsonl", "parquet"])
def test_calls_of_tools_are_fields_again_and_come_back_as_they_were(file: str) -> None:
    def read(content: bytes, name: str) -> list[tuple[list, list]]:
        rows = parse_prompts(content, name).rows
        return [(found.messages, said(found.reference)) for found in rows]

    plain = {"messages": [ASK, *said("Two.")]}
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in (plain, {"messages": TOOL_TURNS}))
    before = read(lines, "x.jsonl")
    assert [turn["role"] for turn in before[1][0]] == ["user", "assistant", "user", "assistant", "user"]
    made = [{"prompt": prompt, "completion": answer, "split": "train"} for prompt, answer in before]
    content = io.BytesIO()
    DownloadOptions("messages-tools", file).write(lambda: iter(made), content)
    assert read(content.getvalue(), f"x.{file}") == before
    (row,) = FORMATS["messages-tools"].rows(made[1])
    written = row["messages"]
    assert [turn["role"] for turn in written] == ["user", "assistant", "tool", "tool", "assistant", "user", "assistant"]
    assert (written[1]["content"], written[-1]["content"]) == ("I look.", "")
    calls = [call for turn in written for call in turn.get("tool_calls", [])]
    assert [call["function"]["arguments"] for call in calls] == ['{"city": "Rome"}', "now", '{"city": "Rome"}']
    assert [turn["tool_call_id"] for turn in written[2:4]] == [call["id"] for call in calls[:2]]
    assert len({call["id"] for call in calls}) == 3
    assert [turn["content"] for turn in written[2:4]] == ["22 °C\n\nsunny", "noon"]


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>\n{'name': 'x'}\n</tool_call>",
        '<tool_call>\n{"name": "x", "arguments": {}}\n</tool_call> Then more.',
        'In a line <tool_call>\n{"name": "x", "arguments": {}}\n</tool_call>',
        '<tool_call>\n{"arguments": {}, "name": "x"}\n</tool_call>',
        '<tool_call>\n{"name":"x","arguments":{}}\n</tool_call>',
    ],
)
def test_what_would_not_come_back_as_it_is_stays_text(text: str) -> None:
    call = '<tool_call>\n{"name": "x", "arguments": {}}\n</tool_call>'
    for turns in ([ASK, *said(text)], [ASK, *said(call), {"role": "user", "content": "No result?"}, *said("So.")]):
        (row,) = FORMATS["messages-tools"].rows({"prompt": turns[:-1], "completion": turns[-1:]})
        assert row["messages"] == turns


MORE = 11 * 2**20  # `datasets` takes the columns of a file from its first 10 MB


@pytest.mark.parametrize("late", [False, True], ids=["known first", "known late"])
def test_votes_on_labels_load_whichever_comes_first(tmp_path, late: bool) -> None:
    from datasets import load_dataset

    def row(number: int, *, known: bool) -> dict:
        at = "2024-05-01T10:00:00.123456+00:00" if number % 2 else "2024-05-01T10:00:00+00:00"
        vote = {"label": "good", "annotator": "imported:u" if known else "imported", "at": at if known else ""}
        return {
            "text": f"{number} {'x' * 5000}",
            "label": "good",
            "split": "train",
            "source": "imported",
            "share": 1.0,
        } | {"votes": [vote] * (3 if known else 1)}

    count = MORE // 5000
    rows = [row(number, known=(number > count) == late) for number in range(count + 20)]
    rows += [row(0, known=True) | {"label": None, "share": 0.5}]  # tied texts come last
    content = io.BytesIO()
    DownloadOptions("label-votes").write(lambda: iter(rows), content)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content.getvalue())
    assert path.stat().st_size > 10 * 2**20
    loaded = load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(loaded) == count + 21
    assert loaded[-1]["label"] is None
    assert json.loads(content.getvalue().splitlines()[0])["votes"]
