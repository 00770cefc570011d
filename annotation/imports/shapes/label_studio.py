"""Label Studio: JSON with annotations, JSON-MIN and CSV. https://labelstud.io/guide/task_format, …/tags/ranker

Pairwise, ranker and rating results become votes of their annotator, a text area a reference answer, choices a label.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import product
from typing import Any

from annotation.imports.fields import Fields
from annotation.imports.items import ImportedVote, Item, number
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.shape import Shape, columns
from annotation.imports.verdicts import is_tie, names_of, plain, vote_of

PROMPTS = ("prompt", "instruction", "question", "messages", "text", "input", "query")
SIDES = (
    ("answer1", "answer2"),
    ("response1", "response2"),
    ("answer_1", "answer_2"),
    ("response_1", "response_2"),
    ("answer_a", "answer_b"),
    ("response_a", "response_b"),
    ("left", "right"),
    ("text1", "text2"),
)
ONE_ANSWER = ("response", "answer", "completion", "output")
RATED = ("rating", "number")
LABELS_A_PART = {"start", "startOffset", "labels", "hypertextlabels", "x", "y"}
UNTOUCHED = "_"  # the list of items that were not moved into a bucket
GOOD = {"relevant", "good", "acceptable", "accept", "helpful", "preferred", "best", "better", "correct", "yes", "keep"}
BAD = {"irrelevant", "not relevant", "bad", "unacceptable", "reject", "unhelpful", "worst", "worse", "incorrect", "no"}
BAD |= {"biased", "harmful", "toxic", "drop", "wrong", "not_relevant"}
ABOUT = (
    "id",
    "annotation_id",
    "created_at",
    "updated_at",
    "lead_time",
    "annotator",
    "project",
    "inner_id",
    "file_upload",
)


class _Task:
    """The answers that a task shows, each known by the name, id or side that results use for it."""

    def __init__(self, data: Fields, item: Item) -> None:
        self.item = item
        self.places: dict[str, int] = {}
        self.exact: dict[tuple[type, Any], int] = {}  # the ids 1 and "1" may stand for two answers
        self.sides: tuple[int, int] | None = None
        name = next((name for name in PROMPTS if name in data), None)
        if name is not None:
            item.prompt, item.field = data.take(name), name
        for pair in SIDES:
            if data.has(*pair):
                for side in pair:
                    self.places[side] = item.answer(data.take(side))
                self.sides = self.places[pair[0]], self.places[pair[1]]
                break
        self._lists(data)
        if not item.answers:
            for name in ONE_ANSWER:
                if isinstance(data.peek(name), str) and name != item.field:
                    self.places[name] = item.answer(data.take(name))

    def _lists(self, data: Fields) -> None:
        for name, value in data.data.items():
            if isinstance(value, list) and value and all(isinstance(each, dict) and "id" in each for each in value):
                data.take(name)
                for each in value:
                    shown = data.sub(each, name)
                    html = shown.take("html")
                    text = shown.take("body", "text") or (
                        _plain(html) if isinstance(html, str) else shown.peek("title")
                    )
                    if text is None:
                        raise Refusal(
                            f'item {str(each["id"])[:40]!r} of "{name}" has no "body", "text", "html" or "title"'
                        )
                    place = self.item.answer(text, shown.take("title"))
                    known = shown.take("id")
                    self.exact[type(known), known] = place
                    self.places.setdefault(str(known), place)

    def of_name(self, name: str) -> int | None:
        """Return the place of the answer that a control of this name shows."""
        return self.places.get(name)

    def choice(self, said: str) -> ImportedVote | None:
        """Return the vote of a choice that names an answer, or says that all are equal; None for other choices."""
        fields = list(self.places)
        suffixes = [re.split(r"[\s_-]+|(?<=[a-z])(?=\d)", name.lower())[-1] for name in fields]
        names = dict(names_of(suffixes, fields, [""] * len(fields), [""] * len(fields)))
        try:
            return vote_of(names | {plain(name): at for name, at in self.places.items()}, len(fields), said, "choices")
        except Refusal:
            return None

    def pair(self, to_name: str) -> tuple[int, int]:
        names = to_name.split(",")
        if len(names) == 2 and all(name in self.places for name in names):
            return self.places[names[0]], self.places[names[1]]
        if self.sides:
            return self.sides
        if len(self.item.answers) == 2:
            return 0, 1
        raise Refusal("the two answers of a comparison are not in the data; call them answer1 and answer2")

    def ranked(self, items: Any) -> list[int]:
        if not isinstance(items, list):
            raise Refusal("the order of a ranker is no list; export the task again")
        places = []
        for each in items:
            if str(each) not in self.places:
                raise Refusal(f"the order names {str(each)[:40]!r}, which is not among the items of the task")
            places.append(self.exact.get((type(each), each), self.places[str(each)]))
        return places


def tasks(fields: Fields) -> Iterator[Item]:
    """Read a task with the results of all its annotations; cancelled ones do not count."""
    item = Item(id=fields.take("id"))
    data = fields.child("data")
    task = _Task(data, item)
    labels: list[tuple[str, Any, Any]] = []
    annotations = fields.take("annotations", "completions") or []
    for given in annotations if isinstance(annotations, list) else []:
        annotation = fields.sub(given, "annotations")
        annotation.describes(*annotation.data)
        results = annotation.take("result") or []
        if annotation.take("was_cancelled") or not isinstance(results, list):
            continue
        person = annotation.take("completed_by")
        name = (person.get("email") or person.get("id")) if isinstance(person, dict) else person
        said = _Said(task, name, annotation.take("created_at", "updated_at"))
        for result in results:
            _take_result(annotation.sub(result, "result"), said)
        said.finish()
        labels += said.label_votes()
    item.labels = labels
    fields.describes(*(name for name in fields.data if name not in ("data", "annotations")))
    yield item


class _Said:
    """The result of an annotation: orders are added at once, ratings and reasons when it is finished."""

    def __init__(self, task: _Task, annotator: Any, at: Any) -> None:
        self.task, self.annotator, self.at = task, "" if annotator is None else str(annotator), at
        self.labels: list[str] = []
        self.ratings: dict[int, dict[str, float]] = {}
        self.first = len(task.item.votes)

    def label_votes(self) -> list[tuple[str, Any, Any]]:
        """Return the person's labels as votes."""
        return [(label, self.annotator, self.at) for label in self.labels]

    def vote(self, tiers: list[list[int]], **said: Any) -> None:
        self.task.item.votes.append(ImportedVote(tiers, annotator=self.annotator, at=self.at, **said))

    def choose(self, side: str, to_name: str) -> None:
        left, right = self.task.pair(to_name)
        if is_tie(side):
            both = vote_of({}, 2, side, "selected").unacceptable
            self.vote([[left, right]], unacceptable=[left, right] if both else [])
        else:
            self.vote([[left], [right]] if side == "left" else [[right], [left]])

    def order(self, ranker: Any) -> None:
        """Take a list for an order; of buckets, only good ones above bad ones, and the untouched list for nothing."""
        if isinstance(ranker, list):
            ranker = {"rank": ranker}
        if not isinstance(ranker, dict):
            raise Refusal("a ranker has neither an order nor buckets; export the task again")
        buckets = {str(name): self.task.ranked(items) for name, items in ranker.items() if name != UNTOUCHED}
        if len(ranker) == 1 and len(buckets) == 1 and next(iter(buckets)).lower() not in GOOD | BAD:
            self.vote([[place] for place in next(iter(buckets.values()))])
            return
        if len(buckets) == 1 and next(iter(buckets)).lower() in ("rank", "ranking", "ranked"):
            (ranked,) = buckets.values()  # what was not moved there is not ranked
            if len(ranked) > 1:
                self.vote([[place] for place in ranked])
            return
        for name, places in buckets.items():
            for place in places:
                self.ratings.setdefault(place, {})[name] = 1.0
        good = [place for name, places in buckets.items() if name.lower() in GOOD for place in places]
        bad = [place for name, places in buckets.items() if name.lower() in BAD for place in places]
        for better, worse in product(good, bad):
            self.vote([[better], [worse]])

    def rate(self, to_name: str, name: str, value: Any) -> bool:
        place = self.task.of_name(to_name)
        if place is None and len(self.task.item.answers) == 1:
            place = 0
        rating = number(value)
        if place is None or rating is None:
            return False
        self.ratings.setdefault(place, {})[name or "rating"] = rating
        return True

    def finish(self) -> None:
        """Put the ratings on the first vote of the person, or on one that orders nothing."""
        if not self.ratings:
            return
        votes = self.task.item.votes
        if len(votes) > self.first:
            votes[self.first].ratings |= {
                place: said
                for place, said in self.ratings.items()
                if any(place in tier for tier in votes[self.first].tiers)
            }
            left = {place: said for place, said in self.ratings.items() if place not in votes[self.first].ratings}
        else:
            left = self.ratings
        if left:
            places = sorted(left)
            self.vote([places], unranked=places, ratings=left)


