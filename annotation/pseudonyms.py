"""Under which name a person who annotates is shown: admins read user names, all others pseudonyms.

A pseudonym is the same on every page of a project and another one in each project, and cannot be computed from a user
name. It does not hide the number of the account, which the API (`annotator_id`), filters and snapshots ("annotator-4")
give to reviewers, too.
"""

from __future__ import annotations

from django.contrib.auth.models import User
from django.utils.crypto import salted_hmac

from annotation import origin
from annotation.models import DatasetSnapshot, Membership, Role

LETTERS = "23456789BCDFGHJKMNPQRSTVWXZ"  # none that are mistaken for another, and no vowels, so no words
LENGTH = 5
CARD_NAME = "annotator-"


def pseudonym(project_id: int, user_id: int) -> str:
    """Return the pseudonym of a person in a project, such as "A-7F3KQ"; it depends on the server's secret key."""
    number = int.from_bytes(salted_hmac("prefloop.pseudonym", f"{project_id}:{user_id}", algorithm="sha256").digest())
    letters = ""
    for _ in range(LENGTH):
        number, place = divmod(number, len(LETTERS))
        letters += LETTERS[place]
    return f"A-{letters}"


def name_of(project_id: int, user_id: int | None, username: str) -> str:
    """Return how the person whose request is being answered reads another one's name in a project.

    User names are for admins of the project, for the person themselves, and outside of requests: for commands.
    """
    if user_id is None:
        return username
    where = origin.current()
    if where.user_id is None or where.user_id == user_id or _reads_names(where, project_id):
        return username
    return pseudonym(project_id, user_id)


def known_as(project_id: int, person: User | None) -> str:
    """Return the same for an account; empty for none."""
    return name_of(project_id, person.pk, person.get_username()) if person else ""


def people_of(snapshot: DatasetSnapshot) -> list[tuple[str, str, int]]:
    """Return whose annotations a snapshot holds: the name for the reader, the ID that filters take, and how many.

    The data card names accounts by their ids ("annotator-4"), and others as their file did, without an ID here.
    """
    counts = snapshot.card.get("people") or {}
    ids = {name: name.removeprefix(CARD_NAME) for name in counts if name.startswith(CARD_NAME)}
    accounts = User.objects.in_bulk(int(pk) for pk in ids.values() if pk.isdigit())
    named = {str(pk): known_as(snapshot.project_id, account) for pk, account in accounts.items()}
    return [(named.get(ids.get(name, ""), name), ids.get(name, ""), count) for name, count in counts.items()]


def _reads_names(where: origin.Origin, project_id: int) -> bool:
    """Return whether the reader is an admin of the project; looked up once for each request."""
    if project_id not in where.reads_names:
        own = Membership.objects.filter(project=project_id, user=where.user_id, role=Role.ADMIN)
        where.reads_names[project_id] = own.exists()
    return where.reads_names[project_id]
