"""One address: pages and API through WSGI threads, sockets through ASGI.

A synchronous Django view under ASGI pays a thread hand-over and a new database connection for every request. The WSGI
application in a fixed set of threads keeps its connections and takes about half the CPU per page.
"""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "frontend.settings")

from a2wsgi import WSGIMiddleware
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

from frontend.consumers import ProjectConsumer
from frontend.wsgi import (
    application as pages,  # sets Django up, so it comes before anything that touches models
)

PAGE_THREADS = int(os.environ.get("PREFLOOP_THREADS", "4"))

application = ProtocolTypeRouter(
    {
        "http": WSGIMiddleware(pages, workers=PAGE_THREADS),  # type: ignore[arg-type]
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(URLRouter([path("ws/projects/<slug:slug>/", ProjectConsumer.as_asgi())]))
        ),
    }
)
