"""What is noted of each request that Django answers: its id, a line in the log, and its part of the figures."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from frontend.serving import metrics
from frontend.serving.log_lines import answering

logger = logging.getLogger("prefloop.requests")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
SHOWN = ("slug", "pk", "number", "name")  # of an address: keys of invitations and of passwords are in others


def observe(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Answer with an `X-Request-ID`, that of the proxy in front where it sends one; count and time the request."""

    def middleware(request: HttpRequest) -> HttpResponse:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        began = time.perf_counter()
        with answering(request_id):
            response = get_response(request)
            _note(request, response.status_code, time.perf_counter() - began)
        response.headers["X-Request-ID"] = request_id
        return response

    return middleware


def _note(request: HttpRequest, status: int, seconds: float) -> None:
    match = request.resolver_match
    view = (match.view_name or "unnamed") if match else "none"
    method = request.method if request.method in METHODS else "other"
    metrics.REQUESTS.labels(method, view, str(status)).inc()
    metrics.SECONDS.labels(view).observe(seconds)
    if logger.isEnabledFor(logging.INFO):
        fields: dict[str, Any] = {"method": method, "view": view, "status": status, "ms": round(seconds * 1000, 1)}
        fields |= {name: match.kwargs[name] for name in SHOWN if match and name in match.kwargs}
        if person := getattr(request, "_cached_user", None):  # as far as the answer looked them up
            fields["user_id"] = person.pk
        logger.info("%s %s %d", method, view, status, extra={"fields": fields})
