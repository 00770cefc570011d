"""Answers in columns of their own (response_a and response_b, completion_1 to completion_4) and what was said of them.

Known by the names of the columns, whichever tool wrote them: a column that names the best answer or an order, one for
each annotator, a list of votes, numbers of votes, or a score or rank for each answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from annotation.imports.conversations import messages_of
from annotation.imports.fields import CRITERIA, Fields
from annotation.imports.items import ImportedVote, Item, is_messages, number, texts_below
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.pairs import as_asked, last_answers, who_said_it
from annotation.imports.shapes.shape import Shape
from annotation.imports.verdicts import (
    Names,
    check_judged,
    compares,
    is_not_judged,
    names_of,
    plain,
    says_nothing,
    says_who_won,
    vote_of,
)

STEMS = {
    *("response", "answer", "completion", "output", "generation", "candidate", "reply", "text", "summary", "option"),
    *("continuation", "translation", "assistant", "model", "sample", "choice"),
}
SUFFIXES = {*"abcdefghxy", *map(str, range(13)), "one", "two", "three", "four", "first", "second", "left", "right"}
FILLERS = {"model", "assistant", "the", "text", "answer", "response", "output"}
QUESTIONS = (
    *("prompt", "question", "query", "instruction", "problem", "inputs", "context", "messages", "conversation"),
    *("conversations", "history", "text", "input", "source", "post", "article", "user_prompt", "user_input"),
    *("input_text", "text_input", "user_query"),
)
VERDICT = re.compile(
    r"prefer(red|ence)?|winner|choice|chosen|better|best|label|verdict|judge?ment|select(ed|ion)|vote|decision|pick(ed)?"
    r"|ranking|rank_order|order|annotation|comparison"
)
PERSON = re.compile(
    r"(annotator|annot|annotation|rater|judge|worker|labell?er|evaluator|reviewer|expert|human|person|user|vote)_?\d+"
    r"(_(preference|vote|choice|label|winner))?"
)
VOTES = (
    *("votes", "annotations", "judgments", "judgements", "preferences", "labels", "annotators", "human_annotations"),
    *("individual_preferences", "individual_votes", "ratings", "choices"),
)
COUNTS = ("votes", "n_votes", "num_votes", "vote_count", "wins", "count")
TIE_COUNTS = ("ties", "votes_tie", "votes_ties", "n_ties", "num_ties", "tie_votes", "tie_count", "tie")
BAD_COUNT = re.compile(r"(n_|num_)?(votes?_)?(tie_)?(both_?bad|neither_good)(_votes?|_count)?")
SCORES = ("score", "rating", "reward", "overall", "quality")
MOST_VOTES = 1000
APPEN = "_unit_id"  # in every row of it, beside other fields that begin so and describe the row
TOKEN = re.compile(r"[A-Za-z]+|\d+")


@dataclass(frozen=True)
class Columns:
    """Columns with the answers to one prompt, and what tells them apart: a and b, 1 and 2."""

    names: list[str]
    suffixes: list[str]


def columns_of(fields: Fields) -> Columns | None:
    """Return the columns that hold answers; None where there are not two of one kind."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for name in fields:
        if (split := _split(name)) and _is_answer(fields.peek(name)):
            groups.setdefault(split[0], []).append((split[1], name))
    found = next((group for group in groups.values() if len(group) > 1), None)
    if found is None or len({suffix for suffix, _ in found}) < len(found):
        return None
    return Columns([name for _, name in found], [suffix for suffix, _ in found])


def _split(name: str) -> tuple[str, str] | None:
    """Return what a column is called besides its suffix, and the suffix; None where it is no column of answers."""
    tokens = [token.lower() for token in TOKEN.findall(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name))]
    places = [at for at, token in enumerate(tokens) if token in SUFFIXES]
    if len(tokens) < 2 or len(places) != 1:
        return None
    at = places[0]
    rest = tokens[:at] + tokens[at + 1 :]
    # The names of makers stand in columns such as model_a.
    if not set(rest) & STEMS or set(rest) - STEMS - FILLERS or rest == ["model"]:
        return None
    return " ".join(rest), tokens[at]


def _is_answer(value: Any) -> bool:
    return (isinstance(value, str) and bool(value.strip())) or is_messages(value) or _is_part(value)


def _is_part(value: Any) -> bool:
    return isinstance(value, dict) and ("content" in value or set(value) == {"text"})


