"""Whatever waits to leave this server, a piece at a time: the worker and `manage.py deliver_webhooks` call this."""

from __future__ import annotations

from annotation.delivery import mail, webhooks


def deliver_next() -> bool:
    """One delivery of a webhook and one letter, as far as any is due; neither waits for the other's queue to end."""
    told = webhooks.deliver_next()
    return mail.send_next() or bool(told)
