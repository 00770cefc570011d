"""Pages, messages and mails in the language of the account, the browser or the sign-in page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from django.utils import translation

from annotation.models import Preferences
from frontend import languages
from tests import pseudo

LOCALE = Path(__file__).parents[2] / "frontend" / "locale"
FILES = sorted(LOCALE.glob("*/LC_MESSAGES/django.po"))
CHINESE = {"HTTP_ACCEPT_LANGUAGE": "zh-CN,zh;q=0.9,en;q=0.8"}
PLACEHOLDER = re.compile(r"%\(\w+\)s|\{\w+\}|</?\w+")


def _catalog(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file)


@pytest.fixture(autouse=True)
def _english_again() -> Iterator[None]:
    yield
    translation.activate("en")


def test_the_files_are_what_the_sources_give():
    """`make messages` would change nothing: every text is in each language's file, and compiled."""
    stale = [path.name for path, content in pseudo.MESSAGES["files"]().items() if path.read_bytes() != content]
    assert not stale, "run `make messages`"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.parent.name)
def test_a_language_is_whole(path):
    """Each text is translated, with the same placeholders and tags, and no translation is a guess."""
    wrong = []
    for message in _catalog(path):
        if not message.id:
            continue
        english = message.id[1] if message.pluralizable else message.id
        forms = message.string if message.pluralizable else [message.string]
        for form in forms:
            if not form or message.fuzzy or sorted(PLACEHOLDER.findall(form)) != sorted(PLACEHOLDER.findall(english)):
                wrong.append((english, form))
    assert not wrong


def test_the_browser_decides_before_anybody_signs_in(client, admin):
    page = client.get("/accounts/login/", **CHINESE).content.decode()
    assert '<html lang="zh-hans">' in page
    assert "<h1>登录</h1>" in page
    assert "用户名" in page  # a label of Django's own
    assert "<h1>Sign in</h1>" in client.get("/accounts/login/", HTTP_ACCEPT_LANGUAGE="tlh, en;q=0.1").content.decode()
    assert "<h1>Sign in</h1>" in client.get("/accounts/login/").content.decode()


def test_the_sign_in_page_offers_the_languages(client, admin):
    chosen = client.post("/accounts/language/", {"language": "zh-hans", "next": "/accounts/login/"})
    assert (chosen.status_code, chosen["Location"]) == (302, "/accounts/login/")
    page = client.get("/accounts/login/").content.decode()
    assert "<h1>登录</h1>" in page
    assert re.search(r'value="zh-hans" lang="zh-hans" aria-current="true">简体中文', page)


def test_an_account_has_a_language_on_every_machine(as_user, annotator, project):
    bob = as_user(annotator)
    assert "Language" in bob.get("/accounts/profile/").content.decode()
    saved = bob.post("/accounts/profile/", {"language": "zh-hans"}, follow=True).content.decode()
    assert "已保存。" in saved
    assert "我的工作" in bob.get("/projects/letters/mine/", HTTP_ACCEPT_LANGUAGE="en").content.decode()
    # Another browser, which asks for English: the account's language comes with the sign-in.
    assert "<h1>项目</h1>" in as_user(annotator).get("/", HTTP_ACCEPT_LANGUAGE="en").content.decode()
    bob.post("/accounts/profile/", {"language": ""})
    assert Preferences.objects.get().language == ""
    assert "My work" in bob.get("/projects/letters/mine/").content.decode()
    assert bob.post("/accounts/profile/", {"language": "tlh"}).status_code == 422


def test_the_api_speaks_english_unless_it_is_asked(as_user, admin, project):
    body = {"username": "alice", "role": "annotator"}
    alice = as_user(admin)
    english = alice.post("/projects/letters/members/", body).content.decode()
    chinese = alice.post("/projects/letters/members/", body, **CHINESE).content.decode()
    assert "You cannot change your own role." in english
    assert "您不能更改自己的角色" in chinese
    path, wrong = "/api/v1/projects/letters/snapshots/", {"type": "sonnets"}
    assert "is not a valid choice" in alice.post(path, wrong, content_type="application/json").content.decode()
    assert "不是合法选项" in alice.post(path, wrong, content_type="application/json", **CHINESE).content.decode()


def test_numbers_have_one_form_where_the_language_has_one(client, as_user, admin, project, make_prompt):
    alice = as_user(admin)
    assert "1 member" in alice.get("/projects/letters/").content.decode()
    assert "1 名成员" in alice.get("/projects/letters/", **CHINESE).content.decode()


@pytest.fixture
def made_up(settings, tmp_path) -> Iterator[dict[str, str]]:
    """The headers of a browser that asks for the made-up language."""
    pseudo.write_locale(tmp_path / "locale")
    settings.LOCALE_PATHS = [tmp_path / "locale"]
    settings.LANGUAGES = [("en", "English"), (pseudo.CODE, "العربيّة")]
    languages.script_words.cache_clear()
    yield {"HTTP_ACCEPT_LANGUAGE": pseudo.CODE}
    languages.script_words.cache_clear()


# Pages with every text translated, by who opens them.
WHOLE = {
    "nobody": ["/accounts/login/", "/nowhere/"],
    "annotator": [
        "/",
        "/projects/letters/",
        "/projects/letters/mine/",
        "/projects/letters/practice/",
        "/accounts/profile/",
        "/accounts/data/",
        "/accounts/tokens/",
        "/accounts/password_change/",
    ],
    "admin": [
        "/projects/new/",
        "/projects/letters/members/",
        "/projects/letters/invitations/",
        "/projects/letters/settings/",
        "/projects/letters/prompts/",
        "/projects/letters/quality/",
        "/projects/letters/review/",
        "/projects/letters/known/",
        "/projects/letters/flags/",
        "/projects/letters/snapshots/",
        "/projects/letters/webhooks/",
        "/projects/letters/audit/",
        "/projects/letters/records/prompts/",
        "/projects/letters/records/responses/",
        "/projects/letters/records/annotations/",
        "/projects/letters/records/tasks/",
        "/projects/letters/policies/",
        "/projects/letters/autopilot/",
        "/projects/letters/playground/",
        "/projects/letters/costs/",
        "/projects/letters/methods/",
        "/projects/letters/prompt-tuning/",
        "/projects/letters/proposals/",
        "/projects/letters/model/",
        "/projects/letters/delete/",
    ],
}


def test_nothing_of_a_page_is_left_in_english(made_up, client, as_user, annotator, admin, ranked_task, settings):
    settings.PROJECT_CREATORS = "all"
    visitors = {"nobody": client, "annotator": as_user(annotator), "admin": as_user(admin)}
    left = {}
    for who, pages in WHOLE.items():
        for page in pages:
            answer = visitors[who].get(page, **made_up)
            assert answer.status_code in (200, 404), page
            text = answer.content.decode()
            assert 'dir="rtl"' in text
            assert pseudo.OPEN in text
            if found := pseudo.untranslated(text):
                left[page] = found
    assert left == {}
