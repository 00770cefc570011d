"""How the API says no: one shape for every refusal."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext
from rest_framework.response import Response
from rest_framework.views import exception_handler

from annotation.errors import NotPossible
from annotation.imports import UnreadableFile
from training.methods import InvalidConfig


def explain(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return {"detail": "…"}, or {"errors": {field: message}} where fields are at fault."""
    match error:
        case NotPossible():
            return Response({"detail": str(error)}, status=409)
        case InvalidConfig():
            return Response({"errors": error.errors_in(gettext)}, status=400)
        case UnreadableFile():
            return Response({"errors": {"file": str(error)}}, status=400)
    return exception_handler(error, context)
