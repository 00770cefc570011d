"""The languages of the pages: which there are, and which one a request and an account get.

A language is one file, frontend/locale/<code>/LC_MESSAGES/django.po, and what `make messages` compiles from it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.http import HttpRequest
from django.middleware.locale import LocaleMiddleware
from django.utils import translation
from django.utils.translation.trans_real import DjangoTranslation
from django.views.i18n import JSONCatalog

SESSION_KEY = "language"


class AccountLanguage(LocaleMiddleware):
    """Activate the language of the account, else of the cookie that the sign-in page sets, else of the browser.

    Addresses carry no language. A request with a token has no session, so the API follows Accept-Language.
    """

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        chosen = request.session.get(SESSION_KEY)
        if chosen in dict(settings.LANGUAGES):
            translation.activate(chosen)
            request.LANGUAGE_CODE = translation.get_language()


@cache
def script_words(language: str) -> dict[str, Any]:
    """Return the translated words of the scripts, a list for those with plural forms."""
    if language == settings.LANGUAGE_CODE:
        return {}
    view = JSONCatalog()
    view.translation = DjangoTranslation(language, domain="djangojs", localedirs=_folders())
    return dict(view.get_catalog())


def _folders() -> list[str]:
    """Return the folders of our own languages; the administration has words of its own."""
    return [str(Path(apps.get_app_config("frontend").path) / "locale"), *map(str, settings.LOCALE_PATHS)]
