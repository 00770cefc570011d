"""Which rows of a file are taken, which are refused, on which line, and in which words."""

import codecs
import json
import unicodedata
from pathlib import Path

import pytest

import annotation
from annotation import imports
from annotation.imports import AnswerRow, PairRow, ParsedPrompts, PromptRow, RefusedRow, UnreadableFile, parse_prompts

SAMPLES = Path(annotation.__file__).parent / "sample_prompts.jsonl"
LIMIT = imports.rows.MAX_TEXT_LENGTH


def parse(text: str, filename: str = "prompts.jsonl") -> ParsedPrompts:
    return parse_prompts(text.encode(), filename)


def row(line: int, text: str, external_id: str = "", reference: str = "", category: str = "") -> PromptRow:
    return PromptRow(line, [{"role": "user", "content": text}], external_id, reference, category)


def texts(parsed: ParsedPrompts) -> list[tuple[int, str]]:
    return [(row.line, row.messages[-1]["content"]) for row in parsed.rows]


def message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


# --- rows that are taken ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filename", "content", "rows"),
    [
        pytest.param(
            "a.jsonl",
            '{"text": "One", "id": "x-1", "reference": "Yes.", "category": "c"}\n\n{"prompt": "Two"}\n',
            [row(1, "One", "x-1", "Yes.", "c"), row(3, "Two")],
            id="jsonl",
        ),
        pytest.param("a.NDJSON", '{"text": "One"}', [row(1, "One")], id="ndjson in capitals"),
        pytest.param(
            "a.json",
            '[\n  {"text": "One"},\n  {\n    "text": "Two"\n  }, {"text": "Three"}\n]\n',
            [row(2, "One"), row(3, "Two"), row(5, "Three")],
            id="json list with the lines its items start on",
        ),
        pytest.param("my.own.txt", "One\n\n   \n Two, with {\n", [row(1, "One"), row(4, "Two, with {")], id="txt"),
        pytest.param(
            "a.csv",
            'id,text,category,extra\n1,"One, two",c,z\n2,Three,,\n',
            [row(2, "One, two", "1", "", "c"), row(3, "Three", "2")],
            id="csv",
        ),
        pytest.param("a.csv", "Prompt ; Reference\nOne;Yes, sir\n", [row(2, "One", "", "Yes, sir")], id="semicolon"),
        pytest.param("a.csv", "id\ttext\n7\tOne; two, three\n", [row(2, "One; two, three", "7")], id="tab in a csv"),
        pytest.param("a.tsv", "text\tid\nOne, two\t7\n", [row(2, "One, two", "7")], id="tsv"),
        pytest.param("a.tsv", "text,id\nOne,7\n", [row(2, "One", "7")], id="comma in a tsv"),
        pytest.param("a.csv", "text\nOne\n", [row(2, "One")], id="one column"),
        pytest.param("a.csv", 'id, "text"\n1, "One, two"\n', [row(2, "One, two", "1")], id="space after the comma"),
        pytest.param(
            "a.csv",
            '\ntext,id\n"One\ntwo ""2""\n\nthree",1\n\nFour,2\n',
            [row(3, 'One\ntwo "2"\n\nthree', "1"), row(8, "Four", "2")],
            id="multi-line cells and the lines their rows start on",
        ),
        pytest.param(
            "a.csv",
            'prompt,completions\nOne,"[""A"", ""B""]"\n',
            [PromptRow(2, [{"role": "user", "content": "One"}], "", "", "", (AnswerRow("A"), AnswerRow("B")))],
            id="a list in a cell",
        ),
    ],
)
def test_rows(filename: str, content: str, rows: list[PromptRow]) -> None:
    assert parse(content, filename) == ParsedPrompts(rows, [])


