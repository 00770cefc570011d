"""Which part of the queue had nothing for a person, so that the next search starts behind it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.utils import timezone

from annotation.models import Membership

REMEMBER = timedelta(minutes=10)  # not longer: a task that was opened earlier may be committed after a later one


class Level(NamedTuple):
    """The empty seats of one priority and one seat number."""

    priority: int
    seat_number: int


class PassedOver:
    """The levels that had nothing for a person, each with the last task that was looked at; kept on the membership."""

    def __init__(self, membership: int, kept: dict[str, Any]) -> None:
        self.membership = membership
        is_valid = bool(kept) and datetime.fromisoformat(kept["until"]) > timezone.now()
        self.until = kept["until"] if is_valid else (timezone.now() + REMEMBER).isoformat()
        self.levels: dict[str, int] = dict(kept["levels"]) if is_valid else {}

    def last_task(self, level: Level) -> int:
        """Return the id of the last task of the level that was looked at; 0 where none was."""
        return self.levels.get(f"{level.priority}:{level.seat_number}", 0)

    def remember(self, level: Level, last_task: int) -> None:
        """Store that the level has nothing for this person up to `last_task`."""
        self.levels[f"{level.priority}:{level.seat_number}"] = last_task
        kept = {"until": self.until, "levels": self.levels}
        Membership.objects.filter(pk=self.membership).update(passed_over=kept)


def invalidate(project_id: int) -> None:
    """Forget what everybody in the project has passed over. Call it where an older task gets an empty seat again."""
    Membership.objects.filter(project_id=project_id).exclude(passed_over={}).update(passed_over={})
