"""Which assignment a person gets next: by priority, then by how few people have judged the task, then by chance.

Empty seats of one priority and one seat number are a *level*. A person gets a seat from the first level that has one
for them. Within a level each search starts at a random seat: a hundred people who ask at once do not all reach for the
same row, and tasks with a judgment, which may fill most of a level, are not walked from the start
each time. `passed_over` remembers for some minutes which levels had nothing for a person.

Seats are ordered by task and not by their own id: asked for the lowest id, a planner may walk the primary key past a
million seats that are done, while tasks come in order in no other index that knows which seats are empty.

The searches are written in SQL: composing them through the ORM took ten times as long as the database took to answer.
"""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext, gettext_noop

from annotation import clock
from annotation.actions import assignments, checks, guidelines, practice
from annotation.actions.passed_over import Level, PassedOver
from annotation.errors import NotPossible
from annotation.models import Assignment, Project
from annotation.models.prepared import Prepared
from annotation.models.task import COUNTED_OPEN, UNDO_WITHIN
from annotation.opaque import dice

CLOSED = gettext_noop(
    "This project is closed: no new tasks are assigned. Your task in progress can still be submitted."
)
CLAIM_TRIES = 20
WINDOW = 16  # empty seats that one random start looks at
STARTS = 6  # random starts, before the whole level is walked
COUNTED = 100_000  # rows; a page counts no further

