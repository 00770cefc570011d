"""Which seat is next for somebody: by priority, then by how few people have judged the task, then by chance.

Seats of one priority and one number are a *level*. A person gets a seat from the first level that has one for them.
Within a level each search starts at a random seat: a hundred people who ask at once do not all reach for the same row,
and the tasks that somebody has judged already, which may fill most of a level, are not walked from the start each time.

A level in which nothing was for this person is remembered on their membership with its last task, for some minutes:
only later tasks are looked at there. Where an older task gets an empty seat again, `look_again` forgets all that.

Seats are ordered by task and not by their own id: asked for the lowest id, a planner may walk the primary key past a
million seats that are done, while tasks come in order in no other index that knows which seats are empty.

The searches are written in SQL: composing them through the ORM took ten times as long as the database took to answer.
"""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from annotation.errors import NotPossible
from annotation.models import Assignment, Membership, Project
from annotation.models.task import COUNTED_OPEN

WINDOW = 16  # seats that one random start looks at
STARTS = 6  # random starts, before the whole level is walked
REMEMBER = timedelta(minutes=10)  # not for ever: opening a task may commit after a later one was seen
UNDO_WITHIN = timedelta(minutes=10)
SEATS_COUNTED = 100_000  # a page counts no further

EMPTY = "FROM annotation_assignment WHERE project_id = %(project)s AND status = 'empty'"
IN_LEVEL = f"{EMPTY} AND priority = %(priority)s AND seat = %(seat)s"
FIRST_LEVEL = f"SELECT priority, seat {EMPTY} ORDER BY priority DESC, seat LIMIT 1"
NEXT_SEAT = f"SELECT priority, seat {EMPTY} AND priority = %(priority)s AND seat > %(seat)s ORDER BY seat LIMIT 1"
NEXT_PRIORITY = f"SELECT priority, seat {EMPTY} AND priority < %(priority)s ORDER BY priority DESC, seat LIMIT 1"
ENDS = f"""
    SELECT (SELECT task_id {IN_LEVEL} AND task_id > %(after)s ORDER BY task_id LIMIT 1),
           (SELECT task_id {IN_LEVEL} AND task_id > %(after)s ORDER BY task_id DESC LIMIT 1)
"""
# Not a task at which they have, or had, a seat, and not one that shows an answer of their own.
FOR_PERSON = """
    NOT EXISTS (SELECT 1 FROM annotation_assignment mine
                WHERE mine.task_id = free.task_id AND mine.annotator_id = %(user)s)
    AND NOT EXISTS (SELECT 1 FROM annotation_candidate shown
                    JOIN annotation_completion answer ON answer.id = shown.completion_id
                    WHERE shown.task_id = free.task_id AND answer.author_id = %(user)s)
"""
IN_WINDOW = f"""
    SELECT id FROM (SELECT id, task_id {IN_LEVEL} AND task_id >= %(start)s ORDER BY task_id LIMIT {WINDOW}) free
    WHERE {FOR_PERSON} LIMIT 1
"""
FROM_THE_START = f"""
    SELECT id FROM annotation_assignment free
    WHERE project_id = %(project)s AND status = 'empty' AND priority = %(priority)s AND seat = %(seat)s
    AND task_id > %(after)s AND {FOR_PERSON} ORDER BY task_id LIMIT 1
"""
# There are no more held seats than people, so this walk is short. A check stays with the person it is for.
LAPSED = f"""
    SELECT id FROM annotation_assignment free
    WHERE project_id = %(project)s AND status = 'held' AND expires_at < %(now)s AND {FOR_PERSON}
    AND EXISTS (SELECT 1 FROM annotation_task work
                WHERE work.id = free.task_id AND work.purpose IN ('work', 'evaluate'))
    ORDER BY expires_at LIMIT 1
"""