@pytest.mark.parametrize("filename", ["a.txt", "a.csv", "a.jsonl", "a.json"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system_count_alike(filename: str, line_end: str) -> None:
    content = {
        "a.txt": "One\n\nTwo",
        "a.csv": 'text\n"One"\n\nTwo',
        "a.jsonl": '{"text": "One"}\n\n{"text": "Two"}',
        "a.json": '[{"text": "One"},\n\n{"text": "Two"}]',
    }[filename]
    first = 2 if filename == "a.csv" else 1
    assert texts(parse(content.replace("\n", line_end), filename)) == [(first, "One"), (first + 2, "Two")]


def test_a_conversation_keeps_its_messages_and_nothing_else() -> None:
    messages = [message("system", "Be kind."), message("user", "Hi"), message("assistant", "Hello!")]
    line = json.dumps({"messages": [*messages, message("user", " And now? ") | {"name": "Ann"}], "id": "m"})
    assert parse(line).rows == [PromptRow(1, [*messages, message("user", "And now?")], "m", "", "")]


def test_null_stands_for_a_missing_value() -> None:
    line = '{"text": null, "prompt": "One", "messages": null, "id": null, "reference": null, "category": null}'
    assert parse(line) == ParsedPrompts([row(1, "One")], [])


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        pytest.param("  \t One \n ", "One", id="trimmed"),
        pytest.param("One\r\ntwo\rthree\tfour", "One\ntwo\nthree\tfour", id="line ends"),
        pytest.param("Cafe\u0301", "Café", id="NFC"),
        pytest.param("a\x07b\x1b[1mc\x7fd\x85e\x0cf", "ab[1mcdef", id="control characters"),
        pytest.param("a\u2028b 👩\u200d🚀", "a\u2028b 👩\u200d🚀", id="other invisible characters stay"),
        pytest.param("x" * LIMIT, "x" * LIMIT, id="as long as allowed"),
        pytest.param("  " + "x" * LIMIT + "  ", "x" * LIMIT, id="length counts after trimming"),
    ],
)
@pytest.mark.parametrize("escaped", [True, False])
def test_text_as_it_is_stored(written: str, stored: str, escaped: bool) -> None:
    line = json.dumps({"text": written, "reference": written}, ensure_ascii=escaped)
    line = line.replace("\x7f", "\\u007f").replace("\x85", "\\u0085")
    assert parse(line).rows == [row(1, stored, reference=stored)]


def test_plain_lines_and_json_lines_are_not_cut_at_unicode_separators() -> None:
    assert texts(parse("a\u2028b\nc\x0cd", "a.txt")) == [(1, "a\u2028b"), (2, "cd")]
    assert texts(parse('{"text": "a\u2028b\u0085c"}\n{"text": "d"}')) == [(1, "a\u2028bc"), (2, "d")]
    assert texts(parse("text\na\u2028b\u0085c\nd\n", "a.csv")) == [(2, "a\u2028bc"), (3, "d")]


@pytest.mark.parametrize(
    ("encoding", "bom"),
    [("utf-8", codecs.BOM_UTF8), ("utf-16-le", codecs.BOM_UTF16_LE), ("utf-16-be", codecs.BOM_UTF16_BE)],
)
@pytest.mark.parametrize("filename", ["a.txt", "a.csv", "a.jsonl", "a.json"])
def test_byte_order_marks(filename: str, encoding: str, bom: bytes) -> None:
    content = {
        "a.txt": "Ça va 🙂?",
        "a.csv": "text\nÇa va 🙂?",
        "a.jsonl": '{"text": "Ça va 🙂?"}',
        "a.json": '[{"text": "Ça va 🙂?"}]',
    }[filename]
    [found] = parse_prompts(bom + content.encode(encoding), filename).rows
    assert found.messages == [message("user", "Ça va 🙂?")]