EMPTY = "FROM annotation_assignment WHERE project_id = %(project)s AND status = 'empty'"
IN_LEVEL = f"{EMPTY} AND priority = %(priority)s AND seat_number = %(seat_number)s"
FIRST_LEVEL = f"SELECT priority, seat_number {EMPTY} ORDER BY priority DESC, seat_number LIMIT 1"
NEXT_SEAT_NUMBER = f"""
    SELECT priority, seat_number {EMPTY} AND priority = %(priority)s AND seat_number > %(seat_number)s
    ORDER BY seat_number LIMIT 1
"""
NEXT_PRIORITY = f"""
    SELECT priority, seat_number {EMPTY} AND priority < %(priority)s ORDER BY priority DESC, seat_number LIMIT 1
"""
ENDS = f"""
    SELECT (SELECT task_id {IN_LEVEL} AND task_id > %(after)s ORDER BY task_id LIMIT 1),
           (SELECT task_id {IN_LEVEL} AND task_id > %(after)s ORDER BY task_id DESC LIMIT 1)
"""
# Not a task at which the person has, or had, an assignment, and not one that shows an answer of their own.
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
    WHERE project_id = %(project)s AND status = 'empty' AND priority = %(priority)s AND seat_number = %(seat_number)s
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
# Locked on PostgreSQL: two tabs of one person take turns, and the second finds the assignment of the first.
PERSON = """
    SELECT member.id, member.passed_over, member.guidelines_read,
           (SELECT id FROM annotation_assignment
            WHERE project_id = %(project)s AND annotator_id = %(user)s AND status = 'held'
            ORDER BY claimed_at LIMIT 1)
    FROM annotation_membership member WHERE member.project_id = %(project)s AND member.user_id = %(user)s
"""
# Whether the person holds an assignment is asked again here: only a new statement sees what another tab took while this
# one waited for the lock.
TAKE = """
    UPDATE annotation_assignment
    SET status = 'held', annotator_id = %(user)s, claimed_at = %(now)s, expires_at = %(until)s, shown_order = %(order)s
    WHERE id = %(assignment)s AND status = 'empty' AND NOT EXISTS (
        SELECT 1 FROM annotation_assignment mine
        WHERE mine.project_id = %(project)s AND mine.annotator_id = %(user)s AND mine.status = 'held')
"""
# The two answers of an evaluation are shown in the order that was drawn for them, swapped for every second seat.
CANDIDATES = """
    SELECT shown.completion_id, compared.answer_id, compared.version_first, own.seat_number
    FROM annotation_candidate shown JOIN annotation_assignment own ON own.task_id = shown.task_id
    LEFT JOIN annotation_comparison compared ON compared.task_id = own.task_id WHERE own.id = %s ORDER BY shown.id
"""
TEXTS = """
    SELECT answer.id, answer.text, answer.finished FROM annotation_candidate shown
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

_with_prompt = Prepared(
    lambda pk: Assignment.objects.filter(pk=pk).select_related("task__prompt", "task__proposal"), pk=int
)


class Person(NamedTuple):
    """What a claim has to know about a person: what they hold, were passed over at, and have read of the guidelines."""

    membership: int
    passed_over: dict[str, Any]
    guidelines_read: int
    held: int | None


class Response(NamedTuple):
    """A candidate as it is shown. Where it is not finished it was cut at its length limit."""

    text: str
    finished: bool


def claim_next(*, project: Project, by: User) -> Assignment | None:
    """Return the assignment this user holds, or else claim the next one; None if there is nothing for them.

    Raises NotPossible where the project is closed, ReadGuidelinesFirst where there is a version of the guidelines to
    acknowledge, and PractiseFirst where the user has to practise before.
    """
    for _ in range(CLAIM_TRIES):
        try:
            with transaction.atomic():
                person = _person(project, by)
                if person.held is not None:
                    return assignments.renew(assignment=_with_task(person.held, project))
                if project.closed_at:
                    raise NotPossible(gettext(CLOSED))
                guidelines.require(project, read=person.guidelines_read)
                practice.require(project, by)
                if check := checks.claim_check(project, by):
                    return check
                free = _next_empty(project, by, person)
                if free is None:
                    lapsed = _next_lapsed(project, by)
                    if lapsed is None:
                        return None
                    free = assignments.replace_lapsed(lapsed)
                if free is not None and _take(free, project, by):
                    return _with_task(free, project)
        except IntegrityError:
            continue  # another tab of the same person claimed in the same moment: the next look finds its assignment
    raise NotPossible(gettext("Too many requests at once; no task could be assigned. Try again."))


def _person(project: Project, user: User) -> Person:
    row = _row(PERSON + _for_update(" FOR UPDATE OF member"), {"project": project.pk, "user": user.pk})
    if row is None:
        raise NotPossible(gettext("You are no longer a member of %(project)s.") % {"project": project})
    membership, kept, read, held = row
    return Person(membership, json.loads(kept) if isinstance(kept, str) else kept, read, held)


def _next_empty(project: Project, user: User, person: Person) -> int | None:
    """Return the id of an empty assignment that this person may take, not taken yet; None if there is none."""
    passed = PassedOver(person.membership, person.passed_over)
    about: dict[str, Any] = {"project": project.pk, "user": user.pk}
    found = _row(FIRST_LEVEL, about)
    while found:
        level = Level(*found)
        about.update(priority=level.priority, seat_number=level.seat_number, after=passed.last_task(level))
        first, last = _row(ENDS, about)
        if first is not None:
            if assignment := _from_random_start(about, first, last) or _from_the_start(about):
                return assignment
            passed.remember(level, last)
        found = _row(NEXT_SEAT_NUMBER, about) or _row(NEXT_PRIORITY, about)
    return None


def _from_random_start(about: dict[str, Any], first: int, last: int) -> int | None:
    if last - first < WINDOW:
        return None  # as quickly walked
    for _ in range(STARTS):
        if row := _row(IN_WINDOW, {**about, "start": random.randint(first, last)}):
            return int(row[0])
    return None


def _from_the_start(about: dict[str, Any]) -> int | None:
    # One that another person is taking now may yet be free, so it does not mean that the level has nothing.
    row = _row(FROM_THE_START + _passing_over_locked(), about) or _row(FROM_THE_START, about)
    return row[0] if row else None


def _next_lapsed(project: Project, user: User) -> int | None:
    """Return the id of a held assignment whose lease is over and whose task this person may judge."""
    now = connection.ops.adapt_datetimefield_value(clock.now())
    row = _row(LAPSED + _passing_over_locked(), {"project": project.pk, "user": user.pk, "now": now})
    return row[0] if row else None


def _take(assignment: int, project: Project, user: User) -> bool:
    """Move an assignment from EMPTY to HELD; return False if another person, or another tab of this one, was faster."""
    moment = connection.ops.adapt_datetimefield_value
    order = json.dumps(shown_order(assignment))
    about: dict[str, Any] = {"assignment": assignment, "project": project.pk, "user": user.pk, "order": order}
    about.update(now=moment(clock.now()), until=moment(assignments.lease_end(project)))
    with connection.cursor() as cursor:
        cursor.execute(TAKE, about)
        return bool(cursor.rowcount)


def _with_task(pk: int, project: Project) -> Assignment:
    assignment = _with_prompt.first(pk=pk)
    assert assignment is not None  # found, or taken, in this transaction
    assignment.project = project  # known already: a wide row less to read
    return assignment


def shown_order(assignment: int) -> list[int]:
    """Return the candidates' ids in the order in which an assignment shows them.

    They are shuffled for each assignment; the two sides of an evaluation keep the order that was drawn for them.
    """
    with connection.cursor() as cursor:
        cursor.execute(CANDIDATES, [assignment])
        rows = cursor.fetchall()
    ids = [row[0] for row in rows]
    dice("shown order", assignment).shuffle(ids)
    if rows and rows[0][1] is not None:
        _, own, version_first, seat_number = rows[0]
        own_first = bool(version_first) == (seat_number % 2 == 1)
        ids.sort(key=lambda pk: (pk == own) != own_first)
    return ids


def responses_of(task: int) -> dict[int, Response]:
    """Return what a task's candidates say, by their ids."""
    with connection.cursor() as cursor:
        cursor.execute(TEXTS, [task])
        return {pk: Response(text, bool(finished)) for pk, text, finished in cursor.fetchall()}