# Locked where that exists: two tabs of one person take turns, and the second finds the seat of the first.
PERSON = """
    SELECT member.id, member.passed_over,
           (SELECT id FROM annotation_assignment
            WHERE project_id = %(project)s AND annotator_id = %(user)s AND status = 'held'
            ORDER BY claimed_at LIMIT 1)
    FROM annotation_membership member WHERE member.project_id = %(project)s AND member.user_id = %(user)s
"""
# Whether they hold a seat is asked again here: what another tab took while this one waited for its turn, only a new
# statement sees.
TAKE = """
    UPDATE annotation_assignment
    SET status = 'held', annotator_id = %(user)s, claimed_at = %(now)s, expires_at = %(until)s, shown_order = %(order)s
    WHERE id = %(seat)s AND status = 'empty' AND NOT EXISTS (
        SELECT 1 FROM annotation_assignment mine
        WHERE mine.project_id = %(project)s AND mine.annotator_id = %(user)s AND mine.status = 'held')
"""
# The two answers of an evaluation stand in an order that was drawn for them, swapped for every second seat.
CANDIDATES = """
    SELECT shown.completion_id, compared.answer_id, compared.version_first, seat.seat FROM annotation_candidate shown
    JOIN annotation_assignment seat ON seat.task_id = shown.task_id
    LEFT JOIN annotation_comparison compared ON compared.task_id = seat.task_id WHERE seat.id = %s ORDER BY shown.id
"""
TEXTS = """
    SELECT answer.id, answer.text FROM annotation_candidate shown
    JOIN annotation_completion answer ON answer.id = shown.completion_id WHERE shown.task_id = %s
"""
OWN_PROGRESS = """
    SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM annotation_assignment
                                  WHERE project_id = %(project)s AND annotator_id = %(user)s
                                  AND status IN ('done', 'late') LIMIT %(most_done)s) own),
           (SELECT COUNT(*) FROM (SELECT 1 FROM annotation_assignment
                                  WHERE project_id = %(project)s AND status = 'empty' LIMIT %(most_open)s) free),
           EXISTS (SELECT 1 FROM annotation_assignment
                   WHERE project_id = %(project)s AND annotator_id = %(user)s
                   AND status IN ('done', 'late') AND finished_at > %(since)s)
"""


class Level(NamedTuple):
    priority: int
    seat: int


class Person(NamedTuple):
    """What a search has to know about somebody: the seat they hold, and what `PassedOver` kept about them."""

    membership: int
    passed_over: dict[str, Any]
    held: int | None


def ask(project: Project, user: User) -> Person:
    row = _row(PERSON + _for_update(" FOR UPDATE OF member"), {"project": project.pk, "user": user.pk})
    if row is None:
        raise NotPossible(f"You are no member of {project} any more.")
    membership, kept, held = row
    return Person(membership, json.loads(kept) if isinstance(kept, str) else kept, held)


def next_free(project: Project, user: User, person: Person) -> int | None:
    """The id of an empty seat that this person may take, not taken yet; None if there is none."""
    passed = PassedOver(person)
    about: dict[str, Any] = {"project": project.pk, "user": user.pk}
    found = _row(FIRST_LEVEL, about)
    while found:
        level = Level(*found)
        about.update(priority=level.priority, seat=level.seat, after=passed.last_task(level))
        first, last = _row(ENDS, about)
        if first is not None:
            if seat := _from_random_start(about, first, last) or _from_the_start(about):
                return seat
            passed.remember(level, last)
        found = _row(NEXT_SEAT, about) or _row(NEXT_PRIORITY, about)
    return None


def next_lapsed(project: Project, user: User) -> int | None:
    """The id of a held seat whose lease is over."""
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    row = _row(LAPSED + _passing_over_locked(), {"project": project.pk, "user": user.pk, "now": now})
    return row[0] if row else None


def take(seat: int, project: Project, user: User, *, until: datetime, order: list[int]) -> bool:
    """EMPTY to HELD; False if somebody else was faster, or another tab of this person has a seat by now."""
    moment = connection.ops.adapt_datetimefield_value
    about: dict[str, Any] = {"seat": seat, "project": project.pk, "user": user.pk, "order": json.dumps(order)}
    about.update(now=moment(timezone.now()), until=moment(until))
    with connection.cursor() as cursor:
        cursor.execute(TAKE, about)
        return bool(cursor.rowcount)