# --- rows that are refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{}", 'the row has no "text", "prompt" or "messages"; add one of them'),
        (
            '{"Title": "a"}',
            'the row has no "text", "prompt" or "messages"; add one of them, '
            'or say which of "Title" is the prompt (columns)',
        ),
        ('{"text": ""}', '"text" is empty; write something there or delete the row'),
        ('{"prompt": " \\n "}', '"prompt" is empty; write something there or delete the row'),
        ('{"text": "\\u0007"}', '"text" is empty; write something there or delete the row'),
        ('{"text": true}', '"text" is true or false; write text in double quotes instead'),
        ('{"text": 3}', '"text" is a number; write text in double quotes instead'),
        ('{"prompt": 3.5}', '"prompt" is a number; write text in double quotes instead'),
        ('{"text": NaN}', '"text" is null; write the prompt there'),
        ('{"text": null}', '"text" is null; write the prompt there'),
        ('{"messages": null}', '"messages" is null; write the prompt there'),
        ('{"text": {"a": 1}}', '"text" is an object; write text in double quotes instead'),
        ('{"text": ["a"]}', '"text" is a list; write text in double quotes instead'),
        ('{"text": "a", "prompt": "b"}', '"text" and "prompt" are both given; keep one of them'),
        ('{"text": "a", "messages": []}', '"text" and "messages" are both given; keep one of them'),
        (
            '{"text": "a", "reference": false}',
            '"reference" is true or false; write text in double quotes instead',
        ),
        ('{"text": "a\\u0000b"}', '"text" contains a NUL character; remove it'),
        ('{"text": "a", "id": "\\u0000"}', '"id" contains a NUL character; remove it'),
        ('{"text": "a\0b"}', "the line contains a NUL byte; remove it"),
        ('{"text": "a\\ud83d"}', '"text" contains half of a surrogate pair; write the whole character'),
        (
            json.dumps({"text": "x" * (LIMIT + 1)}),
            '"text" has 20,001 characters; shorten it to at most 20,000',
        ),
        (
            json.dumps({"text": "a", "reference": "x" * (LIMIT + 1)}),
            '"reference" has 20,001 characters; shorten it to at most 20,000',
        ),
        (json.dumps({"text": "a", "id": "x" * 201}), '"id" has 201 characters; shorten it to at most 200'),
        # U+0958 is composed, but its NFC is decomposed: 101 characters become 202.
        (
            json.dumps({"text": "a", "id": "\u0958" * 101}),
            '"id" has 202 characters; shorten it to at most 200',
        ),
        (
            json.dumps({"text": "a", "category": "x" * 101}),
            '"category" has 101 characters; shorten it to at most 100',
        ),
        ('["a"]', 'the row is a list; write an object such as {"text": "…"}'),
        ('"a"', 'the row is text; write an object such as {"text": "…"}'),
        ("null", 'the row is null; write an object such as {"text": "…"}'),
        (
            '{"text": "a"',
            "broken JSON at column 13 (Expecting ',' delimiter); "
            'write one whole object on a line, such as {"text": "…"}',
        ),
        (
            '  {"text": "a"} {"text": "b"}',
            "broken JSON at column 17 (more text after the value); "
            'write one whole object on a line, such as {"text": "…"}',
        ),
        (
            "Good morning",
            'broken JSON at column 1 (Expecting value); write one whole object on a line, such as {"text": "…"}',
        ),
        (
            "[" * 100_000,
            'broken JSON (nested too deeply); write one whole object on a line, such as {"text": "…"}',
        ),
        (
            '{"text": ' + "9" * 5_000 + "}",
            'broken JSON (a number is too long); write one whole object on a line, such as {"text": "…"}',
        ),
    ],
    ids=lambda value: value[:40].encode("unicode_escape").decode(),
)
def test_refused_json_lines(line: str, reason: str) -> None:
    parsed = parse(f'{{"text": "First"}}\n\n{line}\n{{"text": "Last"}}\n')
    assert parsed.refused == [RefusedRow(3, reason)]
    assert texts(parsed) == [(1, "First"), (4, "Last")]


USER = {"role": "user", "content": "Hi"}
SHAPE = '{"role": "user", "content": "…"}'


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ("Hi", f'"messages" is text; write a list of messages such as {SHAPE}'),
        (USER, f'"messages" is an object; write a list of messages such as {SHAPE}'),
        ([], f'"messages" is an empty list; add a message such as {SHAPE}'),
        ([USER, "Hi"], f'message 2 of "messages" is text; write {SHAPE}'),
        ([None], f'message 1 of "messages" is null; write {SHAPE}'),
        ([{"content": "Hi"}], 'message 1 of "messages" has no "role"; add it'),
        ([{"role": "user"}], 'message 1 of "messages" has no "content"; add it'),
        ([{"role": 1, "content": "Hi"}], '"role" of message 1 is a number; use system, user or assistant'),
        (
            [USER, {"role": "assistant", "content": "", "tool_calls": ["x"]}, USER],
            '"tool_calls" of a message is no list of objects; write each call as {"name": …, "arguments": …}',
        ),
        (
            [{"role": "Users", "content": "Hi"}],
            '"role" of message 1 is "Users", which is unknown; use system, user or assistant',
        ),
        (
            [{"role": "\0" + "x" * 50, "content": "Hi"}],
            f'"role" of message 1 is "\\u0000{"x" * 39}", which is unknown; use system, user or assistant',
        ),
        (
            [{"role": "user", "content": " "}],
            '"content" of message 1 is empty; write something there or delete the row',
        ),
        (
            [USER, {"role": "assistant", "content": None}, USER],
            '"content" of message 2 is null; write text in double quotes instead',
        ),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}],
            '"content" of message 1 has a part of type "image_url"; only text can be judged here',
        ),
        (
            [{"role": "assistant", "content": "Hello"}],
            '"messages" ends with an assistant message; end with the user message to answer',
        ),
        (
            [{"role": "system", "content": "Be kind."}],
            '"messages" ends with a system message; end with the user message to answer',
        ),
        (
            [{"role": "user", "content": "x" * LIMIT}, USER],
            '"messages" has 20,002 characters; shorten it to at most 20,000',
        ),
    ],
)
def test_refused_conversations(messages: object, reason: str) -> None:
    assert parse("\n" + json.dumps({"messages": messages})) == ParsedPrompts([], [RefusedRow(2, reason)])


