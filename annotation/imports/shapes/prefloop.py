"""What this project's own exports write, read back. `annotation.exports.formats` names each format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from annotation.imports.conversations import own_conversation
from annotation.imports.fields import Fields
from annotation.imports.items import ImportedVote, Item, number
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.pairs import add_preference
from annotation.imports.shapes.shape import Shape, columns

# Numbers of rows in the project that wrote them; here they mean nothing. The split is that of the prompt's own hash.
NUMBERS = ("prompt_id", "group_id", "task_id", "split", "policy", "source", "in_cycle", "share", "weight")


def ranking(fields: Fields) -> Iterator[Item]:
    """Read a judged task with everybody's ranking of its candidates."""
    item = Item(fields.take("prompt"))
    for each in fields.take("candidates"):
        item.answer(each["text"], finished=each.get("finished", True))
    for given in fields.take("rankings"):
        said = fields.sub(given, "rankings")
        ratings: dict[int, dict[str, float]] = {}
        for each in said.take("ratings") or []:
            ratings.setdefault(int(each["place"]), {})[each["criterion"]] = float(each["rating"])
        item.votes.append(_vote(said, said.take("tiers"), ratings, len(item.answers)))
    fields.describes(*NUMBERS)
    yield item


def judgment(fields: Fields) -> Iterator[Item]:
    """Read one raw judgment; its candidates are known by their ids."""
    item = Item(fields.take("prompt"))
    place = {
        each["id"]: item.answer(each["text"], finished=each.get("finished", True)) for each in fields.take("candidates")
    }
    ratings: dict[int, dict[str, float]] = {}
    for each in fields.take("ratings") or []:
        ratings.setdefault(place[each["id"]], {})[each["criterion"]] = float(each["rating"])
    tiers = [[place[pk] for pk in tier] for tier in fields.take("tiers")]
    vote = _vote(fields, tiers, ratings, len(item.answers))
    vote.unacceptable = [place[pk] for pk in vote.unacceptable]
    vote.unranked = [place[pk] for pk in vote.unranked]
    vote.rationale, vote.at = fields.take("rationale") or "", fields.take("submitted_at")
    item.votes.append(vote)
    fields.describes("shown_order", "active_ms", "claimed_at", *NUMBERS)
    yield item


def _vote(said: Fields, tiers: Any, ratings: dict[int, dict[str, float]], candidates: int) -> ImportedVote:
    strength = said.take("strength")
    strength = strength if isinstance(strength, int) and strength >= 0 else None
    annotator = str(said.take("annotator") or "")
    if "margin" in said or annotator.startswith("imported") or candidates != 2:
        margin = number(said.take("margin"))
        margin = margin if margin is not None and margin >= 0 else None
    else:  # between two answers that people ranked the distance is the longest, unless they graded it
        margin = 1.0 if strength is None else strength / 2
    return ImportedVote(
        tiers,
        unacceptable=said.take("unacceptable") or [],
        unranked=said.take("unranked") or [],
        ratings=ratings,
        strength=strength,
        margin=margin,
        annotator="" if annotator == "imported" else annotator.removeprefix("imported:"),
        weight=float(number(said.take("weight")) or 1.0),
        at=said.take("at"),
    )


def preference(fields: Fields) -> Iterator[Item]:
    """Read a merged pair as the votes that it counts: for, against and ties, with the weight that gives its share."""
    item = Item(own_conversation(fields.take("prompt")))
    add_preference(item, fields.take("chosen"), fields.take("rejected"))
    item.votes.clear()
    for place, name in enumerate(("chosen_finished", "rejected_finished")):
        item.answers[place].finished = fields.take(name) is not False
    margin = number(fields.take("margin"))
    ahead, behind, ties = (int(number(fields.take(name)) or 0) for name in ("votes_for", "votes_against", "ties"))
    below = [int(number(fields.take(name)) or 0) for name in ("chosen_unacceptable", "rejected_unacceptable")]
    ahead = max(ahead, 1)
    count = ahead + behind + ties
    weights = _weights(fields, ahead, behind, ties)
    each = (
        None
        if margin is None
        else min(margin * count * (number(fields.peek("weight")) or 1.0) / (ahead * weights[0]), 1.0)
    )
    tiers = [[[0], [1]]] * ahead + [[[0, 1]]] * ties + [[[1], [0]]] * behind
    for number_of, tier in enumerate(tiers):
        item.votes.append(
            ImportedVote(
                tier,
                unacceptable=[place for place in (0, 1) if number_of < below[place]],
                margin=each if number_of < ahead else None if margin is None else 0.0,
                weight=weights[0] if number_of < ahead else weights[1],
            )
        )
    fields.describes(*NUMBERS)
    yield item


