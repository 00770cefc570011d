"""The first account of a server, which is made in the browser. The page closes for good once an account exists."""

from __future__ import annotations

import base64

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext, gettext_noop

from annotation import audit
from annotation.errors import NotPossible
from annotation.models import AuditAction, ServerSetup

CODE_BYTES = 10  # 80 bits: nobody guesses it
GROUP = 4  # letters between two hyphens
TAKEN = gettext_noop("This server already has an admin. Sign in, or ask the admin for an invitation.")


def is_open() -> bool:
    """Return whether the first admin can still be made: no account exists, and none was made on the page before."""
    return not User.objects.exists() and not ServerSetup.objects.filter(finished_at__isnull=False).exists()


def set_up_code() -> str:
    """Return the code that shows that a person can read this server's log; the same one in each of its processes."""
    setup, _ = ServerSetup.objects.get_or_create(pk=1)
    digest = salted_hmac("prefloop.first-admin", setup.nonce, algorithm="sha256").digest()
    letters = base64.b32encode(digest[:CODE_BYTES]).decode()
    return "-".join(letters[start : start + GROUP] for start in range(0, len(letters), GROUP))


def is_set_up_code(given: str) -> bool:
    """Return whether a person has given the code; hyphens, spaces and lower case do not matter."""
    return constant_time_compare(_bare(given), _bare(set_up_code()))


def _bare(code: str) -> str:
    return "".join(letter for letter in code.upper() if letter.isalnum())


@transaction.atomic
def make_first_admin(*, user: User) -> User:
    """Save and return the first account, which may do everything. Raises NotPossible where there is an account.

    Of two requests at once the UPDATE lets one through; the other one waits for it and finds the row finished.
    """
    ServerSetup.objects.get_or_create(pk=1)
    won = ServerSetup.objects.filter(pk=1, finished_at=None).update(finished_at=timezone.now())
    if not won or User.objects.exists():
        raise NotPossible(gettext(TAKEN))
    user.is_staff = user.is_superuser = True
    user.save()
    audit.record(AuditAction.FIRST_ADMIN, by=user, subject=user)
    return user
