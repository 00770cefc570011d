"""The description of the API and its page, both open to all."""

from __future__ import annotations

import hashlib
import threading
from functools import cache
from typing import Any, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.cache import get_conditional_response
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.request import Request

from frontend.middleware import POLICY

_one_at_a_time = threading.Lock()


class ApiSchema(SpectacularAPIView):
    """The OpenAPI description. It takes a second, so each process makes it once for each language and format."""

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:  # noqa: ARG002 -- as DRF calls it
        renderer = request.accepted_renderer
        asked = request.query_params.get("lang")
        language = asked if asked in dict(settings.LANGUAGES) else translation.get_language()
        with _one_at_a_time:
            content = _rendered(renderer.format, language or settings.LANGUAGE_CODE)
        response = HttpResponse(
            content,
            content_type=renderer.media_type,
            headers={
                "Content-Disposition": f'inline; filename="Prefloop.{renderer.format}"',
                "Cache-Control": "no-cache",
                "ETag": (etag := f'"{hashlib.sha256(content).hexdigest()[:32]}"'),
            },
        )
        return cast(HttpResponse, get_conditional_response(request._request, etag=etag, response=response))


@cache
def _rendered(format: str, language: str) -> bytes:
    renderer = next(each for each in ApiSchema.renderer_classes if each.format == format)
    content = renderer().render(_described(language), renderer_context={})
    return content.encode() if isinstance(content, str) else content


@cache
def _described(language: str) -> dict[str, Any]:
    with translation.override(language):
        return cast(dict[str, Any], SchemaGenerator().get_schema(request=None, public=True))  # type: ignore[no-untyped-call]


class ApiDocs(SpectacularSwaggerSplitView):
    """The OpenAPI page. Swagger writes inline styles, so this one page allows them; it shows no text from models."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        relaxed = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
        response.headers["Content-Security-Policy"] = relaxed
        return response