QUOTING = 'close every quoted cell and write a quote inside it twice ("")'


@pytest.mark.parametrize(
    ("content", "refused", "taken"),
    [
        pytest.param(
            "id,text\n1,One\n2,Two, three\n3\n4,Four\n",
            [
                RefusedRow(
                    3,
                    "the row has 3 columns but the header has 2; put text that contains a comma in double quotes",
                ),
                RefusedRow(
                    4,
                    "the row has 1 column but the header has 2; leave an empty cell for a value that is missing",
                ),
            ],
            [(2, "One"), (5, "Four")],
            id="unequal columns",
        ),
        pytest.param(
            "id;text\n1;One;two\n2;Two\n",
            [
                RefusedRow(
                    2,
                    "the row has 3 columns but the header has 2; put text that contains a semicolon in double quotes",
                )
            ],
            [(3, "Two")],
            id="unequal columns with semicolons",
        ),
        pytest.param(
            'id,text\n1,"One\ntwo"\n2,""\n3,Three\n',
            [RefusedRow(4, '"text" is empty; write something there or delete the row')],
            [(2, "One\ntwo"), (5, "Three")],
            id="an empty cell below a multi-line one",
        ),
        pytest.param(
            'text\n"One" two\nThree\n',
            [RefusedRow(2, f"broken CSV (',' expected after '\"'); {QUOTING}")],
            [(3, "Three")],
            id="text after a closing quote",
        ),
        pytest.param(
            'text\nOne\n"Two\nThree\nFour\n',
            [RefusedRow(3, f"lines 3 to 5 were read as one row (unexpected end of data); {QUOTING}")],
            [(2, "One")],
            id="a quote that is never closed",
        ),
        pytest.param(
            f"text\n{'x' * (LIMIT + 1)}\nTwo\n",
            [RefusedRow(2, '"text" has 20,001 characters; shorten it to at most 20,000')],
            [(3, "Two")],
            id="a long cell",
        ),
        pytest.param(
            f"text\n{'x' * 200_000}\nTwo\n",
            [RefusedRow(2, f"broken CSV (field larger than field limit (131072)); {QUOTING}")],
            [(3, "Two")],
            id="a cell longer than the csv module reads",
        ),
        pytest.param(
            "text,id\na\0b,1\nTwo,2\n",
            [RefusedRow(2, '"text" contains a NUL character; remove it')],
            [(3, "Two")],
            id="NUL",
        ),
    ],
)
def test_refused_table_rows(content: str, refused: list[RefusedRow], taken: list[tuple[int, str]]) -> None:
    parsed = parse(content, "a.csv")
    assert parsed.refused == refused
    assert texts(parsed) == taken


def test_refused_list_items_and_plain_lines() -> None:
    parsed = parse('[\n{"text": 1},\n\n"a", {"text": "Two"}]', "a.json")
    assert parsed.refused == [
        RefusedRow(2, '"text" is a number; write text in double quotes instead'),
        RefusedRow(4, 'the row is text; write an object such as {"text": "…"}'),
    ]
    assert texts(parsed) == [(4, "Two")]

    parsed = parse(f"One\nT\0wo\n{'x' * 20_001}\n\x07\nFour", "a.txt")
    assert parsed.refused == [
        RefusedRow(2, '"text" contains a NUL character; remove it'),
        RefusedRow(3, '"text" has 20,001 characters; shorten it to at most 20,000'),
        RefusedRow(4, '"text" is empty; write something there or delete the row'),
    ]
    assert texts(parsed) == [(1, "One"), (5, "Four")]


