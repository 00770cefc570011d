"""A question with its answer, under whichever names, and an answer that people rated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from annotation.imports.fields import CRITERIA, Fields
from annotation.imports.items import ImportedVote, Item, is_messages, number, texts_below
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.pairs import as_asked, who_said_it
from annotation.imports.shapes.shape import Shape
from annotation.imports.shapes.trl import TRUE
from annotation.imports.verdicts import check_judged

QUESTIONS = (
    *("prompt", "question", "query", "instruction", "problem", "inputs", "input", "input_text", "text_input"),
    *("messages", "conversations", "conversation", "user_prompt"),
)
ANSWERS = ("answer", "response", "output", "completion", "generation", "targets", "target", "solution", "output_text")
# A person or a data set says that it is right, whatever stands beside it.
GIVEN = (
    *("ideal", "ground_truth", "reference_answer", "reference_response", "referenceResponse", "expected_output"),
    *("expected", "gold", "gold_answer", "referenceAnswer", "target_output"),
)
RATINGS = ("rating", "score", "quality", "helpfulness", "stars", "overall", "reward", "grade", "overall_score")
THUMBS = (
    *("thumb", "thumbs", "feedback", "liked", "vote", "thumbs_up", "is_good", "acceptable", "helpful", "accepted"),
    *("label", "kto_tag"),
)
UP = TRUE | {
    **dict.fromkeys(("up", "thumbs up", "thumbs-up", "thumbsup", "like", "liked", "positive", "👍", "upvote"), True),
    **dict.fromkeys(("down", "thumbs down", "thumbs-down", "dislike", "negative", "👎", "downvote"), False),
}
FLAG = "is_"


def answered(fields: Fields) -> Iterator[Item]:
    """Read a question with the answer to imitate."""
    item, name = _ask(fields), _answer_name(fields)
    given = fields.take(name)
    item.references += given if isinstance(given, list) and not is_messages(given) else [given]
    if beside := _sampled_name(fields, name):
        item.answer(fields.take(beside), fields.take("model", "model_name") or "")
    fields.describes("subject", "subset", "task", "dataset", "difficulty")
    yield item


def rated(fields: Fields) -> Iterator[Item]:
    """Read an answer with what somebody rated it, which compares it with nothing."""
    item = _ask(fields)
    name = _answer_name(fields)
    if sampled := _sampled_name(fields, name):
        given = fields.take(name)
        item.references += given if isinstance(given, list) and not is_messages(given) else [given]
    place = item.answer(fields.take(sampled or name), fields.take("model", "model_name") or "")
    said = who_said_it(fields)
    ratings: dict[str, float] = {}
    below = False
    for name in [each for each in fields if each not in fields.used and each in fields]:
        if (value := _rating(name, fields.peek(name))) is not None:
            fields.take(name)
            ratings[value[0]] = value[1]
            below |= value == ("acceptable", 0.0)
    item.votes.append(ImportedVote([[place]], [place] if below else [], ratings={place: ratings}, **said))
    check_judged(fields.data)
    yield item


def _ask(fields: Fields) -> Item:
    item = Item(id=fields.take("id", "uid", "uuid"), system=fields.take("system"))
    if isinstance(fields.peek("category"), (str, int, float)):
        item.category = fields.take("category")
    if isinstance(fields.peek("history"), list):
        item.history = fields.take("history")
    fields.describes("category", "split", "source", "tools", "model", "model_name")
    name = _question_name(fields)
    value = fields.take(name)
    if isinstance(value, str) and name == "instruction":
        beside = next((each for each in ("input", "context") if isinstance(fields.peek(each), str)), "")
        value = texts_below(value, fields.take(beside) if beside else "")
    if name == "inputs" and isinstance(fields.peek("definition"), str):  # Super-NaturalInstructions
        value = texts_below(fields.take("definition"), value)
    item.prompt, item.field = as_asked(value), "messages" if is_messages(value) else name
    return item


def _question_name(fields: Fields) -> str:
    found = [name for name in QUESTIONS if isinstance(fields.peek(name), str) or is_messages(fields.peek(name))]
    return found[0] if found else ""


def _answer_name(fields: Fields) -> str:
    def is_answer(value: Any) -> bool:
        return (isinstance(value, str) and bool(value.strip())) or is_messages(value) or _is_one_message(value)

    texts = [name for name in ANSWERS if is_answer(fields.peek(name))]
    texts += [name for name in ("targets", "target") if _is_texts(fields.peek(name))]
    given = [name for name in GIVEN if is_answer(fields.peek(name)) or _is_texts(fields.peek(name))]
    if len(texts) == len(given) == 1:
        return given[0]  # the other one is what a model said
    found = texts or given
    return found[0] if len(found) == 1 else ""


def _sampled_name(fields: Fields, given: str) -> str:
    """Return the field with what a model answered, beside the answer that is right."""
    if given not in GIVEN:
        return ""
    return next((name for name in ANSWERS if isinstance(fields.peek(name), str) and fields.peek(name).strip()), "")


def _is_one_message(value: Any) -> bool:
    return isinstance(value, dict) and ("content" in value or set(value) == {"text"})


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)


def _rating(name: str, value: Any) -> tuple[str, float] | None:
    """Return a criterion and its value; None for a field that rates nothing. "acceptable" is good or not."""
    if name in (*RATINGS, *CRITERIA) and (found := number(value)) is not None:
        return name, found
    if isinstance(value, bool) and name.startswith(FLAG) and name not in THUMBS:
        return name.removeprefix(FLAG), float(value)
    if name in THUMBS:
        good = value if isinstance(value, bool) else UP.get(str(value).strip().lower().replace("_", " "))
        good = UP.get(str(value).strip().lower()) if good is None else good
        if good is None:
            raise Refusal(f'"{name}" of an answer is {str(value)[:40]!r}; write true or false')
        return "acceptable", float(good)
    return None


def _is_answered(fields: Fields) -> bool:
    return bool(_question_name(fields) and _answer_name(fields)) and not any(
        name in fields for name in ("choices", "options", "chosen", "rejected", "completions", "pairs", "label")
    )


def _is_rated(fields: Fields) -> bool:
    if not (_question_name(fields) and _answer_name(fields)):
        return False
    rates = any(name in fields and number(fields.peek(name)) is not None for name in (*RATINGS, *CRITERIA))
    flags = any(name.startswith(FLAG) and isinstance(fields.peek(name), bool) for name in fields)
    thumbs = any(isinstance(fields.peek(name), bool) or _is_thumb(fields.peek(name)) for name in THUMBS)
    return rates or flags or thumbs


def _is_thumb(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower().replace("_", " ") in UP


def questions(fields: Fields) -> Iterator[Item]:
    """Read a question of MT-Bench or Arena-Hard; later turns need an answer before them, so they are no prompt."""
    turns = [each.get("content") if isinstance(each, dict) else each for each in fields.take("turns")]
    if len(turns) > 1:
        raise Refusal(
            f'"turns" has {len(turns)} questions, and the later ones follow answers that are not there; keep the first'
        )
    item = Item(turns[0], "turns", id=fields.take("question_id", "id"), category=fields.take("category"))
    item.references += [each for each in fields.take("reference") or [] if isinstance(each, str)]
    fields.describes("cluster", "subcategory", "uid", "language")
    yield item


def _is_questions(fields: Fields) -> bool:
    turns = fields.peek("turns")
    texts = isinstance(turns, list) and all(isinstance(each, str) or _is_one_message(each) for each in turns)
    return texts and bool(turns) and any(name in fields for name in ("question_id", "category", "uid"))


QUESTIONS_ALONE = Shape("MT-Bench questions", _is_questions, questions)
ANSWERED = Shape("Question and answer", _is_answered, answered)
RATED = Shape("Answer with ratings", _is_rated, rated)
