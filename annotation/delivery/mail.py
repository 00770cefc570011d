"""Mail to admins who asked for it, to people about their account, and to those who are invited.

A mail is stored in the transaction of what it reports and sent by the process that delivers webhooks, never in a
request. Where no mail server is set, none is stored. `annotation.delivery.queue` says how a mail moves.
"""

from __future__ import annotations

import smtplib
from collections import defaultdict
from collections.abc import Callable, Collection
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.core.mail import EmailMessage
from django.utils import timezone, translation
from django.utils.translation import gettext

from annotation.delivery import queue
from annotation.errors import NotPossible
from annotation.models import MailMessage, Membership, Project, Role

LOST_AFTER = timedelta(minutes=3)
ATTEMPTS = 6
ACCOUNT_MAIL_EVERY = timedelta(minutes=5)
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(minutes=256)  # the last attempt after about six hours


def mail_is_on() -> bool:
    """Return whether this server can send mail."""
    return bool(settings.EMAIL_HOST)


def subscribe(*, membership: Membership, wanted: bool) -> None:
    """Store whether an admin wants mail about rounds. It goes to the address of their account.

    Raises NotPossible where this server sends no mail, or the account has no address.
    """
    if wanted and not mail_is_on():
        raise NotPossible(gettext("This server sends no mail: EMAIL_HOST is not set."))
    if wanted and not membership.user.email:
        raise NotPossible(gettext("Your account has no mail address. An administrator of this server can enter it."))
    Membership.objects.filter(pk=membership.pk).update(mail_about_rounds=wanted)


def write(*, project: Project, text: Callable[[], tuple[str, str]]) -> None:
    """Store a mail to every admin who asked for mail. Call it inside the transaction of what it reports.

    `text` returns subject and body; it is called once for each language of the recipients.
    """
    if not mail_is_on():
        return
    subscribed = project.memberships.filter(role=Role.ADMIN, mail_about_rounds=True, user__is_active=True)
    people: defaultdict[str, list[int]] = defaultdict(list)
    chosen = subscribed.exclude(user__email="").values_list("user_id", "user__preferences__language")
    for user_id, language in chosen.order_by("user_id"):
        people[language or settings.LANGUAGE_CODE].append(user_id)
    for language, ids in people.items():
        with translation.override(language):
            subject, body = text()
        one_line = " ".join(subject.split())[:200]
        MailMessage.objects.bulk_create(
            [
                MailMessage(project=project, user_id=pk, subject=one_line, body=body, attempts_allowed=ATTEMPTS)
                for pk in ids
            ]
        )


def tell(*, project: Project, people: Collection[int], text: Callable[[], str], path: str) -> None:
    """Store a mail to each of these people that has an address. Call it inside the transaction of what it reports.

    `text` returns what happened in one line; it is called once for each language. `path` is the page that it is about.
    """
    if not people or not mail_is_on():
        return
    reachable = User.objects.filter(pk__in=people, is_active=True).exclude(email="").order_by("pk")
    by_language: defaultdict[str, list[int]] = defaultdict(list)
    for user_id, language in reachable.values_list("pk", "preferences__language"):
        by_language[language or settings.LANGUAGE_CODE].append(user_id)
    for language, ids in by_language.items():
        with translation.override(language):
            subject = " ".join(f"{project}: {text()}".split())[:200]
            why = gettext("You chose this mail in your profile, where you can also end it.")
        body = f"{subject}\n\n{settings.PUBLIC_URL}{path}\n\n{why}"
        same = {"project": project, "subject": subject, "body": body, "attempts_allowed": ATTEMPTS}
        MailMessage.objects.bulk_create([MailMessage(user_id=pk, **same) for pk in ids], batch_size=500)


def write_to(*, user: User, subject: str, body: str) -> None:
    """Store a mail about their account to one person, unless one was stored in the last five minutes."""
    lately = timezone.now() - ACCOUNT_MAIL_EVERY
    if not MailMessage.objects.filter(user_id=user.pk, project=None, created_at__gte=lately).exists():
        MailMessage.objects.create(user_id=user.pk, subject=subject, body=body, attempts_allowed=ATTEMPTS)


def write_to_address(*, project: Project, address: str, subject: str, body: str) -> None:
    """Store a mail about a project to a person without an account. Call it in the transaction of what it reports."""
    one_line = " ".join(subject.split())[:200]
    MailMessage.objects.create(project=project, address=address, subject=one_line, body=body, attempts_allowed=ATTEMPTS)


def send_next() -> bool:
    """Make the attempt that is due; return whether one was."""
    message = queue.claim(MailMessage.objects.select_related("user"), lost_after=LOST_AFTER)
    if message is None:
        return False
    problem = _send(message)
    queue.settle(
        message,
        delivered=not problem,
        hopeless=not message.recipient,
        wait=queue.wait_after(message.attempts, first=FIRST_WAIT, longest=LONGEST_WAIT),
        last_answer=problem,
    )
    return True


def _send(message: MailMessage) -> str:
    """Send a mail and return why it could not be sent; an empty text if it was."""
    if not message.recipient:
        return "The account has no mail address any more."
    try:
        EmailMessage(message.subject, message.body, to=[message.recipient]).send()
    except (OSError, smtplib.SMTPException) as problem:
        return f"{type(problem).__name__}: {problem}"
    return ""
