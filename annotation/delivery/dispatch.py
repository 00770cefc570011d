"""Sending what is due. The worker and `manage.py deliver_webhooks` call this."""

from __future__ import annotations

from annotation.delivery import mail, webhooks


def deliver_next() -> bool:
    """Send one webhook delivery and one mail, as far as any is due; return whether there was one."""
    delivered = webhooks.deliver_next()
    return mail.send_next() or delivered
