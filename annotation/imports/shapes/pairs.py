"""What shapes with a better and a worse answer share: texts, messages, whole conversations and transcripts."""

from __future__ import annotations

from typing import Any

from annotation.imports.conversations import messages_of, own_conversation, parted
from annotation.imports.fields import Fields
from annotation.imports.items import Item, is_messages, number
from annotation.imports.refusals import Refusal
from annotation.imports.transcripts import is_open_transcript, transcript_of

PROMPT_NAMES = ("prompt", "text", "messages", "question", "instruction", "query", "input", "context")
PEOPLE = (
    "annotator",
    "annotator_id",
    "user_id",
    "user",
    "worker_id",
    "worker",
    "rater",
    "rater_id",
    "judge",
    "labeler",
    *("_worker_id", "workerid", "annotator_email", "evaluator", "reviewer", "participant_id", "prolific_pid"),
    *("email", "email address", "email_address", "respondent", "respondent_id", "ResponseId"),  # of forms
)
DATES = ("judged_at", "annotated_at", "created_at", "timestamp", "date", "_created_at", "submittime")
REASONS = ("rationale", "reason", "justification", "why", "why?")
# Scores of the two answers as data sets call them.
SCORES = (
    ("score_chosen", "score_rejected"),
    ("chosen_score", "rejected_score"),
    ("chosen-rating", "rejected-rating"),
    ("chosen_rating", "rejected_rating"),
    ("chosen_avg_rating", "rejected_avg_rating"),
    ("rating_chosen", "rating_rejected"),
    ("chosen_reward", "rejected_reward"),
    ("reward_chosen", "reward_rejected"),
)


def who_said_it(fields: Fields) -> dict[str, Any]:
    """Return who judged a row, when and why, as the arguments of a vote; two people's equal votes are two votes."""
    said = {
        "annotator": fields.take(*(name for name in PEOPLE if name in fields)) or "",
        "at": fields.take(*(name for name in DATES if name in fields)),
        "rationale": fields.take(*(name for name in REASONS if isinstance(fields.peek(name), str))) or "",
    }
    return said if isinstance(said["annotator"], (str, int)) else said | {"annotator": ""}


def add_preference(item: Item, chosen: Any, rejected: Any, **said: Any) -> tuple[int, int]:
    """Add two answers and a vote for the first. A prompt that they repeat is cut off, or becomes the item's."""
    better, worse = last_answers(item, chosen, rejected)
    places = item.answer(better, field="chosen"), item.answer(worse, field="rejected")
    item.prefer(*places, **said)
    return places


def last_answers(item: Item, first: Any, second: Any) -> tuple[Any, Any]:
    """Return what two conversations answer last; what both share before it becomes the item's prompt."""
    if is_messages(item.prompt):
        item.prompt = messages_of(item.prompt, item.field)
    for value, name in ((first, "chosen"), (second, "rejected")):
        if value is None:
            raise Refusal(f'the row has no "{name}"; a preference needs both answers')
    turns = [_turns(first, "chosen", item), _turns(second, "rejected", item)]
    if turns[0] is None or turns[1] is None:
        return first, second
    shared, better, worse = parted(turns[0], turns[1])
    for name, answer in (("chosen", better), ("rejected", worse)):
        if answer["role"] != "assistant":
            raise Refusal(f'"{name}" does not end with an answer of the assistant')
    if item.prompt is not None and not _repeats(item.prompt, shared):
        raise Refusal(f'"{item.field}" is not in the conversation that "chosen" and "rejected" share')
    item.prompt, item.field = shared, "chosen"
    return better, worse


def _turns(value: Any, name: str, item: Item) -> list[dict[str, Any]] | None:
    """Return a whole conversation with its prompt; None where the value is an answer alone."""
    if is_messages(value):
        return messages_of(value, name) if len(value) > 1 else None
    if item.prompt is None or (isinstance(value, str) and value.lstrip().startswith("Human:")):
        return transcript_of(value)
    return None


def _repeats(prompt: Any, shared: list[dict[str, Any]]) -> bool:
    if isinstance(prompt, list):
        said = [(turn["role"], str(turn["content"]).strip()) for turn in shared]
        asked = [(turn["role"], str(turn["content"]).strip()) for turn in prompt]
        return said == asked or said == [turn for turn in asked if turn[0] != "system"]
    if not isinstance(prompt, str):
        return False
    if (turns := transcript_of(prompt)) and turns == [{**turn, "content": turn["content"].strip()} for turn in shared]:
        return True
    return any(turn["role"] != "assistant" and str(turn["content"]).strip() == prompt.strip() for turn in shared)


def add_scores(fields: Fields, item: Item, places: tuple[int, int]) -> None:
    """Keep the scores of a better and a worse answer as ratings of the last vote."""
    for names in SCORES:
        if fields.has(*names):
            values = [number(fields.peek(name)) for name in names]
            if None in values:
                continue
            for place, name, value in zip(places, names, values, strict=True):
                fields.take(name)
                item.votes[-1].ratings[place] = {"score": float(value or 0)}
    _of_one(fields, item, places)


def _of_one(fields: Fields, item: Item, places: tuple[int, int]) -> None:
    """Keep a score that stands there for one of the two answers."""
    for names in SCORES:
        for place, name in zip(places, names, strict=True):
            if place not in item.votes[-1].ratings and (value := number(fields.peek(name))) is not None:
                fields.take(name)
                item.votes[-1].ratings[place] = {"score": value}


def take_prompt(fields: Fields, item: Item, names: tuple[str, ...] = PROMPT_NAMES) -> None:
    """Take the prompt from the first of these fields, with `system` and `history` beside it."""
    name = next((name for name in names if name in fields), None)
    if name is not None:
        item.prompt, item.field = fields.take(name), name
    if "system" in fields:
        item.system = fields.take("system")
    if isinstance(fields.peek("history"), list):
        item.history = fields.take("history")


def repeats_pair(fields: Fields, item: Item) -> None:
    """Count `messages` as used where it only repeats the prompt with the preferred answer."""
    said = fields.peek("messages")
    if item.field == "messages" or not is_messages(said) or not isinstance(item.prompt, list):
        return
    try:
        turns = messages_of(said)
    except Refusal:
        return
    better = item.answers[item.votes[-1].tiers[0][0]].text
    answer = better["content"] if isinstance(better, dict) else better
    if [turn["content"] for turn in turns] == [*(turn["content"] for turn in item.prompt), answer]:
        fields.take("messages")


def as_asked(prompt: Any) -> Any:
    """Return a prompt that is an open transcript as its messages; anything else as it is."""
    return transcript_of(prompt) if is_open_transcript(prompt) else own_conversation(prompt)
