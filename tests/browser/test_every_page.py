"""axe-core finds nothing on any page that an admin of the project and of the server can open.

By day each page is opened in one combination of language, colours and width, at night (PREFLOOP_TESTS=nightly) in all.
"""

from __future__ import annotations

from itertools import product

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User

from tests import NIGHTLY
from tests.browser.steps import PHONE
from tests.test_access import PAGES, addresses, made  # noqa: F401 (fixtures)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LANGUAGES = {"en": {"locale": "en-GB"}, "zh": {"locale": "zh-CN"}}
COLOURS = {"light": {}, "dark": {"color_scheme": "dark"}}
WIDTHS = {"desk": {}, "phone": PHONE}
COMBINATIONS = list(product(LANGUAGES, COLOURS, WIDTHS))
# Files, fragments of other pages, and what leads elsewhere.
NO_PAGE = {"palette", "snapshot_download", "snapshot_card", "upload_refused", "round_metrics", "round_metrics_csv"}
NO_PAGE |= {"round_export", "costs_csv", "exchange_replies", "annotate", "notification", "assignment", "own_annotation"}


def test_every_page_is_accessible(visit, addresses, admin, settings):  # noqa: F811
    settings.PROJECT_CREATORS = "all"
    User.objects.filter(pk=admin.pk).update(is_staff=True, is_superuser=True)
    pages = [name for name, method, mine, *_ in PAGES if method == "get" and mine in (200, 403) and name not in NO_PAGE]
    wrong = []
    for number, (language, colours, width) in enumerate(COMBINATIONS):
        visitor = visit(admin, **LANGUAGES[language], **COLOURS[colours], **WIDTHS[width])
        visitor.page.emulate_media(reduced_motion="reduce")
        for name in pages if NIGHTLY else pages[number :: len(COMBINATIONS)]:
            visitor.goto(addresses[name])
            found = Axe().run(visitor.page).response["violations"]
            where = f"{name} ({language}, {colours}, {width})"
            wrong += [f"{where}: {rule['id']}: {rule['nodes'][0]['html'][:160]}" for rule in found]
    assert wrong == []
