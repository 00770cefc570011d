"""The rows in one JSON object: a list in it, several splits, or a table as pandas and the dataset viewer write it."""

from __future__ import annotations

from typing import Any

from annotation.imports.fields import telling
from annotation.imports.items import is_messages

# Fields of a JSON file that hold its rows.
ROW_LISTS = {"data", "rows", "train", "examples", "items", "records", "samples", "instances", "annotations", "tasks"}
SPLITS = {"train", "test", "validation", "valid", "val", "dev", "eval"}


def rows_in(value: dict[str, Any]) -> list[Any]:
    """Return the rows of an object; the object itself where it is one row."""
    if value.keys() >= {"columns", "data"} and isinstance(value["columns"], list) and _are_lists(value["data"]):
        return [dict(zip(value["columns"], cells, strict=False)) for cells in value["data"]]  # pandas, orient="split"
    splits = [name for name in value if name in SPLITS and _are_rows(value[name])]
    if len(splits) > 1 or (splits and len(value) == 1):
        beside = beside_rows({name: each for name, each in value.items() if name not in splits})
        return [beside | row for name in splits for row in value[name]]
    lists = [name for name, rows in value.items() if name in ROW_LISTS and _are_rows(rows)]
    if len(lists) == 1:
        beside = beside_rows({name: each for name, each in value.items() if name != lists[0]})
        return [with_file(beside, row) for row in value[lists[0]]]
    if _are_instances(value):
        definition = _first(value["Definition"])
        return [
            {"id": each.get("id"), "definition": definition, "inputs": each.get("input"), "targets": each.get("output")}
            for each in value["Instances"]
        ]
    return _of_columns(value) or [value]


def beside_rows(fields: dict[str, Any]) -> dict[str, Any]:
    """Return what stands beside the rows and looks like a part of each, such as a system text or an instruction.

    Its names begin with `file.`: it is counted as not used, and stops the rows until a person maps or ignores it.
    """
    held = {name: value for name, value in fields.items() if isinstance(value, str) or is_messages(value)}
    return {f"file.{name}": each for name, each in held.items() if telling({name: each})}


def with_file(beside: dict[str, Any], row: Any) -> Any:
    """Return a row of a list, without what the dataset viewer wraps it in, and with what stands beside the list."""
    row = _unwrapped(row) if isinstance(row, dict) else row
    return {**beside, **row} if beside and isinstance(row, dict) else row


def _unwrapped(row: dict[str, Any]) -> Any:
    """Return a row of the dataset viewer without what it is wrapped in."""
    return row["row"] if {"row_idx", "row"} <= row.keys() else row


def _of_columns(value: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a table by columns or by numbers of rows; an empty list where it is none."""
    columns = list(value.values())
    if len(columns) > 1 and all(isinstance(each, dict) and each for each in columns):
        keys = list(columns[0])
        if all(list(each) == keys for each in columns):
            if all(key.isdigit() for key in value):  # orient="index"
                return columns
            if all(key.isdigit() for key in keys):  # orient="columns"
                return [{name: each[key] for name, each in value.items()} for key in keys]
    alike = all(isinstance(each, list) and len(each) == len(columns[0]) > 1 for each in columns)
    if len(columns) > 1 and alike and not any(_are_rows(each) for each in columns):  # messages are parts of one row
        return [dict(zip(value, cells, strict=True)) for cells in zip(*columns, strict=True)]
    return []


def _are_instances(value: dict[str, Any]) -> bool:
    """Return whether an object is a task of Super-NaturalInstructions."""
    return {"Definition", "Instances"} <= value.keys() and _are_rows(value["Instances"])


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _are_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _are_lists(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, list) for row in value)