def compared(fields: Fields) -> Iterator[Item]:
    """Read the answers with every vote on them; without any they are answers to rank."""
    columns = columns_of(fields)
    assert columns is not None
    item = ask(fields, besides=columns.names)
    texts = [fields.take(name) for name in columns.names]
    models = [_model(fields, columns, place) for place in range(len(texts))]
    names = names_of(columns.suffixes, columns.names, models, texts)
    in_file = {plain(fields.names[name]): at for at, name in enumerate(columns.names) if name in fields.names}
    names = {**in_file, **names}
    if len(texts) == 2 and is_messages(texts[0]) and is_messages(texts[1]):
        texts = list(last_answers(item, *texts))
    for text, model, name in zip(texts, models, columns.names, strict=True):
        item.answer(text, model, field=name)
    said = who_said_it(fields)
    _several(fields, item, names)
    _counted(fields, item, columns)
    _each_person(fields, item, names)
    if not item.votes:
        _one(fields, item, names, said)
    _best_and_worst(fields, item, names, said)
    _numbers(fields, item, columns, said)
    if item.votes:
        check_judged(fields.data)
    else:
        _stop_at_judgments(fields, columns, names)
    if APPEN in fields:
        fields.describes(*(name for name in fields if name.startswith("_") or name.endswith((":confidence", "_gold"))))
    fields.describes("raw_completion")  # what AlpacaEval's judge wrote, of which the preference is taken
    yield item


def ask(fields: Fields, besides: list[str] | None = None) -> Item:
    """Return an item with the prompt of a row, its system text, its id and its category."""
    item = Item(id=fields.take("id", "uid", "uuid"))
    if isinstance(fields.peek("category"), (str, int, float)):
        item.category = fields.take("category")
    fields.describes("category", "split", "source", "dataset", "tools")
    name = next((each for each in QUESTIONS if each in fields and each not in (besides or ())), None)
    if name is None:
        raise Refusal("the row has answers but no prompt; name its column (text)")
    value = fields.take(name)
    if name in ("instruction", "definition") and isinstance(value, str):
        beside = next((each for each in ("input", "context") if isinstance(fields.peek(each), str)), "")
        value = texts_below(value, fields.take(beside) if beside else "")
    item.prompt, item.field = as_asked(value), name
    if is_messages(value):
        item.prompt = messages_of(value, name)
    if "system" in fields:
        item.system = fields.take("system")
    if isinstance(fields.peek("history"), list):
        item.history = fields.take("history")
    return item


def _model(fields: Fields, columns: Columns, place: int) -> str:
    suffix, name = columns.suffixes[place], columns.names[place]
    for known in (f"model_{suffix}", f"generator_{suffix}", f"{name}_model", f"{name}_source", f"model{suffix}"):
        if isinstance(fields.peek(known), str):
            return str(fields.take(known))
    return ""


def _several(fields: Fields, item: Item, names: Names) -> None:
    """Take a list of votes: of objects with a choice and a person, or of choices alone."""
    name = next((each for each in VOTES if isinstance(fields.peek(each), list) and fields.peek(each)), None)
    if name is None or all(number(each) is not None for each in fields.peek(name)):
        return
    for given in fields.take(name):
        if not isinstance(given, dict):
            if not says_nothing(given):
                item.votes.append(vote_of(names, len(item.answers), given, name))
            continue
        vote = fields.sub(given, name)
        if is_not_judged(given):
            vote.describes(*given)
            continue
        said = who_said_it(vote)
        verdicts = [key for key in given if key not in vote.used and key in vote and VERDICT.search(key.lower())]
        verdicts = verdicts or [key for key in ("value", "answer") if key in vote]
        if len(verdicts) != 1:
            raise Refusal(f'an entry of "{name}" has {len(verdicts)} fields that could say which answer is better')
        value = vote.take(verdicts[0])
        item.votes.append(vote_of(names, len(item.answers), value, verdicts[0], **said))


def _counted(fields: Fields, item: Item, columns: Columns) -> None:
    """Take numbers of votes, votes_a and votes_b, as that many votes of people without a name."""
    for word in COUNTS:
        both = [
            next((each for each in (f"{word}_{suffix}", f"{suffix}_{word}", f"{name}_{word}") if each in fields), "")
            for suffix, name in zip(columns.suffixes, columns.names, strict=True)
        ]
        if all(both) and len(both) == 2:
            tied = next((each for each in TIE_COUNTS if each in fields), "")
            bad = next((each for each in fields if each in fields and BAD_COUNT.fullmatch(each.lower())), "")
            counts = [number(fields.take(each)) if each else 0.0 for each in (*both, tied, bad)]
            if any(each is None or each < 0 or not each.is_integer() for each in counts):
                raise Refusal(f'"{both[0]}" and "{both[1]}" should be whole numbers of votes')
            if sum(int(each or 0) for each in counts) > MOST_VOTES:
                raise Refusal(f"the row counts more than {MOST_VOTES:,} votes; give every vote a row, or ignore them")
            for place, each in enumerate(counts[:2]):
                item.votes += [ImportedVote([[place], [1 - place]]) for _ in range(int(each or 0))]
            item.votes += [ImportedVote([[0, 1]]) for _ in range(int(counts[2] or 0))]
            item.votes += [ImportedVote([[0, 1]], unacceptable=[0, 1]) for _ in range(int(counts[3] or 0))]
            return


def _each_person(fields: Fields, item: Item, names: Names) -> None:
    """Take a column for each annotator: every one is a vote of its own, an empty one is none."""
    for name in [each for each in fields if PERSON.fullmatch(each.lower()) and each not in fields.used]:
        value = fields.peek(name)
        if says_nothing(value):
            continue
        vote = vote_of(names, len(item.answers), value, name, annotator=name)
        fields.take(name)
        item.votes.append(vote)


