"""Store feedback of end users: one row for each key, however often and from wherever it is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any

from django.db import IntegrityError, OperationalError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop

from annotation.actions import served
from annotation.imports.feedback import SAME, FeedbackRow
from annotation.models import Completion, Feedback, FeedbackChange, Project, Prompt, Source, Split
from annotation.models.prepared import Prepared

ORIGIN = "feedback"  # of responses that a product sent: they are stored once, and are no reference responses
CREATED, UPDATED, UNCHANGED, REFUSED = "created", "updated", "unchanged", "refused"
MOST_AT_ONCE = 500
TRIES = 5  # two requests may bring the same key, prompt or response at the same time: the later one looks again
DEADLOCK = "40P01"
SIGNALS = ("thumb", "score", "chosen", "edit_id", "comment")
NOTHING_SAID = gettext_noop("Give at least one of thumb, score, chosen, edit and comment.")
NO_RESPONSE = gettext_noop("No feedback with this key is stored yet: give prompt and response, or response_id.")
OTHER_PROMPT = gettext_noop(
    "Another prompt is stored under this key. Feedback on another response needs a key of its own."
)
OTHER_RESPONSE = gettext_noop(
    "Another response is stored under this key. Feedback on another response needs a key of its own."
)
NOT_SERVED = gettext_noop("No response %(id)s is kept: it was never served here, or is too old.")
RANGE_OF_NOTHING = gettext_noop("A range needs its score: give score, too.")
ONE_OF_TWO = gettext_noop("Which of two responses was chosen needs both chosen and alternative.")


@dataclass(frozen=True)
class FeedbackOutcome:
    """What became of one feedback; `errors` are by field."""

    key: str
    status: str
    id: int | None = None
    errors: dict[str, str] = field(default_factory=dict)
    masked: dict[str, int] = field(default_factory=dict)  # what was masked in it, by kind


@dataclass
class _Texts:
    """What the rows speak about: prompts by digest, responses by prompt and text, and responses by their ids."""

    prompts: dict[str, Prompt]
    responses: dict[tuple[int, str], Completion]
    by_id: dict[int, Completion]


def take(*, project: Project, rows: Sequence[FeedbackRow]) -> list[FeedbackOutcome]:
    """Store feedback in the order given and return what became of each; those that can be stored are.

    A key that is stored already updates its row: fields that are not given stay as they are, and what it said before is
    kept.
    """
    for left in reversed(range(TRIES)):
        try:
            with transaction.atomic():
                return _take(project, served.with_records(project, rows))
        except IntegrityError:
            if not left:
                raise
        except OperationalError as problem:
            if not left or getattr(problem.__cause__, "sqlstate", "") != DEADLOCK:
                raise
    raise AssertionError("unreachable")


def _take(project: Project, rows: Sequence[FeedbackRow]) -> list[FeedbackOutcome]:
    known = {each.key: each for each in _known(project, {row.key for row in rows})}
    useless = _useless(rows, known)
    texts = _texts(project, [row for at, row in enumerate(rows) if at not in useless], known)
    outcomes: list[tuple[FeedbackRow, Feedback | None, str, dict[str, str]]] = []
    new: dict[str, Feedback] = {}
    changed: dict[str, Feedback] = {}
    history: list[FeedbackChange] = []
    for at, row in enumerate(rows):
        found = known.get(row.key)
        if at in useless:
            outcomes.append((row, None, REFUSED, useless[at]))
            continue
        wanted = Feedback(project=project, key=row.key) if found is None else found
        before = _said(wanted) if found else {}
        errors = _point_to_texts(wanted, row, texts, is_new=found is None)
        for name, value in row.said.items():
            setattr(wanted, name, value)
        if wanted.score is None and "score" in row.said and "score_min" not in row.said:
            wanted.score_min = wanted.score_max = None  # its range goes with the score
        errors |= _contradictions(wanted, errors)
        if errors:
            if found:
                _restore(wanted, before)
            outcomes.append((row, None, REFUSED, errors))
        elif found is None:
            new[row.key] = known[row.key] = wanted
            outcomes.append((row, wanted, CREATED, {}))
        elif _said(wanted) == before:
            outcomes.append((row, wanted, UNCHANGED, {}))
        else:
            wanted.updates += 1
            history.append(_change(wanted, before))
            if row.key not in new:
                changed[row.key] = wanted
            outcomes.append((row, wanted, UPDATED, {}))
    _store(new.values(), changed.values())
    _store_history(history)
    return [
        FeedbackOutcome(row.key, status, made.pk if made else None, errors, row.masked)
        for row, made, status, errors in outcomes
    ]


# What a request with one feedback asks, which is most of them: composing its SQL would take as long as all the rest.
_of_key = Prepared(
    lambda project, key: (
        Feedback.objects.filter(project=project, key=key).select_related("prompt").select_for_update(of=("self",))
    ),
    project=int,
    key=str,
)
_of_digest = Prepared(
    lambda project, digest: Prompt.objects.filter(project=project, digest=digest).only("digest", "project"),
    project=int,
    digest=str,
)


def _known(project: Project, keys: set[str]) -> list[Feedback]:
    """Return the feedback that is stored under these keys, locked until the transaction ends."""
    if len(keys) == 1:
        return _of_key.rows(project=project.pk, key=next(iter(keys)))
    stored = project.feedback.filter(key__in=keys).order_by("key").select_related("prompt")
    return list(stored.select_for_update(of=("self",)))


def _useless(rows: Sequence[FeedbackRow], known: dict[str, Feedback]) -> dict[int, dict[str, str]]:
    """Return what is wrong with rows that begin a key and cannot be stored, by place: none of their texts is."""
    found: dict[int, dict[str, str]] = {}
    begun = set(known)
    for at, row in enumerate(rows):
        if row.key in begun:
            continue
        said = {name: value for name, value in {**row.said, **row.texts}.items() if value not in ("", None)}
        if row.served:
            found[at] = {"response_id": gettext(NOT_SERVED) % {"id": row.served}}
        elif not row.messages and row.response_id is None:
            found[at] = {"prompt": gettext(NO_RESPONSE)}
        elif ("chosen" in said) != ("alternative" in said):
            found[at] = {"alternative" if "chosen" in said else "chosen": gettext(ONE_OF_TWO)}
        elif not said.keys() & {"thumb", "score", "chosen", "edit", "comment"}:
            found[at] = {"thumb": gettext(NOTHING_SAID)}
        elif problem := _problem_of_score(*(said.get(name) for name in ("score", "score_min", "score_max"))):
            found[at] = problem
        else:
            begun.add(row.key)
    return found


def _store(new: Iterable[Feedback], changed: Iterable[Feedback]) -> None:
    made = sorted(new, key=lambda each: each.key)  # in one order, so that two requests never wait for each other
    if len(made) == 1:
        made[0].save(force_insert=True)
    elif made:
        Feedback.objects.bulk_create(made)
    for each in changed:
        each.save(force_update=True)


def _change(feedback: Feedback, before: dict[str, Any]) -> FeedbackChange:
    """Return what the feedback said before its newest update, not stored yet: the fields that changed."""
    after = _said(feedback)
    differing = {name: value for name, value in before.items() if value != after[name]}
    return FeedbackChange(feedback=feedback, number=feedback.updates, before=differing)


def _store_history(history: Sequence[FeedbackChange]) -> None:
    """Store changes, with the texts themselves in place of their ids."""
    if not history:
        return
    named = {change.before[name] for change in history for name in TEXTS_SAID if change.before.get(name)}
    texts = dict(Completion.objects.filter(pk__in=named).values_list("pk", "text")) if named else {}
    for change in history:
        change.before = {
            TEXTS_SAID.get(name, name): texts.get(value) if name in TEXTS_SAID else value
            for name, value in change.before.items()
        }
    FeedbackChange.objects.bulk_create(history)


SAID = (
    *("alternative_id", "edit_id", "thumb", "score", "score_min", "score_max", "chosen", "comment", "user", "version"),
    "metadata",
)
TEXTS_SAID = {"alternative_id": "alternative", "edit_id": "edit"}


def _said(feedback: Feedback) -> dict[str, Any]:
    return {name: getattr(feedback, name) for name in SAID}


def _restore(feedback: Feedback, said: dict[str, Any]) -> None:
    for name, value in said.items():
        setattr(feedback, name, value)


def _contradictions(feedback: Feedback, errors: dict[str, str]) -> dict[str, str]:
    """Return what the constraints of the table would refuse, by field."""
    found = {}
    if bool(feedback.chosen) != (feedback.alternative_id is not None) and "chosen" not in errors:
        found["alternative" if feedback.chosen else "chosen"] = gettext(ONE_OF_TWO)
    found |= _problem_of_score(feedback.score, feedback.score_min, feedback.score_max)
    if not errors and not any(getattr(feedback, name) not in ("", None) for name in SIGNALS):
        found["thumb"] = gettext(NOTHING_SAID)
    return found


def _problem_of_score(score: float | None, low: float | None, high: float | None) -> dict[str, str]:
    """Return what is wrong with a score and its range, by field."""
    if low is None or high is None:
        return {}
    if score is None:
        return {"score_range": gettext(RANGE_OF_NOTHING)}
    if not low <= score <= high:
        ends = {"low": f"{low:g}", "high": f"{high:g}"}
        return {"score": gettext("Is not in its range, from %(low)s to %(high)s.") % ends}
    return {}


def _point_to_texts(feedback: Feedback, row: FeedbackRow, texts: _Texts, *, is_new: bool) -> dict[str, str]:
    """Let the feedback point to its prompt and texts; return what is wrong with them, by field."""
    if row.served:
        return {"response_id": gettext(NOT_SERVED) % {"id": row.served}}
    prompt = texts.prompts[Prompt.digest_of(row.messages)] if row.messages else None
    response = texts.responses[prompt.pk, row.texts["response"]] if prompt else None
    if row.response_id is not None:
        response = texts.by_id.get(row.response_id)
        if response is None:
            return {"response_id": f"This project has no response {row.response_id}."}
        prompt = response.prompt
    if is_new:
        if prompt is None or response is None:
            return {"prompt": gettext(NO_RESPONSE)}
        feedback.prompt, feedback.completion = prompt, response
        policy = response.policy if response.policy_id else None
        feedback.version = str(policy) if policy else ""
    elif prompt is not None and prompt.pk != feedback.prompt_id:
        return {"prompt" if row.messages else "response_id": gettext(OTHER_PROMPT)}
    elif response is not None and response.pk != feedback.completion_id:
        return {"response" if row.messages else "response_id": gettext(OTHER_RESPONSE)}
    for name in ("alternative", "edit"):
        if text := row.texts.get(name):
            other = texts.responses[feedback.prompt_id, text]
            if other.pk == feedback.completion_id:
                return {name: SAME}
            setattr(feedback, name, other)
        elif name in row.texts:
            setattr(feedback, name, None)
    return {}


def _texts(project: Project, rows: Sequence[FeedbackRow], known: dict[str, Feedback]) -> _Texts:
    """Return the prompts and responses of the rows; those that are missing are made."""
    wanted = {Prompt.digest_of(row.messages): row for row in rows if row.messages}
    prompts, new_prompts = _prompts(project, wanted)
    ids = {row.response_id for row in rows if row.response_id is not None}
    named = Completion.objects.filter(prompt__project=project, pk__in=ids).select_related("prompt", "policy")
    by_id = {each.pk: each for each in named} if ids else {}
    first: dict[str, Prompt] = {}  # the prompt of each key of which only a later row of the request says more
    needed: dict[tuple[int, str], Prompt] = {}
    versions: dict[tuple[int, str], str] = {}
    for row in rows:
        prompt: Prompt | None = None
        if row.messages:
            prompt = prompts[Prompt.digest_of(row.messages)]
        elif row.response_id in by_id:
            prompt = by_id[row.response_id].prompt
        elif row.key in known:
            prompt = known[row.key].prompt if any(row.texts.values()) else None
        else:
            prompt = first.get(row.key)
        if prompt is None:
            continue
        first.setdefault(row.key, prompt)
        for name, text in row.texts.items():
            if text:
                needed[prompt.pk, text] = prompt
                if name == "response" and row.said.get("version"):
                    versions[prompt.pk, text] = row.said["version"]
    return _Texts(prompts, _responses(needed, versions, new_prompts), by_id)


def _prompts(project: Project, wanted: dict[str, FeedbackRow]) -> tuple[dict[str, Prompt], set[int]]:
    """Return prompts by digest, and the ids of those that were made."""
    if not wanted:
        return {}, set()
    if len(wanted) == 1:
        there = _of_digest.rows(project=project.pk, digest=next(iter(wanted)))
    else:
        there = list(project.prompts.filter(digest__in=wanted).only("digest", "project"))
    found = {each.digest: each for each in there}
    new = [
        Prompt(project=project, messages=row.messages, digest=digest, split=Split.of(digest), of_feedback=True)
        for digest, row in sorted(wanted.items())
        if digest not in found
    ]
    if len(new) == 1:
        new[0].save(force_insert=True)
    elif new:
        Prompt.objects.bulk_create(new)
    return found | {each.digest: each for each in new}, {each.pk for each in new}


def _responses(
    needed: dict[tuple[int, str], Prompt], versions: dict[tuple[int, str], str], new_prompts: set[int]
) -> dict[tuple[int, str], Completion]:
    """Return the responses by prompt and text; each is stored once, under a number that its text gives."""
    found: dict[tuple[int, str], Completion] = {}
    left = {key: number_of(key[1]) for key in needed}
    while left:
        here = _stored({key: place for key, place in left.items() if key[0] not in new_prompts})
        new: dict[tuple[int, int], Completion] = {}
        for key, place in list(left.items()):
            prompt, text = key
            there = here.get((prompt, place)) or new.get((prompt, place))
            if there is None:
                there = Completion(
                    prompt=needed[key],
                    source=Source.IMPORTED,
                    text=text,
                    origin=ORIGIN,
                    index=place,
                    sampling={"model": versions[key]} if key in versions else {},
                )
                new[prompt, place] = there
            if there.text == text:
                found[key] = there
                del left[key]
            else:
                left[key] = (place + 1) % 2**31  # another text has this number
        made = [new[place] for place in sorted(new)]
        if len(made) == 1:
            made[0].save(force_insert=True)
        elif made:
            Completion.objects.bulk_create(made)
    return found


def _stored(places: dict[tuple[int, str], int]) -> dict[tuple[int, int], Completion]:
    if not places:
        return {}
    asked = Completion.objects.filter(
        origin=ORIGIN, prompt__in={prompt for prompt, _ in places}, index__in=set(places.values())
    )
    return {(each.prompt_id, each.index): each for each in asked}


def number_of(text: str) -> int:
    """Return the number under which a response is looked for among those of its prompt, from 0 to 2³¹ − 1."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) >> 1


def find(
    *,
    project: Project,
    signal: str = "",
    version: str = "",
    user: str = "",
    since: date | None = None,
    until: date | None = None,
) -> QuerySet[Feedback]:
    """Return feedback of a project by what it says, the version, the end user and its days in UTC, newest first."""
    found = project.feedback.order_by("-id")
    if signal:
        found = found.filter(WITH[signal])
    if version:
        found = found.filter(version=version)
    if user:
        found = found.filter(user=user)
    if since:
        found = found.filter(created_at__gte=_at(since, time.min))
    if until:
        found = found.filter(created_at__lte=_at(until, time.max))  # the day after the last one there is has no date
    return found


WITH = {
    "up": Q(thumb="up"),
    "down": Q(thumb="down"),
    "score": Q(score__isnull=False),
    "chosen": ~Q(chosen=""),
    "edit": Q(edit__isnull=False),
    "comment": ~Q(comment=""),
}


def _at(day: date, hour: time) -> datetime:
    return datetime.combine(day, hour, tzinfo=timezone.get_default_timezone())