def _weights(fields: Fields, ahead: int, behind: int, ties: int) -> tuple[float, float]:
    """Return the weight of a vote for the pair, and of any other, that give its mean weight and its share."""
    weight, share = number(fields.take("weight")) or 1.0, number(fields.take("share"))
    others = behind + ties / 2
    if share is None or not others:
        return weight, weight
    total = weight * (ahead + behind + ties)
    other = (1 - share) * total / others
    mine = (total - other * (behind + ties)) / ahead
    return (round(mine, 9), round(other, 9)) if mine > 0 and other > 0 else (weight, weight)


def implicit(fields: Fields) -> Iterator[Item]:
    """Read two conversations that begin alike, with the margin of the pair."""
    item = Item()
    add_preference(item, fields.take("chosen"), fields.take("rejected"), margin=fields.take("margin"))
    fields.describes(*NUMBERS)
    yield item


def text(fields: Fields) -> Iterator[Item]:
    """Read a pair whose prompt is one text; a conversation is written with its roles."""
    item = Item(own_conversation(fields.take("prompt")))
    places = item.answer(fields.take("chosen")), item.answer(fields.take("rejected"))
    item.prefer(*places, margin=fields.take("margin"))
    fields.describes(*NUMBERS)
    yield item


def scores(fields: Fields) -> Iterator[Item]:
    """Read an answer with its strength, which is kept as a rating: who compared it with what is not in the file."""
    item = Item(own_conversation(fields.take("prompt")))
    value = number(fields.take("score"))
    if value is None:
        raise Refusal('"score" is no number; correct it')
    place = item.answer(fields.take("completion"))
    ratings = {place: {"strength": value}}
    item.votes.append(ImportedVote([[place]], ratings=ratings))
    fields.describes("score_low", "score_high", "rankings", *NUMBERS)
    yield item


def completion(fields: Fields) -> Iterator[Item]:
    """Read a prompt with the answer to imitate."""
    item = Item(own_conversation(fields.take("prompt")), id=fields.take("id"), category=fields.take("category"))
    item.references.append(fields.take("completion"))
    fields.describes("finished", "tools", *NUMBERS)
    yield item


def _is_merged(fields: Fields) -> bool:
    return fields.has("prompt", "chosen", "rejected", "votes_for")


def _is_numbered(fields: Fields) -> bool:
    return fields.has("chosen", "rejected", "prompt_id", "group_id")


def _is_completion(fields: Fields) -> bool:
    one = fields.peek("completion")
    others = ("label", "completions", "chosen", "pairs", "reference")
    own = isinstance(one, list) or (isinstance(one, str) and isinstance(fields.peek("prompt"), str))
    return "prompt" in fields and own and not any(name in fields for name in others)


RANKING = Shape("Prefloop rankings", lambda fields: fields.has("prompt", "candidates", "rankings"), ranking)
JUDGMENT = Shape("Prefloop judgments", lambda fields: fields.has("prompt", "candidates", "tiers"), judgment)
PREFERENCE = Shape("Prefloop preference", _is_merged, preference)
IMPLICIT = Shape(
    "Prefloop preference, implicit prompt",
    lambda fields: _is_numbered(fields) and "prompt" not in fields and isinstance(fields.peek("chosen"), list),
    implicit,
)
TEXT = Shape(
    "Prefloop preference as text",
    lambda fields: (
        _is_numbered(fields) and all(isinstance(fields.peek(n), str) for n in ("prompt", "chosen", "rejected"))
    ),
    text,
    (columns("prompt", "chosen", "rejected", "group_id"),),
)
SCORES = Shape(
    "Prefloop scores",
    lambda fields: fields.has("prompt", "completion", "score", "score_low"),
    scores,
    (columns("prompt", "completion", "score", "score_low"),),
)
COMPLETION = Shape("TRL prompt and completion", _is_completion, completion)
