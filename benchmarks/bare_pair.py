"""The least that a judgment can be with Django: a page of a task, and a form that stores a ranking with four rows.

No accounts, no sessions, no queue, no permissions, no CSRF. BARE_PAIR names the folder of its SQLite file.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import django
from django.conf import settings

HERE = Path(__file__).resolve().parent
TASKS, ANSWERS, PROMPT_WORDS, ANSWER_WORDS = 2000, 4, 40, 120
WORDS = "the model output ranks answer prompt a of and with human feedback reward policy token data label".split()  # noqa: SIM905
PAGE = """<section hx-target="this"><h2>Prompt</h2><p>{{ task.prompt }}</p>
<form method="post" action="/judgment/" hx-post="/judgment/"><input type="hidden" name="task" value="{{ task.pk }}">
<ol>{% for answer in task.answers %}<li data-answer="{{ forloop.counter0 }}"><pre>{{ answer }}</pre>
<kbd>{{ forloop.counter }}</kbd><button type="button">up</button><button type="button">down</button></li>
{% endfor %}</ol>
<textarea name="rationale"></textarea><button>Submit</button></form></section>"""
PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=20000;"

settings.configure(
    SECRET_KEY="of no use here",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="bare_pair",
    MIDDLEWARE=[],
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": Path(os.environ["BARE_PAIR"]) / "bare.sqlite3",
            "CONN_MAX_AGE": None,
            "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": PRAGMAS},
        }
    },
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {"loaders": [("django.template.loaders.locmem.Loader", {"task.html": PAGE})]},
        }
    ],
    LOGGING_CONFIG=None,
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, models, transaction  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.shortcuts import render  # noqa: E402
from django.urls import path  # noqa: E402


class Task(models.Model):  # noqa: DJ008  # a bare pair shows none of them
    prompt = models.TextField()
    answers = models.JSONField()

    class Meta:
        app_label = "bare"


class Ranking(models.Model):  # noqa: DJ008
    task = models.ForeignKey(Task, models.CASCADE)
    seconds = models.FloatField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "bare"


class Place(models.Model):  # noqa: DJ008
    ranking = models.ForeignKey(Ranking, models.CASCADE)
    answer = models.SmallIntegerField()
    place = models.SmallIntegerField()

    class Meta:
        app_label = "bare"


def task(request: HttpRequest) -> HttpResponse:
    return render(request, "task.html", {"task": Task.objects.get(pk=random.randint(1, TASKS))})


def judgment(request: HttpRequest) -> HttpResponse:
    order = [int(number) for number in request.POST["order"].split(",")]
    with transaction.atomic():
        ranking = Ranking.objects.create(task_id=int(request.POST["task"]), seconds=float(request.POST["seconds"]))
        Place.objects.bulk_create(
            Place(ranking=ranking, answer=answer, place=place) for place, answer in enumerate(order)
        )
    return HttpResponse(str(ranking.pk), status=201)


urlpatterns = [path("task/", task), path("judgment/", judgment)]
application = get_wsgi_application()


def make_tables() -> None:
    """Make the tables and TASKS tasks with texts as long as those of the other benchmarks."""
    chance = random.Random(1)

    def text(words: int) -> str:
        return " ".join(chance.choice(WORDS) for _ in range(words))

    with connection.schema_editor() as editor:
        for model in (Task, Ranking, Place):
            editor.create_model(model)
    Task.objects.bulk_create(
        (Task(prompt=text(PROMPT_WORDS), answers=[text(ANSWER_WORDS) for _ in range(ANSWERS)]) for _ in range(TASKS)),
        batch_size=500,
    )


if __name__ == "__main__":
    make_tables()