def shown_order(seat: int) -> list[int]:
    """The candidates as this seat sees them: shuffled anew for every seat, but as drawn where two authors compete."""
    with connection.cursor() as cursor:
        cursor.execute(CANDIDATES, [seat])
        rows = cursor.fetchall()
    ids = [row[0] for row in rows]
    random.Random(f"seat {seat}").shuffle(ids)
    if rows and rows[0][1] is not None:
        _, own, version_first, number = rows[0]
        own_first = bool(version_first) == (number % 2 == 1)
        ids.sort(key=lambda pk: (pk == own) != own_first)
    return ids


def texts_of(task: int) -> dict[int, str]:
    """The candidates of a task by their ids."""
    with connection.cursor() as cursor:
        cursor.execute(TEXTS, [task])
        return dict(cursor.fetchall())


def _row(statement: str, about: dict[str, Any]) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, about)
        return cursor.fetchone()


def _passing_over_locked() -> str:
    """Pass over seats that another transaction is taking."""
    return _for_update(" FOR UPDATE OF free SKIP LOCKED")


def _for_update(clause: str) -> str:
    """For PostgreSQL alone: SQLite has one writer at a time anyway."""
    return clause if connection.features.has_select_for_update_skip_locked else ""


def _from_random_start(about: dict[str, Any], first: int, last: int) -> int | None:
    if last - first < WINDOW:
        return None  # as quickly walked
    for _ in range(STARTS):
        if row := _row(IN_WINDOW, {**about, "start": random.randint(first, last)}):
            return int(row[0])
    return None


def _from_the_start(about: dict[str, Any]) -> int | None:
    # One that somebody else is taking now may yet be free, so it is no sign that the level has nothing.
    row = _row(FROM_THE_START + _passing_over_locked(), about) or _row(FROM_THE_START, about)
    return row[0] if row else None


def look_again(project_id: int) -> None:
    """Called by whoever gives an older task an empty seat: people who had passed it over find it."""
    Membership.objects.filter(project_id=project_id).exclude(passed_over={}).update(passed_over={})


class PassedOver:
    """The levels in which nothing was for this person, each up to a task. Kept on the membership."""

    def __init__(self, person: Person) -> None:
        self.membership, kept = person.membership, person.passed_over
        fresh = bool(kept) and datetime.fromisoformat(kept["until"]) > timezone.now()
        self.until = kept["until"] if fresh else (timezone.now() + REMEMBER).isoformat()
        self.levels: dict[str, int] = dict(kept["levels"]) if fresh else {}

    def last_task(self, level: Level) -> int:
        return self.levels.get(f"{level.priority}:{level.seat}", 0)

    def remember(self, level: Level, last_task: int) -> None:
        self.levels[f"{level.priority}:{level.seat}"] = last_task
        kept = {"until": self.until, "levels": self.levels}
        Membership.objects.filter(pk=self.membership).update(passed_over=kept)


def progress(project: Project) -> dict[str, int | bool]:
    """Seats of a project by where they stand, as far as they are counted."""
    seats = Assignment.objects.filter(project=project)
    done = seats.judged().order_by().values("pk")[:SEATS_COUNTED].count()
    empty = seats.empty().order_by().values("pk")[:SEATS_COUNTED].count()
    return {
        "done": done,
        "held": seats.held().count(),
        "empty": empty,
        "more_done": done == SEATS_COUNTED,
        "more_empty": empty == SEATS_COUNTED,
    }


def own_progress(project: Project, user: User) -> dict[str, int | bool]:
    """What one person has done here, how many seats are free (for anybody), as far as they are counted, and whether
    they submitted something that is new enough to be taken back."""
    since = connection.ops.adapt_datetimefield_value(timezone.now() - UNDO_WITHIN)
    limits = {"most_done": SEATS_COUNTED, "most_open": COUNTED_OPEN, "since": since}
    done, empty, can_undo = _row(OWN_PROGRESS, {"project": project.pk, "user": user.pk, **limits})
    return {"done": done, "empty": empty, "more_empty": empty == COUNTED_OPEN, "can_undo": bool(can_undo)}