def _take_result(result: Fields, said: _Said) -> None:
    kept = result.peek("value")
    result.describes(*(name for name in result.data if name != "value"))
    name, to_name = str(result.take("from_name") or ""), str(result.take("to_name") or "")
    if not isinstance(kept, dict):
        return
    value = result.child("value")
    if value.peek("selected") in ("left", "right") or is_tie(value.peek("selected")):
        said.choose(value.take("selected"), to_name)
    elif "ranker" in value:
        said.order(value.take("ranker"))
    elif isinstance(value.peek("choices"), list):
        _chosen([str(each) for each in value.take("choices")], to_name, said)
    elif "taxonomy" in value:
        _chosen(
            [" / ".join(map(str, each)) for each in value.take("taxonomy") if isinstance(each, list)], to_name, said
        )
    elif rated := next((key for key in RATED if key in value and said.rate(to_name, name, value.peek(key))), None):
        value.take(rated)
    elif "text" in value and not LABELS_A_PART & value.data.keys():
        _written(name, value.take("text"), said)
    else:
        value.judges(*value.data)  # what a person said by a control that nothing here can hold


def _chosen(choices: list[str], to_name: str, said: _Said) -> None:
    """Take a choice for the better side where it names one, for a label otherwise."""
    task = said.task
    only = choices[0].strip() if len(choices) == 1 else ""
    if len(task.item.answers) >= 2 and _is_side(only) and only not in task.places:
        said.choose(only.lower(), to_name)
    elif only and len(task.item.answers) >= 2 and (vote := task.choice(only)):
        said.vote(vote.tiers, unranked=vote.unranked, unacceptable=vote.unacceptable)
    else:
        said.labels += choices[:1]
        if len(choices) > 1:
            raise Refusal(f"a text has {len(choices)} choices; only one label can be kept")