def test_duplicates_are_left_to_the_importer() -> None:
    line = '{"text": "One", "id": "x"}\n'
    assert parse(line * 2) == ParsedPrompts([row(1, "One", "x"), row(2, "One", "x")], [])


# --- files that are refused as a whole ----------------------------------------------------------------------

KNOWN = "Use one of .jsonl, .ndjson, .json, .csv, .tsv, .txt."
MEND = "Mend it, or write one object on each line and save the file as .jsonl."
AS_CSV = "In the spreadsheet, save the sheet as CSV UTF-8."
OWN_NAME = "Keep one of them, or give each its own name."
SAVE = "Save the file as UTF-8 and upload it again."
EMPTY = "The file is empty. Choose a file that holds at least one prompt."
NO_ROWS = "The file holds no rows. Choose a file that holds at least one prompt."
COLUMNS = 'The first row must name the columns, one of them "text" or "prompt". Columns found:'
NOT_A_LIST = (
    'A .json file must hold a list: [{"text": "…"}, …]. '
    "If yours has one object on each line, give it the extension .jsonl."
)
NOT_TEXT = (
    "The file is mostly NUL bytes: it is not text, or it is UTF-16 without a byte order mark. "
    "Save it as UTF-8 and upload it again."
)


@pytest.mark.parametrize(
    ("filename", "data", "problem"),
    [
        ("a.xlsx", b"x", f'Files that end in ".xlsx" cannot be read. {KNOWN} {AS_CSV}'),
        ("a.jsonl.gz", b"x", "The file ends in .gz but is not whole gzip. Pack it again."),
        ("a.parquet", b"x", "The file cannot be read as Parquet. Save it again, or as JSONL."),
        ("prompts", b"x", f"The file has no extension. {KNOWN}"),
        ("jsonl", b"x", f"The file has no extension. {KNOWN}"),
        ("a.jsonl", b"", EMPTY),
        ("a.json", b" \n\t", EMPTY),
        ("a.csv", codecs.BOM_UTF8 + b"\r\n", EMPTY),
        ("a.txt", codecs.BOM_UTF16_LE, EMPTY),
        ("a.csv", b"text,id\n\n", NO_ROWS),
        ("a.json", b"[ ]\n", NO_ROWS),
        (
            "a.txt",
            "One\nCafé".encode("latin-1"),
            f"Byte 7 of the file, on line 2, is not valid UTF-8. {SAVE}",
        ),
        (
            "a.txt",
            codecs.BOM_UTF8 + b"One\r\n\r\n\xff",
            f"Byte 10 of the file, on line 3, is not valid UTF-8. {SAVE}",
        ),
        (
            "a.txt",
            codecs.BOM_UTF16_LE + "One\nTwo".encode("utf-16-le") + b"x",
            f"Byte 16 of the file, on line 2, is not valid UTF-16. {SAVE}",
        ),
        ("a.txt", "One\nTwo".encode("utf-16-le"), NOT_TEXT),
        ("a.csv", bytes(500), NOT_TEXT),
        ("a.csv", b"question,id\nOne,1\n", f'{COLUMNS} "question", "id".'),
        ("a.csv", b"messages\n[]\n", f'{COLUMNS} "messages".'),
        ("a.csv", b'"text" x\nOne\n', f"{COLUMNS} none that can be read."),
        (
            "a.csv",
            b"text,prompt\nOne,Two\n",
            'The file has a column "text" and a column "prompt". Keep the one that holds the prompts.',
        ),
        ("a.csv", b"text,Text\nOne,Two\n", f'2 columns are called "text". {OWN_NAME}'),
        ("a.csv", b"text,id,id,id\nOne,1,2,3\n", f'3 columns are called "id". {OWN_NAME}'),
        ("a.json", b'"One"', NOT_A_LIST),
        (
            "a.json",
            b'[{"text": "One"},\n{"text": \n"Two" "Three"}]',
            f"In the list item on line 2: broken JSON at line 3, column 7 (Expecting ',' delimiter). {MEND}",
        ),
        ("a.json", b"[,]", f"In the list item on line 1: broken JSON at column 2 (Expecting value). {MEND}"),
        (
            "a.json",
            b'[{"text": "One"},\n]',
            f"In the list item on line 2: broken JSON at line 2, column 1 (Expecting value). {MEND}",
        ),
        (
            "a.json",
            b'[\n{"text": "One"}\n{"text": "Two"}]',
            f"The list lacks a comma or its closing bracket on line 3. {MEND}",
        ),
        ("a.json", b'[{"text": "One"}\n', f"The list lacks a comma or its closing bracket on line 2. {MEND}"),
        (
            "a.json",
            b'[{"text": "One"}]\n\n[]',
            f"There is more text after the end of the list, on line 3. {MEND}",
        ),
        ("a.json", b"[]\n]", f"There is more text after the end of the list, on line 2. {MEND}"),
        ("a.json", b"[", f"In the list item on line 1: broken JSON at column 2 (Expecting value). {MEND}"),
        ("a.json", b"[" * 100_000, f"In the list item on line 1: broken JSON (nested too deeply). {MEND}"),
    ],
)
def test_unreadable_files(filename: str, data: bytes, problem: str) -> None:
    with pytest.raises(UnreadableFile) as caught:
        parse_prompts(data, filename)
    assert str(caught.value) == problem