def _row(statement: str, about: dict[str, Any]) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, about)
        return cursor.fetchone()


def _passing_over_locked() -> str:
    """Return the clause that leaves out rows which another transaction is taking."""
    return _for_update(" FOR UPDATE OF free SKIP LOCKED")


def _for_update(clause: str) -> str:
    """Return the clause on PostgreSQL; an empty one on SQLite, which has one writer at a time anyway."""
    return clause if connection.features.has_select_for_update_skip_locked else ""


def at_least(count: int) -> int:
    """Return the largest of 0, 1, 10, 50, 100, 500, 1,000 … that is no larger than a count.

    What annotators are told of open seats: a claim of work takes an empty seat and a check takes none, and a judgment
    that contradicts another one may open a seat.
    """
    steps = [0, 1]
    for power in range(1, 7):
        steps += [10**power, 5 * 10**power]
    return max(step for step in steps if step <= count)


def roughly(counted: dict[str, int | bool]) -> dict[str, int | bool]:
    """Return what those who are checked may see of `progress`: the open seats by `at_least`."""
    return {**counted, "empty": at_least(counted["empty"]), "more_empty": bool(counted["empty"])}


def counted(rows: QuerySet[Any]) -> int:
    """Return the number of rows, at most COUNTED: pages that refresh by themselves ask for it all the time."""
    return rows.order_by().values("pk")[:COUNTED].count()


def in_figures(number: int) -> str:
    """Return how a page shows what was counted: 1,234, or 100,000+ where there may be more."""
    return f"{number:,}+" if number >= COUNTED else f"{number:,}"


def progress(project: Project) -> dict[str, int | bool]:
    """Return how many assignments of a project are done, held and empty, counted up to COUNTED."""
    there = Assignment.objects.filter(project=project)
    done, empty = counted(there.judged()), counted(there.empty())
    return {
        "done": done,
        "held": there.held().count(),
        "empty": empty,
        "more_done": done == COUNTED,
        "more_empty": empty == COUNTED,
    }


def own_progress(project: Project, user: User) -> dict[str, int | bool]:
    """Return how much a person has done, about how many seats are empty (for anybody), both counted up to a limit, and
    whether what they submitted last is new enough to be taken back."""
    since = connection.ops.adapt_datetimefield_value(clock.now() - UNDO_WITHIN)
    limits = {"most_done": COUNTED, "most_open": COUNTED_OPEN, "since": since}
    done, empty, can_undo = _row(OWN_PROGRESS, {"project": project.pk, "user": user.pk, **limits})
    return {"done": done, "empty": at_least(empty), "more_empty": bool(empty), "can_undo": bool(can_undo)}
