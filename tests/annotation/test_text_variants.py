"""Other names and spellings of messages, and other containers: what is stated is taken, no more.

Every row is written by hand from the documentation of the tool or data set that its id names.
"""

from __future__ import annotations

import gzip
import io
import json
import runpy
import zipfile

import pytest

from annotation.imports import UnreadableFile, parse_prompts
from annotation.imports.fields import CRITERIA
from tests.annotation.import_rows import ASK, BAD, GOOD, PAIR, ROOT, SECOND, USER, asked, parse, said

SYSTEM = "Be right."
WITH_SYSTEM = [
    {"system_prompt": SYSTEM, "question": ASK, "response": GOOD},
    {"systemInstruction": {"role": "system", "parts": [{"text": SYSTEM}]}}
    | {"contents": [{"role": "user", "parts": [{"text": ASK}]}, {"role": "model", "parts": [{"text": GOOD}]}]},
    {"context": SYSTEM, "messages": [{"author": "user", "content": ASK}, {"author": "assistant", "content": GOOD}]},
    {
        "schemaVersion": "bedrock-conversation-2024",
        "system": [{"text": SYSTEM}],
        "messages": [{"role": "user", "content": [{"text": ASK}]}, {"role": "assistant", "content": [{"text": GOOD}]}],
    },
    {
        "system": [{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": ASK}]}, said(GOOD)],
    },
    {
        "messages": [
            {"role": "System", "content": SYSTEM},
            {"role": "User", "content": ASK},
            {"role": "Chatbot", "content": GOOD},
        ]
    },
    {"input": [{"role": "system", "content": SYSTEM}, USER], "ideal": GOOD},
    {
        "conversations": [
            {"from": "system", "value": SYSTEM},
            {"from": "user", "value": ASK},
            {"from": "bing", "value": GOOD},
        ]
    },
    {"text": f"<s>[INST] <<SYS>>\n{SYSTEM}\n<</SYS>>\n\n{ASK} [/INST] {GOOD} </s>"},
    {"text": f"[INST] <<SYS>>\n{SYSTEM}\n<</SYS>>\n\n{ASK} [/INST] {GOOD}"},
    {"text": f"<|system|>\n{SYSTEM}</s>\n<|user|>\n{ASK}</s>\n<|assistant|>\n{GOOD}</s>"},
    {"text": f"{SYSTEM}\n\n### Instruction:\n{ASK}\n\n### Response:\n{GOOD}"},
    {"text": f"{SYSTEM} USER: {ASK} ASSISTANT: {GOOD}</s>"},
]


@pytest.mark.parametrize("row", WITH_SYSTEM, ids=lambda row: str(row)[:50])
def test_a_conversation_with_a_system_text_in_each_spelling(row: dict) -> None:
    assert asked(row) == (["system", "user"], [SYSTEM, ASK], (GOOD,))


ANSWERED = [
    {"question": ASK, "answer": GOOD},
    {"problem": ASK, "solution": GOOD},
    {"prompt": ASK, "generation": GOOD},
    {"inputs": ASK, "targets": GOOD, "task": "x"},
    {"prompt": ASK, "referenceResponse": GOOD, "category": "sci"},
    {"messages": [USER], "ground_truth": GOOD},
    {"INSTRUCTION": ASK, "RESPONSE": GOOD, "SOURCE": "x"},
    {"input_text": ASK, "output_text": GOOD},
    {"conversations": [ASK, GOOD], "source": "stackexchange"},
    {"conversations": {"from": ["human", "gpt"], "value": [ASK, GOOD]}},
    {"conversation": [{"input": ASK, "output": GOOD}], "source": "x"},
    {"messages": json.dumps([USER, said(GOOD)])},
    {"interactions": [{"is_user": True, "text": ASK}, {"is_user": False, "text": GOOD}]},
    {"uuid": "x", "instruction": ASK, "response": GOOD, "conversations": [USER, said(GOOD)]},
    {"text": f"<bos><start_of_turn>user\n{ASK}<end_of_turn>\n<start_of_turn>model\n{GOOD}<end_of_turn>\n"},
    {"text": f"<|user|>\n{ASK}<|end|>\n<|assistant|>\n{GOOD}<|end|>"},
    {
        "text": f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{ASK}<|eot_id|>"
        f"<|start_header_id|>assistant<|end_header_id|>\n\n{GOOD}<|eot_id|>"
    },
]


@pytest.mark.parametrize("row", ANSWERED, ids=lambda row: ",".join(row)[:50])
def test_a_question_with_its_answer_under_each_name(row: dict) -> None:
    assert asked(row) == (["user"], [ASK], (GOOD,))


def test_what_stands_beside_a_question_belongs_to_it() -> None:
    whole = f"Say when.\n\n{ASK}"
    for row in (
        {"instruction": "Say when.", "context": ASK, "response": GOOD, "category": "closed_qa"},
        {"definition": "Say when.", "inputs": ASK, "targets": GOOD},
        {"instruction": "Say when.", "input": ASK, "output": GOOD},
    ):
        assert asked(row) == (["user"], [whole], (GOOD,))
    several = ["Hi", "Hello.", ASK]
    for row in (
        {"conversation": [{"input": "Hi", "output": "Hello."}, {"input": ASK, "output": GOOD}]},
        {"text": f"<s>[INST] Hi [/INST] Hello. </s><s>[INST] {ASK} [/INST] {GOOD} </s>"},
    ):
        assert asked(row) == (["user", "assistant", "user"], several, (GOOD,))
    marked = "Hi\n<extra_id_1>Assistant\nHello.\n<extra_id_1>User\n" + ASK
    (row,) = parse({"prompt": marked, "response": GOOD, "helpfulness": 4, "correctness": 4}).rows
    assert [turn["content"] for turn in row.messages] == several


def test_what_messages_hold_besides_their_text_is_counted() -> None:
    answer = said(GOOD) | {"weight": 0, "reasoning_content": "hm", "refusal": None}
    parsed = parse({"messages": [USER, answer]})
    assert parsed.not_used == {"messages[].weight": 1, "messages[].reasoning_content": 1}
    assert parsed.rows[0].references == (GOOD,)


def test_fields_are_reported_by_their_names_in_the_file() -> None:
    parsed = parse({"Prompt": ASK, "Response A": BAD, "Response B": GOOD, "Other Notes": "x", "Preference": "b"})
    assert parsed.not_used == {"Other Notes": 1}
    parsed = parse(PAIR | {"systemInstruction": "Be right.", "system": "Be kind."})
    assert parsed.not_used == {"systemInstruction": 1}


FILES = [
    ("x.json", json.dumps({"version": 1, "data": [PAIR, SECOND]})),
    ("x.json", json.dumps({"train": [PAIR], "test": [SECOND]})),
    ("x.json", json.dumps({"rows": [{"row_idx": 0, "row": PAIR}, {"row_idx": 1, "row": SECOND}]})),
    ("x.json", json.dumps({name: [PAIR[name], SECOND[name]] for name in PAIR})),
    ("x.json", json.dumps({name: {"0": PAIR[name], "1": SECOND[name]} for name in PAIR})),
    ("x.json", json.dumps({"0": PAIR, "1": SECOND})),
    ("x.json", json.dumps({"columns": list(PAIR), "data": [list(PAIR.values()), list(SECOND.values())]})),
    ("x.csv", f"question;response_a;response_b;winner\n{ASK};{BAD};{GOOD};b\nTwo plus two?;Five.;Four.;b\n"),
]


@pytest.mark.parametrize(("name", "text"), FILES)
def test_tables_as_other_programs_write_them(name: str, text: str) -> None:
    for file, content in ((name, text.encode()), (f"{name}.gz", gzip.compress(text.encode()))):
        parsed = parse_prompts(content, file)
        assert [(pair.chosen, pair.rejected) for row in parsed.rows for pair in row.pairs] == [
            (GOOD, BAD),
            ("Four.", "Five."),
        ]


def test_a_comma_is_a_decimal_point_in_every_column_that_is_called_after_a_criterion() -> None:
    """Where semicolons part the columns, as Excel writes them; a text stays as it is written."""
    for name in CRITERIA:
        (row,) = parse_prompts(f"instruction;answer;{name}\n4,5;Four.;4,5\n".encode(), "x.csv").rows
        assert [vote.ratings for vote in row.votes] == [((0, name, 4.5),)]
        assert row.messages[-1]["content"] == "4,5"


def zipped(**files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "."), data)
    return content.getvalue()


def test_every_data_file_of_a_zip_archive_is_read() -> None:
    rows = json.dumps(PAIR).encode() + b"\n"
    other = b"prompt,chosen,rejected\nHow?,So.,Not so.\n,So.,\n"
    packed = zipped(b__csv=other, a__jsonl__gz=gzip.compress(rows), LICENSE__txt=b"MIT", README__md=b"# x")
    parsed = parse_prompts(packed, "rows.zip")
    assert [row.pairs[0].chosen for row in parsed.rows] == [GOOD, "So."]
    assert [(row.line, row.reason[:7]) for row in parsed.refused] == [(3, "b.csv: ")]
    assert len(parse_prompts(zipped(rows__jsonl=rows, LICENSE__txt=b"MIT"), "rows.zip").rows) == 1
    assert [row.messages[0]["content"] for row in parse_prompts(zipped(one__txt=b"Why?"), "x.zip").rows] == ["Why?"]


def test_what_is_wrong_with_a_zip_archive_is_said() -> None:
    rows = json.dumps(PAIR).encode() + b"\n"
    with pytest.raises(UnreadableFile, match=r"holds no data file, only LICENSE\.txt"):
        parse_prompts(zipped(LICENSE__txt=b"MIT"), "rows.zip")
    with pytest.raises(UnreadableFile, match="larger than 50 MB"):
        parse_prompts(zipped(a__jsonl=b" " * (51 * 2**20)), "rows.zip")
    with pytest.raises(UnreadableFile, match=r"^b\.jsonl: Byte 0 of the file"):
        parse_prompts(zipped(a__jsonl=rows, b__jsonl=b"\xe9"), "rows.zip")
    with pytest.raises(UnreadableFile, match="cannot be unpacked"):
        parse_prompts(b"PK nothing", "rows.zip")
    broken = bytearray(zipped(a__jsonl=rows * 50))
    broken[60:70] = bytes(10)
    with pytest.raises(UnreadableFile, match="cannot be unpacked"):
        parse_prompts(bytes(broken), "rows.zip")


def test_messages_that_pandas_wrote_into_a_table() -> None:
    better, worse = ([USER, said(text)] for text in (GOOD, BAD))
    table = f'prompt,chosen,rejected\n{ASK},"{better}","{worse}"\n'
    (row,) = parse_prompts(table.encode(), "x.csv").rows
    assert [(pair.chosen, pair.rejected) for pair in row.pairs] == [(GOOD, BAD)]
    numpy = "[{'content': 'x', 'role': 'user'}\n {'content': 'y', 'role': 'assistant'}]"
    parsed = parse_prompts(f'prompt,chosen,rejected\n{ASK},"{numpy}","{numpy}"\n'.encode(), "x.csv")
    assert parsed.rows == []
    assert "holds objects of Python written as text; save the table as JSONL" in parsed.refused[0].reason


def test_the_table_of_the_docs_is_what_an_import_does() -> None:
    script = runpy.run_path(str(ROOT / "benchmarks" / "import_shapes.py"))
    found = script["of_shapes"]()
    assert script["table"](found) in (ROOT / "docs" / "reference" / "import-shapes.md").read_text("utf-8")
    for name, each in found.items():  # every sample brings something, or says why not
        assert each["taken"] or each["reasons"], name
        assert each["taken"] + each["duplicate"] + each["refused"] >= 1
    assert sum(each["reference responses"] for each in found.values()) > 10