def _one(fields: Fields, item: Item, names: Names, said: dict[str, Any]) -> None:
    """Take the column that says which answer is better; columns that say different things refuse the row."""
    candidates = [
        name
        for name in fields
        if name not in fields.used
        and not (name.startswith("_") and APPEN in fields)  # such as _trusted_judgments
        and not says_nothing(fields.peek(name))
        and isinstance(fields.peek(name), (str, int, float, list))
        and (VERDICT.search(name.lower()) or says_who_won(names, fields.peek(name)))
        and not _is_detail(name)
    ]
    votes = {name: vote_of(names, len(item.answers), fields.peek(name), name, **said) for name in candidates}
    if not votes:
        return
    first, *others = votes.items()
    if different := [name for name, vote in others if vote.tiers != first[1].tiers]:
        raise Refusal(f'"{first[0]}" and "{different[0]}" say different things; ignore all but one of them')
    for name in candidates:
        fields.take(name)
    item.votes.append(first[1])


def _stop_at_judgments(fields: Fields, columns: Columns, names: Names) -> None:
    """Mark what nobody read and is a judgment: a sentence that says more than who won, or the name of an answer."""
    nothing = [""] * len(columns.names)
    called = {name for name in names_of(columns.suffixes, columns.names, nothing, nothing) if not name.isdigit()}
    for name in fields:
        value = fields.peek(name)
        if name not in fields.used and isinstance(value, str) and (compares(names, value) or plain(value) in called):
            fields.judges(name)


def _is_detail(name: str) -> bool:
    """Return whether a column describes a judgment and is none: its strength, reason, time or kind."""
    words = {token.lower() for token in TOKEN.findall(name)}
    details = {"strength", "reason", "reasoning", "explanation", "confidence", "time", "type", "id", "source", "raw"}
    return bool(words & (details | {"worst", "margin", "count", "n", "num", "score", "scores", "model", "date", "at"}))


def _best_and_worst(fields: Fields, item: Item, names: Names, said: dict[str, Any]) -> None:
    """Take the worst of several answers: with the best it gives three tiers."""
    name = next((each for each in ("worst", "worst_response", "worst_answer") if each in fields), None)
    if name is None:
        return
    (worst,) = vote_of(names, len(item.answers), fields.take(name), name).tiers[0][:1]
    best = item.votes[-1].tiers[0] if item.votes and len(item.votes[-1].tiers[0]) == 1 else []
    middle = [place for place in range(len(item.answers)) if place not in (*best, worst)]
    if worst in best:
        raise Refusal(f'"{name}" names the answer that is called best')
    item.votes = item.votes[:-1] if best else item.votes
    tiers = [tier for tier in (best, middle, [worst]) if tier]
    item.votes.append(ImportedVote(tiers, unranked=middle if len(middle) > 1 else [], **said))


def _numbers(fields: Fields, item: Item, columns: Columns, said: dict[str, Any]) -> None:
    """Take a score or a rank for each answer: an order where no vote states one, ratings beside one that does.

    Criteria such as helpfulness and honesty, which may say different things, are ratings and order nothing.
    """
    for word in (*SCORES, "rank"):
        values = _for_each(fields, columns, word)
        if values is None:
            continue
        scored = list(enumerate(values))
        ratings = {} if word == "rank" else {place: {word: value} for place, value in scored}
        if not item.votes:
            sign = -1 if word == "rank" else 1
            item.rank([(place, sign * value) for place, value in scored], ratings=ratings, **said)
        else:
            _rate(item, ratings)
    criteria = {word: values for word in CRITERIA if (values := _for_each(fields, columns, word)) is not None}
    rated = {place: {word: values[place] for word, values in criteria.items()} for place in range(len(columns.names))}
    if criteria and item.votes:
        _rate(item, rated)
    elif criteria:
        item.votes += [ImportedVote([[place]], ratings={place: each}, **said) for place, each in rated.items()]


def _for_each(fields: Fields, columns: Columns, word: str) -> list[float] | None:
    """Take a number for each answer, score_a and score_b; None where one of them has none."""
    names = [
        next((each for each in (f"{word}_{suffix}", f"{name}_{word}", f"{word}{suffix}") if each in fields), "")
        for suffix, name in zip(columns.suffixes, columns.names, strict=True)
    ]
    values = [number(fields.peek(name)) if name else None for name in names]
    if None in values:
        return None
    for name in names:
        fields.take(name)
    return [float(value or 0) for value in values]


def _rate(item: Item, ratings: dict[int, dict[str, float]]) -> None:
    for place, rated in ratings.items():
        item.votes[0].ratings.setdefault(place, {}).update(rated)


def _is_compared(fields: Fields) -> bool:
    if fields.has("chosen", "rejected"):
        return False
    return not {"completions", "pairs", "candidates"} & {name for name in fields if name in fields} and bool(
        columns_of(fields)
    )


COMPARED = Shape("Answers in columns", _is_compared, compared)
