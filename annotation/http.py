from __future__ import annotations

from django.contrib.auth.models import User
from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails


class UserRequest(HttpRequest):
    """What a view behind @login_required gets: somebody signed in, and the details of htmx."""

    user: User
    htmx: HtmxDetails
