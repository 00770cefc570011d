"""Small files that are large once they are read: refused, in bounded memory."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest

from annotation.imports import MAX_FILE_BYTES, Reading, UnreadableFile, parse_prompts
from annotation.imports.batches import parse_first
from annotation.imports.packed import FileLimits
from annotation.imports.parquet import read_parquet

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent.parent
MOST_MB = 400  # 50 MB of text as rows of Python; without a budget these took 2,000 and more
MEASURE = """
import resource, sys
from pathlib import Path
import pyarrow.parquet, django
from django.conf import settings
settings.configure(); django.setup()
from annotation.imports import UnreadableFile, parse_prompts
path = Path(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    said = parse_prompts(path.read_bytes(), path.name)
    said = f"{len(said.rows)} rows, {len(said.refused)} refused"
except UnreadableFile as why:
    said = str(why)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
print(said)
"""


def repeated(path: Path, value, rows: int, type_=None) -> Path:
    """A Parquet file with one value that is meant in each row."""
    dictionary = pyarrow.array([value], type_ or pyarrow.string())
    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * rows, pyarrow.int32()), dictionary)
    parquet.write_table(pyarrow.table({"text": column}), path, compression="zstd")
    return path


def measured(path: Path) -> tuple[int, str]:
    """Return by how many MB a process grows that reads a file, and what becomes of the file."""
    command = [sys.executable, "-c", MEASURE, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    grown, said = done.stdout.strip().split("\n", 1)
    return int(grown), said


@pytest.mark.parametrize(("length", "rows"), [(20_000, 100_000), (2_000_000, 1000), (40_000_000, 40)])
def test_a_value_that_stands_once_and_is_meant_often_counts_as_often(tmp_path, length, rows):
    path = repeated(tmp_path / "bomb.parquet", "x" * length, rows)
    assert path.stat().st_size < 20_000
    grown, said = measured(path)
    assert said == "Unpacked, the file is larger than 50 MB. Split it into smaller files."
    assert grown < MOST_MB


def meant(rows: int, value: str | bytes = "x" * 20_000) -> pyarrow.Array:
    return pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * rows, pyarrow.int32()), pyarrow.array([value]))


def nested(kind: str) -> pyarrow.Table:
    """Return a table of a few kB that means 2 GB and more: a value stands inside others, or in many columns."""
    every = pyarrow.array(range(0, 100_001, 1000), pyarrow.int32())
    columns = {f"c{number}": meant(1000, f"{number} " + "x" * 20_000) for number in range(100)}
    if kind == "columns":
        return pyarrow.table(columns)
    column = {
        "lists": lambda: pyarrow.ListArray.from_arrays(every, meant(100_000)),
        "bytes": lambda: pyarrow.ListArray.from_arrays(every, meant(100_000, b"x" * 20_000)),
        "one row": lambda: pyarrow.ListArray.from_arrays(pyarrow.array([0, 100_000], pyarrow.int32()), meant(100_000)),
        "objects": lambda: pyarrow.StructArray.from_arrays(list(columns.values()), list(columns)),
        "maps": lambda: pyarrow.MapArray.from_arrays(every, list(map(str, range(100_000))), meant(100_000)),
        "fixed": lambda: pyarrow.array([b"x" * 100_000] * 4_000, pyarrow.binary(100_000)),
    }[kind]()
    return pyarrow.table({"text": ["Say."] * len(column), "more": column})


@pytest.mark.parametrize("kind", ["columns", "lists", "bytes", "one row", "objects", "maps", "fixed"])
def test_a_value_inside_others_counts_as_often_as_it_is_meant(tmp_path, kind):
    path = tmp_path / "bomb.parquet"
    parquet.write_table(nested(kind), path, compression="zstd")
    assert path.stat().st_size < 600_000
    grown, said = measured(path)
    assert said == "Unpacked, the file is larger than 50 MB. Split it into smaller files."
    assert grown < MOST_MB


def test_every_kind_of_value_is_read_as_what_it_is(tmp_path):
    path = tmp_path / "kinds.parquet"
    columns = {
        "text": ["One", "Two", "Three"],
        "decimal": pyarrow.array([Decimal("1.50"), None, Decimal("2.25")], pyarrow.decimal128(38, 2)),
        "long": pyarrow.array(["a", "b", None], pyarrow.large_string()),
        "words": [["a", None], None, []],
        "pairs": pyarrow.array([["p", "q"], None, ["r", "s"]], pyarrow.list_(pyarrow.string(), 2)),
        "map": pyarrow.array([[("key", "value")], None, []], pyarrow.map_(pyarrow.string(), pyarrow.string())),
        "object": [{"a": "x", "b": [1]}, None, {"a": None, "b": []}],
        "number": [1.5, None, 2.0],
    }
    parquet.write_table(pyarrow.table(columns), path)
    with path.open("rb") as file:
        first, second, third = (row.fields for row in read_parquet(file, FileLimits(10_000, 10, 100)))
    assert first == {
        "text": "One",
        "decimal": "1.50",
        "long": "a",
        "words": ["a", None],
        "pairs": ["p", "q"],
        "map": [["key", "value"]],
        "object": {"a": "x", "b": [1]},
        "number": 1.5,
    }
    assert second == {"text": "Two", "long": "b"} | dict.fromkeys(
        ("decimal", "words", "pairs", "map", "object", "number")
    )
    assert (third["words"], third["map"], third["object"]) == ([], [], {"a": None, "b": []})


def test_a_large_file_is_read_in_parts_and_a_row_that_is_too_large_is_named(tmp_path, monkeypatch):
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({"text": meant(10)}), path)
    monkeypatch.setattr("annotation.imports.parquet.AT_ONCE_BYTES", 30_000)
    with path.open("rb") as file:
        assert [row.line for row in read_parquet(file, FileLimits(10**6, 10, 100))] == list(range(1, 11))
    monkeypatch.setattr("annotation.imports.parquet.MOST_BYTES_OF_A_ROW", 10_000)
    with path.open("rb") as file, pytest.raises(UnreadableFile, match="Row 1 is larger"):
        list(read_parquet(file, FileLimits(10**6, 10, 100)))


def test_values_that_take_no_bytes_are_counted(tmp_path):
    path = tmp_path / "empty.parquet"
    nothing = pyarrow.array([[None] * 3_000_000] * 5, pyarrow.list_(pyarrow.null()))
    parquet.write_table(pyarrow.table({"text": nothing}), path, compression="zstd")
    with pytest.raises(UnreadableFile, match="more than 10,000,000 values"):
        parse_prompts(path.read_bytes(), path.name)


def test_a_large_file_within_the_budget_is_taken_whole(tmp_path):
    path = tmp_path / "large.parquet"
    texts = [f"Question {number} " + "word " * 100 for number in range(5000)]
    parquet.write_table(pyarrow.table({"text": texts}), path)
    parsed = parse_prompts(path.read_bytes(), path.name)
    assert [row.messages[0]["content"] for row in parsed.rows] == [text.strip() for text in texts]
    assert 2 * sum(map(len, texts)) < MAX_FILE_BYTES


def test_a_text_of_megabytes_is_refused_by_its_length_before_it_is_cleaned(monkeypatch):
    """Cleaning takes long, while no other thread of a server runs; space around a text is no part of its length."""
    spaced = json.dumps({"text": " " * 90_000 + "x" * 20_000 + "\r\n" * 20_000}).encode()
    (row,) = parse_prompts(spaced, "spaced.jsonl").rows
    assert row.messages[0]["content"] == "x" * 20_000
    monkeypatch.delattr("annotation.imports.rows.unix_lines")
    found = parse_prompts(json.dumps({"text": "x" * 2_000_000}).encode(), "long.jsonl")
    assert [each.reason for each in found.refused] == ['"text" has 2,000,000 characters; shorten it to at most 20,000']


def ranker(count: int) -> bytes:
    items = [{"id": str(number), "body": f"Answer {number}"} for number in range(count)]
    order = {"ranker": {"rank": [item["id"] for item in items]}}
    result = {"type": "ranker", "from_name": "rank", "to_name": "items", "value": order}
    task = {"id": 1, "data": {"prompt": "Q", "items": items}, "annotations": [{"completed_by": 1, "result": [result]}]}
    return json.dumps([task]).encode()


def replies(count: int) -> bytes:
    said = [{"role": "assistant", "text": f"Answer {n}", "rank": n, "message_id": f"m{n}"} for n in range(count)]
    prompt = {"role": "prompter", "text": "Q", "message_id": "q", "replies": said}
    return json.dumps({"message_tree_id": "t", "prompt": prompt}).encode()


@pytest.mark.parametrize(("name", "make"), [("ranker.json", ranker), ("tree.jsonl", replies)])
def test_a_row_has_at_most_100_answers_as_all_pairs_of_them_are_made(tmp_path, name, make):
    assert [len(row.answers) for row in parse_prompts(make(100), name).rows] == [100]
    (refused,) = parse_prompts(make(101), name).refused
    assert "has 101 answers to one prompt; keep at most 100" in refused.reason
    path = tmp_path / name
    path.write_bytes(make(8000))
    grown, said = measured(path)
    assert said == "0 rows, 1 refused"
    assert grown < 100


BEGINS = ("", "x", "<|im_start|>user\n", "\n\nHuman: a\n\nAssistant:", "[INST]<<SYS>>", "### Instruction:\n", "USER: ")
RUNS = ("\n", " ", "\n ", "\u3000", "a ", ">", "= ", "### ", "[INST] ", "<s>")


@pytest.mark.parametrize("run", RUNS, ids=[repr(run) for run in RUNS])
@pytest.mark.parametrize("field", ["text", "winner"])
def test_a_long_run_in_a_field_costs_no_more_than_its_length(field, run):
    """Of 200,000 characters, each pattern that looks again at what it has seen takes minutes, the others 0.05 s."""
    for begin in BEGINS:
        value = (begin + run * 200_000)[:200_000] + "y"
        row = {"prompt": "Say.", "response_a": "A.", "response_b": "B.", "winner": value} if field == "winner" else {}
        data = json.dumps(row or {"text": value}).encode()
        began = time.process_time()
        parse_first(io.BytesIO(data), "rows.jsonl", Reading())
        assert time.process_time() - began < 10
