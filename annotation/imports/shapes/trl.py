"""TRL: preference, with or without a prompt of its own, unpaired preference (KTO), and stepwise supervision.

https://huggingface.co/docs/trl/dataset_formats
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from annotation.imports.conversations import own_conversation
from annotation.imports.fields import Fields
from annotation.imports.items import ImportedVote, Item, texts_below
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.pairs import add_preference, add_scores, repeats_pair, take_prompt, who_said_it
from annotation.imports.shapes.shape import Shape, columns
from annotation.imports.verdicts import check_judged
from annotation.stats.unpaired import ACCEPTABLE

TRUE = {"true": True, "1": True, "yes": True, "desirable": True, "false": False, "0": False, "no": False}
TRUE |= {"undesirable": False, "good": True, "bad": False, "thumbs_up": True, "thumbs_down": False}
# How distilabel came to the two answers: all of it is in the preference and its scores.
DISTILABEL = (
    *("generations", "order", "rating", "labelling_prompt", "raw_labelling_response", "rationale"),
    *("original_chosen", "original_rejected"),
)


def preference(fields: Fields) -> Iterator[Item]:
    """Read a better and a worse answer to a prompt; a prompt that both repeat is understood, too."""
    item = Item(id=fields.take("id"), category=fields.take("category"))
    chosen, rejected = fields.take("chosen"), fields.take("rejected")
    if "instruction" in fields and not fields.has("prompt"):
        item.prompt, item.field = texts_below(fields.take("instruction"), fields.take("input")), "instruction"
        item.system, item.history = fields.take("system"), fields.take("history")
    else:
        names = ("prompt", "text", "question", "query", "input", "context")
        take_prompt(fields, item, names if not _whole(chosen) else ("prompt", "question", "text"))
        if item.prompt is None and not _whole(chosen):
            take_prompt(fields, item, ("messages",))
    if _are_several(chosen) or _are_several(rejected):
        _several(item, chosen, rejected, fields.take("models"), **who_said_it(fields))
        fields.describes("num_correct", "num_incorrect", "total_completions")
        yield item
        return
    places = add_preference(item, chosen, rejected, margin=fields.take("margin"), **who_said_it(fields))
    if str(fields.peek("status")).lower() == "tie":  # distilabel: the two have the same rating
        item.votes[-1].tiers = [list(places)]
    check_judged(fields.data)
    add_scores(fields, item, places)
    repeats_pair(fields, item)
    if "reference" in fields:
        item.references.append(fields.take("reference"))
    response = fields.peek("response")
    texts = [text.strip() for text in (chosen, rejected) if isinstance(text, str)]
    if isinstance(response, str) and response.strip() in texts:
        fields.take("response")  # the same text once more
    fields.describes("tools", "prompt_id", "chat_template_kwargs")
    if "labelling_model" in fields:
        fields.describes(*DISTILABEL)
    yield item


def _are_several(value: object) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(isinstance(each, str) for each in value)


def _several(item: Item, chosen: object, rejected: object, models: object, **said: Any) -> None:
    """Add a vote that puts every chosen answer above every rejected one, as RewardBench 2 has them."""
    good, bad = ([each] if isinstance(each, str) else each for each in (chosen, rejected))
    if not isinstance(good, list) or not isinstance(bad, list) or not good or not bad:
        raise Refusal('"chosen" and "rejected" should both be answers, or lists of answers')
    names = (
        models if isinstance(models, list) and len(models) == len(good) + len(bad) else [""] * (len(good) + len(bad))
    )
    places = [item.answer(text, name) for text, name in zip([*good, *bad], names, strict=True)]
    worse = places[len(good) :]
    item.votes.append(ImportedVote([places[: len(good)], worse], unranked=worse if len(worse) > 1 else [], **said))


def _whole(chosen: object) -> bool:
    """Return whether an answer is a conversation that begins with its prompt."""
    return isinstance(chosen, list) and len(chosen) > 1


def unpaired(fields: Fields) -> Iterator[Item]:
    """Read an answer with true or false: a vote that says whether it is acceptable."""
    item = Item(id=fields.take("id"), category=fields.take("category"))
    take_prompt(fields, item)
    if "group_id" in fields and isinstance(item.prompt, str):  # this project's own export, as text
        item.prompt = own_conversation(item.prompt)
    place = item.answer(fields.take("completion", "response", "output", "answer", "generation"))
    if "group_id" in fields:
        item.answers[place].finished = fields.take("finished") is not False
    thumb(item, place, fields.take("label", "kto_tag"), **who_said_it(fields))
    check_judged(fields.data)
    fields.describes("prompt_id", "group_id", "split", "tools", "votes_good", "votes_bad", "source")
    yield item


def thumb(item: Item, place: int, value: object, **said: Any) -> None:
    """Add a vote that finds one answer acceptable or not."""
    good = value if isinstance(value, bool) else TRUE.get(str(value).strip().lower())
    if good is None:
        raise Refusal(f'"label" of an answer is {str(value)[:40]!r}; write true or false')
    ratings = {place: {ACCEPTABLE: float(good)}}
    item.votes.append(ImportedVote([[place]], unacceptable=[] if good else [place], ratings=ratings, **said))


def stepwise(fields: Fields) -> Iterator[Item]:
    """Refuse labels of single steps, which are no answers to choose from."""
    raise Refusal("the row labels the steps of one answer (stepwise supervision), which cannot be judged here")


def _is_preference(fields: Fields) -> bool:
    return "chosen" in fields or "rejected" in fields


def _is_unpaired(fields: Fields) -> bool:
    asked = any(name in fields for name in ("prompt", "question", "instruction", "query", "messages"))
    answered = asked and any(name in fields for name in ("completion", "response", "answer", "generation"))
    label = fields.peek("label")
    return answered and (isinstance(label, bool) or str(label).strip().lower() in TRUE)


def _is_stepwise(fields: Fields) -> bool:
    steps, labels = fields.peek("completions"), fields.peek("labels")
    return isinstance(steps, list) and isinstance(labels, list) and all(isinstance(each, bool) for each in labels)


PREFERENCE = Shape("TRL preference", _is_preference, preference, (columns("chosen", "rejected"),))
UNPAIRED = Shape("TRL unpaired preference (KTO)", _is_unpaired, unpaired)
STEPWISE = Shape("TRL stepwise supervision", _is_stepwise, stepwise)
