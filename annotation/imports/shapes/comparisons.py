"""Data sets of two answers that stand inside objects: WebGPT comparisons and OpenAI's summaries.

https://huggingface.co/datasets/openai/webgpt_comparisons, …/openai/summarize_from_feedback
"""

from __future__ import annotations

from collections.abc import Iterator

from annotation.imports.fields import Fields
from annotation.imports.items import ImportedVote, Item, number, texts_below
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.shape import Shape

SUMMARIZE = "Summarize this post."


def webgpt(fields: Fields) -> Iterator[Item]:
    """Read two answers with a score each, from -1 to 1; equal scores are a tie."""
    asked = fields.child("question")
    item = Item(asked.take("full_text"), "question", id=asked.take("id"))
    asked.describes("dataset")
    places = [item.answer(fields.take(f"answer_{side}")) for side in (0, 1)]
    scores = [number(fields.take(f"score_{side}")) for side in (0, 1)]
    if None in scores:
        raise Refusal('"score_0" and "score_1" should both be numbers; correct them')
    scored = [(place, float(score or 0)) for place, score in zip(places, scores, strict=True)]
    item.rank(scored, ratings={place: {"score": score} for place, score in scored})
    fields.describes("quotes_0", "quotes_1", "tokens_0", "tokens_1")
    yield item


def summaries(fields: Fields) -> Iterator[Item]:
    """Read two summaries of a post and the number of the better one."""
    item = _post(fields)
    for each in fields.take("summaries"):
        summary = fields.sub(each, "summaries")
        item.answer(summary.take("text"), summary.take("policy"))
        summary.describes("note")
    choice = number(fields.take("choice"))
    if choice not in (0, 1) or len(item.answers) != 2:
        raise Refusal('"choice" is neither 0 nor 1 of two summaries; correct it')
    item.prefer(int(choice), 1 - int(choice), annotator=fields.take("worker") or "")
    fields.describes("batch", "split", "extra")
    yield item


def rated_summary(fields: Fields) -> Iterator[Item]:
    """Read a summary with its ratings from 1 to 7, which compare it with nothing."""
    item = _post(fields)
    summary = fields.child("summary")
    place = item.answer(summary.take("text"), summary.take("policy"))
    axes = summary.take("axes") or {}
    ratings = {name: value for name, given in axes.items() if (value := number(given)) is not None}
    if not ratings:
        raise Refusal("the summary has no ratings; delete the row")
    item.votes.append(ImportedVote([[place]], ratings={place: ratings}, annotator=fields.take("worker") or ""))
    summary.describes("note")
    fields.describes("batch", "split")
    yield item


def _post(fields: Fields) -> Item:
    info = fields.child("info")
    text = texts_below(info.take("title"), info.take("post", "article"))
    info.describes("subreddit", "site")
    # Several posts of a file have the same id in other splits; the text says which prompt it is.
    return Item(f"{SUMMARIZE}\n\n{text}" if text else None, "info", id=info.take("id"))


def _is_webgpt(fields: Fields) -> bool:
    return isinstance(fields.peek("question"), dict) and fields.has("answer_0", "answer_1", "score_0", "score_1")


def _is_summaries(fields: Fields) -> bool:
    return isinstance(fields.peek("info"), dict) and isinstance(fields.peek("summaries"), list) and "choice" in fields


def _is_rated_summary(fields: Fields) -> bool:
    summary = fields.peek("summary")
    return isinstance(fields.peek("info"), dict) and isinstance(summary, dict) and "axes" in summary


WEBGPT = Shape("WebGPT comparisons", _is_webgpt, webgpt)
SUMMARIES = Shape("OpenAI summaries, compared", _is_summaries, summaries)
RATED_SUMMARY = Shape("OpenAI summaries, rated", _is_rated_summary, rated_summary)
