"""What chat applications export: feedback of Open WebUI, conversations of ChatGPT.

https://docs.openwebui.com/features/evaluation, https://help.openai.com/en/articles/7260999
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from annotation.imports.conversations import messages_of
from annotation.imports.fields import Fields
from annotation.imports.items import ImportedVote, Item, is_messages, number
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.shape import Shape
from annotation.stats.unpaired import ACCEPTABLE

MOST_TURNS = 10_000


def feedback(fields: Fields) -> Iterator[Item]:
    """Read a thumb on an answer of Open WebUI: the conversation until that answer, and whether it is acceptable."""
    item = Item(field="messages", id=fields.take("id"))
    data, about = fields.child("data"), fields.child("meta")
    turns = _until(_turns_of(fields.take("snapshot")), about.take("message_id"))
    answer = turns[-1]
    if answer.get("role") != "assistant" or len(turns) < 2:
        raise Refusal("the conversation of the feedback has no answer that was rated; export it again with its chat")
    place = item.answer(answer["content"], data.take("model_id"))
    item.prompt = messages_of([{name: turn[name] for name in ("role", "content")} for turn in turns[:-1]])
    thumb = number(data.take("rating"))
    if thumb not in (1, -1):
        raise Refusal('"data.rating" is neither 1 nor -1, so nobody said whether the answer is good')
    details = data.child("details")
    stars = number(details.take("rating"))
    ratings = {ACCEPTABLE: float(thumb == 1)} | ({} if stars is None else {"rating": stars})
    why = [text for text in (data.take("reason"), data.take("comment")) if isinstance(text, str) and text]
    vote = ImportedVote([[place]], [] if thumb == 1 else [place], ratings={place: ratings}, rationale="\n\n".join(why))
    vote.annotator, vote.at = fields.take("user_id") or "", fields.take("created_at")
    item.votes.append(vote)
    data.describes(*data.data)
    about.describes(*about.data)
    fields.describes("type", "version", "updated_at", "user")
    yield item


def _turns_of(snapshot: Any) -> dict[str, dict[str, Any]]:
    """Return the messages of a chat by their ids; where they name their parents, as a tree."""
    chat = snapshot.get("chat", snapshot) if isinstance(snapshot, dict) else {}
    chat = chat.get("chat", chat) if isinstance(chat, dict) else {}
    history = chat.get("history") if isinstance(chat.get("history"), dict) else {}
    tree = history.get("messages") if isinstance(history, dict) else None
    if isinstance(tree, dict) and tree:
        return {str(name): each for name, each in tree.items() if isinstance(each, dict)}
    found: dict[str, dict[str, Any]] = {}
    before = None
    for number_of, each in enumerate(chat.get("messages") or []):
        name = str(each.get("id", number_of))
        found[name] = {"parentId": before, **each}
        before = name
    return found


def _until(turns: dict[str, dict[str, Any]], name: Any) -> list[dict[str, Any]]:
    """Return the messages from the first to the named one, or to the last."""
    name = str(name) if str(name) in turns else next(reversed(turns), "")
    found: list[dict[str, Any]] = []
    while name in turns and len(found) < MOST_TURNS:
        found.append(turns[name])
        name = str(turns[name].get("parentId"))
    if not found:
        raise Refusal("the feedback has no conversation; export it again with its chat")
    return found[::-1]


def chatgpt(fields: Fields) -> Iterator[Item]:
    """Read a conversation of ChatGPT until its current message; its last answer is the reference answer."""
    nodes = fields.take("mapping")
    name = fields.take("current_node") or next(reversed(nodes))
    turns: list[dict[str, Any]] = []
    for _ in range(MOST_TURNS):
        node = nodes.get(name)
        if not isinstance(node, dict):
            break
        if turn := _said(node.get("message")):
            turns.append(turn)
        name = node.get("parent")
    turns.reverse()
    if not is_messages(turns):
        raise Refusal("the conversation has no message with text")
    item = Item(field="messages", id=fields.take("conversation_id", "id"))
    if turns[-1]["role"] == "assistant" and len(turns) > 1:
        item.references.append(turns.pop()["content"])
    item.prompt = messages_of(turns)
    fields.describes(*(each for each in fields if each not in ("mapping", "current_node")))
    yield item


def _said(message: Any) -> dict[str, Any] | None:
    """Return a message with its text; None for one that is hidden or has none."""
    if not isinstance(message, dict):
        return None
    role, content = (message.get("author") or {}).get("role"), message.get("content") or {}
    texts = [part for part in content.get("parts") or [] if isinstance(part, str) and part.strip()]
    hidden = (message.get("metadata") or {}).get("is_visually_hidden_from_conversation")
    return {"role": role, "content": "\n".join(texts)} if texts and role and not hidden else None


def _is_feedback(fields: Fields) -> bool:
    rated = isinstance(fields.peek("data"), dict) and "rating" in fields.peek("data")
    return rated and isinstance(fields.peek("snapshot"), dict)


def _is_chatgpt(fields: Fields) -> bool:
    nodes = fields.peek("mapping")
    return (
        isinstance(nodes, dict)
        and bool(nodes)
        and all(isinstance(each, dict) and "message" in each for each in nodes.values())
    )


OPEN_WEBUI = Shape("Open WebUI feedback", _is_feedback, feedback)
CHATGPT = Shape("ChatGPT conversations", _is_chatgpt, chatgpt)
