"""The languages of the pages: which there are, and which one a request and an account get.

A language is one file, frontend/locale/<code>/LC_MESSAGES/django.po, and what `make messages` compiles from it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.middleware.locale import LocaleMiddleware
from django.utils import translation
from django.utils.translation.trans_real import DjangoTranslation
from django.views.i18n import JSONCatalog

from annotation.models import Preferences, language_of

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


def remember(sender: Any, request: HttpRequest | None, user: User, **_: Any) -> None:
    """Keep the account's language in the session that a sign-in begins, so that no request has to look it up."""
    if request is not None and (chosen := language_of(user)):
        request.session[SESSION_KEY] = chosen


def choose(request: HttpRequest, user: User, language: str) -> None:
    """Store the language of an account; an empty one means that of the browser."""
    Preferences.objects.update_or_create(user=user, defaults={"language": language})
    if language:
        request.session[SESSION_KEY] = language
    else:
        request.session.pop(SESSION_KEY, None)


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
