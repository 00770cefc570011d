"""OpenAssistant: trees of messages, and the same messages one a row. https://huggingface.co/datasets/OpenAssistant/oasst1"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from annotation.imports.fields import Fields
from annotation.imports.items import Item, number
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.shape import Shape

MAX_DEPTH = 100  # of a tree of messages; deeper ones would end in a RecursionError
ROLES = {"prompter": "user", "user": "user", "assistant": "assistant"}
ABOUT = ("message_tree_id", "tree_state", "created_date", "lang", "origin", "user_id", "review_count")


def tree(fields: Fields) -> Iterator[Item]:
    """Read each question of a tree, with its answers and the order that people put them in."""
    fields.describes(*ABOUT)
    root = fields.child("prompt")
    if ROLES.get(str(root.peek("role"))) == "assistant":
        raise Refusal("the message is an answer, and the question before it (parent_id) is not in the file")
    yield from _questions(root, [])


def _questions(node: Fields, before: list[dict[str, Any]]) -> Iterator[Item]:
    if len(before) > MAX_DEPTH:
        raise Refusal(f"the tree is more than {MAX_DEPTH} messages deep")
    role = ROLES.get(str(node.take("role")))
    if role is None:
        raise Refusal(f"a message of the tree has the role {str(node.peek('role'))[:40]!r}; use prompter or assistant")
    said = [*before, {"role": role, "content": node.take("text")}]
    for name in ("deleted", "message_id", "rank", "parent_id"):
        node.take(name)
    # Ratings of a message besides its rank among its siblings are counted as not used.
    node.describes(*node.data)
    given = node.take("replies") or []
    if not isinstance(given, list):
        raise Refusal("the row looks like one of another tool but has not its shape; export it again")
    replies = [node.sub(reply, "replies") for reply in given if isinstance(reply, dict) and not reply.get("deleted")]
    if role == "user":
        item = Item(said, "prompt", id=node.peek("message_id"))
        ranked = []
        for reply in replies:
            place = item.answer(reply.peek("text"))
            if (rank := number(reply.peek("rank"))) is not None:
                ranked.append((place, -rank))
        item.rank(ranked)
        yield item
    for reply in replies:
        yield from _questions(reply, said)


def gather(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Make trees out of messages that name their parents. What has no parent in the file stays a row of its own."""
    nodes = {row["message_id"]: dict(row, replies=[]) for row in rows if isinstance(row.get("message_id"), str)}
    roots = []
    for row in rows:
        node = nodes.get(str(row.get("message_id")))
        parent = nodes.get(str(row.get("parent_id")))
        if node is not None and parent is not None and parent is not node:
            parent["replies"].append(node)
        elif node is not None:
            roots.append({"message_tree_id": row.get("message_tree_id") or row["message_id"], "prompt": node})
        else:
            roots.append(row)
    yield from roots


def tree_of(row: dict[str, Any]) -> str:
    """Return the name of the tree of a message; empty where the file does not say."""
    return str(row.get("message_tree_id") or "")


def _is_tree(fields: Fields) -> bool:
    return isinstance(fields.peek("prompt"), dict) and "message_tree_id" in fields


def is_message(fields: Fields) -> bool:
    """Return whether a row is one message of a tree."""
    return fields.has("message_id", "role", "text") and "parent_id" in fields.data


TREE = Shape("OpenAssistant tree", _is_tree, tree)
MESSAGES = Shape("OpenAssistant messages", is_message, tree, gather=gather, key=tree_of)
