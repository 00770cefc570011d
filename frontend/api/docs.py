from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.views import SpectacularSwaggerSplitView

from frontend.middleware import POLICY


class ApiDocs(SpectacularSwaggerSplitView):
    """The OpenAPI page. Swagger writes inline styles, so this one page allows them; it shows no text from models."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        relaxed = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
        response.headers["Content-Security-Policy"] = relaxed
        return response
