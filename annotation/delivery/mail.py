"""Mail to those who asked for it: a round ended, or waits for an admin.

    PENDING ─attempt─▶ DELIVERED   the mail server took it
       ▲      ├──────▶ PENDING     it did not: again later, and later each time
       └──────┴──────▶ FAILED      after the last attempt, or where the account has no address any more

Letters are written in the transaction of what they tell and sent by whoever delivers webhooks, never in a request.
Where no mail server is set, none are written.
"""

from __future__ import annotations

import smtplib
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.mail import EmailMessage
from django.utils import timezone

from annotation.errors import NotPossible
from annotation.models import DeliveryStatus, Letter, Membership, Project, Role

LOST_AFTER = timedelta(minutes=3)  # whoever made the attempt did not live to tell
MOST_ATTEMPTS = 6  # over about six hours
FIRST_WAIT = timedelta(minutes=1)


def mail_is_on() -> bool:
    return bool(settings.EMAIL_HOST)


def ask_for_letters(*, membership: Membership, wanted: bool) -> None:
    """An admin says whether they want to hear of rounds by mail; it goes to the address of their account."""
    if wanted and not mail_is_on():
        raise NotPossible("This server sends no mail: EMAIL_HOST is not set.")
    if wanted and not membership.user.email:
        raise NotPossible("Your account has no mail address. Whoever manages the accounts can enter it.")
    Membership.objects.filter(pk=membership.pk).update(mail_about_rounds=wanted)


def write(*, project: Project, subject: str, body: str) -> None:
    """To every admin who asked for it. Called inside the transaction in which it happens."""
    if not mail_is_on():
        return
    asked = project.memberships.filter(role=Role.ADMIN, mail_about_rounds=True, user__is_active=True)
    Letter.objects.bulk_create(
        [
            Letter(project=project, user_id=user_id, subject=" ".join(subject.split())[:200], body=body)
            for user_id in asked.exclude(user__email="").values_list("user_id", flat=True)
        ]
    )


def send_next() -> bool:
    """Make the attempt that is due, if one is."""
    letter = _claim()
    if letter is None:
        return False
    refused = _send(letter)
    now = timezone.now()
    moves: dict[str, Any] = {"last_answer": refused}
    if not refused:
        moves |= {"status": DeliveryStatus.DELIVERED, "finished_at": now}
    elif letter.attempts >= MOST_ATTEMPTS or not letter.user.email:
        moves |= {"status": DeliveryStatus.FAILED, "finished_at": now}
    else:
        moves |= {"next_attempt_at": _again_at(letter.attempts, now)}
    Letter.objects.filter(pk=letter.pk, status=DeliveryStatus.PENDING, attempts=letter.attempts).update(**moves)
    return True


def _claim() -> Letter | None:
    """The first that is due, with one attempt more to its name."""
    now = timezone.now()
    due = Letter.objects.filter(status=DeliveryStatus.PENDING, next_attempt_at__lte=now)
    for pk, attempts in due.order_by("next_attempt_at", "pk").values_list("pk", "attempts")[:10]:
        ours = Letter.objects.filter(pk=pk, status=DeliveryStatus.PENDING, attempts=attempts)
        if ours.update(attempts=attempts + 1, next_attempt_at=now + LOST_AFTER):
            return Letter.objects.select_related("user").get(pk=pk)
    return None


def _send(letter: Letter) -> str:
    """Why it could not be sent; empty if it was."""
    user: User = letter.user
    if not user.email:
        return "The account has no mail address any more."
    try:
        EmailMessage(letter.subject, letter.body, to=[user.email]).send()
    except (OSError, smtplib.SMTPException) as problem:
        return f"{type(problem).__name__}: {problem}"
    return ""


def _again_at(attempts: int, now: datetime) -> datetime:
    """After one minute, then four times as long each time."""
    wait: timedelta = FIRST_WAIT * 4 ** (attempts - 1)
    return now + wait