def test_the_largest_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert imports.MAX_FILE_BYTES == 50 * 2**20
    with pytest.raises(UnreadableFile, match=r"^The file is larger than 50 MB\. Split it into smaller files\.$"):
        parse_prompts(bytes(imports.MAX_FILE_BYTES + 1), "a.txt")
    monkeypatch.setattr(imports.reading, "MAX_FILE_BYTES", 3)
    assert texts(parse("One", "a.txt")) == [(1, "One")]


def test_the_longest_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports.reading, "MAX_ROWS", 2)
    assert texts(parse("One\n\nTwo\n\n", "a.txt")) == [(1, "One"), (3, "Two")]
    with pytest.raises(UnreadableFile, match=r"^The file has more than 2 rows\. Split it into smaller files\.$"):
        parse('1\n{"text": "One"}\n2\n')


# --- the prompts that come with Prefloop --------------------------------------------------------------------


def test_sample_prompts() -> None:
    parsed = parse_prompts(SAMPLES.read_bytes(), SAMPLES.name)
    assert parsed.refused == []
    assert len(parsed.rows) >= 120
    assert len({row.external_id for row in parsed.rows} - {""}) == len(parsed.rows)
    said = {json.dumps([item["content"].casefold() for item in row.messages]) for row in parsed.rows}
    assert len(said) == len(parsed.rows)
    assert len({row.category for row in parsed.rows} - {""}) >= 10
    for found in parsed.rows:
        assert found.external_id.rpartition("-")[0] == found.category
        assert all(unicodedata.is_normalized("NFC", item["content"]) for item in found.messages)


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ("sep=;\nprompt;response_a;response_b;winner\nAsk?;Yes;No;a\n", 3),  # as Excel writes it in half of the world
        ("prompt;response_a;response_b;score_a;score_b\nAsk?;Yes;No;4,5;1,0\n", 2),  # with its decimal comma
        (",,,,\nprompt,response_a,response_b,winner,\n,,,,\nAsk?,Yes,No,a,\n", 4),  # empty rows and a last column
        ("prompt,response_a,response_b,winner\nAsk?,Yes,No,a,,\n", 2),
    ],
)
def test_tables_as_spreadsheets_write_them(table: str, line: int) -> None:
    parsed = parse_prompts(table.encode(), "a.csv")
    assert [(row.line, row.completions, row.pairs) for row in parsed.rows] == [
        (line, ("Yes", "No"), (PairRow("Yes", "No"),))
    ]
    assert not parsed.refused
    assert not parsed.not_used


def test_a_decimal_comma_is_one_only_in_a_column_of_numbers() -> None:
    parsed = parse_prompts(b"prompt;response_a;response_b;score_a;score_b\nHow much?;4,5;5;2,5;3\n", "a.csv")
    (row,) = parsed.rows
    assert row.completions == ("4,5", "5")
    assert [rating[2] for rating in row.votes[0].ratings] == [2.5, 3.0]


def test_two_columns_of_a_table_are_never_one_field() -> None:
    with pytest.raises(UnreadableFile, match=r"2 columns are called .response.\. Keep one of them"):
        parse_prompts(b"prompt,response,response\nAsk?,Yes,No\n", "a.csv")
    parsed = parse_prompts(b"prompt,,\nAsk?,1,2\n", "a.csv")
    assert parsed.not_used == {"column 2": 1, "column 3": 1}