def _is_side(said: str) -> bool:
    return said.lower() in ("left", "right") or is_tie(said)


def _written(name: str, text: Any, said: _Said) -> None:
    """Take a text for a reason where its control is called so, for a reference answer otherwise."""
    words = "\n".join(str(each) for each in text) if isinstance(text, list) else text
    if any(word in name.lower() for word in ("reason", "rationale", "comment", "why", "explan", "justif")):
        for vote in said.task.item.votes[said.first :]:
            vote.rationale = words
    elif words:
        said.task.item.references.append(words)


def flat(fields: Fields) -> Iterator[Item]:
    """Read JSON-MIN and CSV: the data of a task beside the results of one annotation, by the names of the controls."""
    item = Item(id=fields.take("id"))
    annotator, at = fields.take("annotator", "completed_by"), fields.take("created_at", "updated_at")
    task = _Task(fields, item)
    said = _Said(task, annotator, at)
    fields.describes(*ABOUT)
    for name in [name for name in fields.data if name not in fields.used and name in fields and name not in ABOUT]:
        value = _unpacked(fields.peek(name))
        if _take_flat(name, value, said):
            fields.take(name)
    said.finish()
    item.labels = said.label_votes()
    yield item


def _take_flat(name: str, value: Any, said: _Said) -> bool:
    """Take one result by its value; False where it is none that is known."""
    answers = said.task.item.answers
    if isinstance(value, str) and _is_side(value) and len(answers) == 2:
        said.choose(value.lower(), "")
    elif isinstance(value, dict) and "ranker" in value:
        said.order(value["ranker"])
    elif isinstance(value, (dict, list)) and _is_order(value, said.task):
        said.order(value)
    elif isinstance(value, dict) and isinstance(value.get("choices"), list):
        _chosen([str(each) for each in value["choices"]], "", said)
    elif isinstance(value, dict) and "rating" in value:
        return said.rate(name, name, value["rating"])
    elif isinstance(value, dict) and "text" in value:
        _written(name, value["text"], said)
    elif number(value) is not None and "rating" in name.lower():
        return said.rate(name.removesuffix("_rating"), name, value)
    elif isinstance(value, str) and name in said.task.places:
        return False
    elif isinstance(value, str) and len(answers) > 1 and said.task.choice(value):
        _chosen([value], "", said)
    elif isinstance(value, str) and any(
        word in name.lower() for word in ("sentiment", "label", "choice", "class", "category")
    ):
        said.labels.append(value)
    elif isinstance(value, str) and any(
        word in name.lower()
        for word in ("correct", "reference", "rewrit", "ideal", "edit", "reason", "comment", "rational")
    ):
        _written(name, value, said)
    else:
        return False
    return True


def _is_order(value: Any, task: _Task) -> bool:
    lists = list(value.values()) if isinstance(value, dict) else [value]
    return bool(task.places) and all(
        isinstance(each, list) and all(str(one) in task.places for one in each) for each in lists
    )


def _unpacked(value: Any) -> Any:
    """Return what a cell of a CSV file holds as JSON; other values as they are."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_starttag(self, tag: str, attrs: Any) -> None:  # noqa: ARG002 - as its base class calls it
        if self.parts and tag in ("br", "p", "div", "li", "tr", "h1", "h2", "h3", "pre"):
            self.parts.append("\n")


def _plain(html: str) -> str:
    """Return the text of an item that is HTML, paragraphs on lines of their own."""
    reader = _Text()
    reader.feed(html)
    reader.close()
    return "".join(reader.parts).strip()


def _is_task(fields: Fields) -> bool:
    return isinstance(fields.peek("data"), dict)


def _is_flat(fields: Fields) -> bool:
    exported = "annotation_id" in fields or fields.has("annotator", "lead_time")
    prompted = any(name in fields for name in PROMPTS)
    sides = any(fields.has(*pair) for pair in SIDES)
    said = any(isinstance(value, str) and value in ("left", "right") for value in fields.data.values())
    return prompted and (exported or (sides and said))


TASKS = Shape("Label Studio", _is_task, tasks)
FLAT = Shape(
    "Label Studio JSON-MIN or CSV",
    _is_flat,
    flat,
    (columns("annotation_id", "annotator"), *(columns("prompt", *pair) for pair in SIDES)),
)
