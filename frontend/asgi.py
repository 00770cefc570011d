"""One address: pages and API through WSGI threads, sockets through ASGI.

A synchronous Django view under ASGI pays a thread hand-over and a new database connection for every request. The WSGI
application in a fixed set of threads keeps its connections and takes about half the CPU per page.
"""

import gc
import os
import sys

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "frontend.settings")
pages = get_wsgi_application()  # sets Django up, which must be done before anything below touches models
# Read before the first request: Django takes a session whose signature cannot be checked for none, so a key that
# cannot be read would sign people out without a word.
str(settings.SECRET_KEY)

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.urls import path, re_path  # noqa: E402

from annotation import large_blocks  # noqa: E402
from frontend.consumers import NoSuchAddress, ProjectConsumer  # noqa: E402
from frontend.serving.health import Health  # noqa: E402
from frontend.serving.metrics import Metrics  # noqa: E402
from frontend.serving.pages import Pages  # noqa: E402

# What is loaded by now stays: looking through it again and again took a tenth of the time of every page.
gc.collect()
gc.freeze()
gc.set_threshold(20_000, 20, 20)

# How long a thread that computes keeps the interpreter where others wait. The event loop takes it anew for each event:
# behind four busy page threads it waited up to 20 ms each time, by Python's default of 5.
sys.setswitchinterval(0.001)

# Bodies, files and texts of megabytes; pages are smaller.
large_blocks.give_back(2**20)

PAGE_THREADS = int(os.environ.get("PREFLOOP_THREADS", "4"))

application = ProtocolTypeRouter(
    {
        "http": Metrics(Health(Pages(pages, threads=PAGE_THREADS))),
        "websocket": AllowedHostsOriginValidator(
            URLRouter(
                [
                    path("ws/projects/<slug:slug>/", AuthMiddlewareStack(ProjectConsumer.as_asgi())),
                    re_path("", NoSuchAddress.as_asgi()),
                ]
            )
        ),
    }
)
