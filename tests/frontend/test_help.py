"""Help shows the documentation in the application, with links that stay inside it."""

from __future__ import annotations

import re

import pytest
from django.conf import settings

pytestmark = pytest.mark.django_db


def test_help_needs_no_account_and_lists_every_page(client):
    page = client.get("/help/").content.decode()
    table = page[page.index('<nav class="help-contents"') : page.index("<article")]
    listed = re.findall(r'href="(/help/[^"]*)"', table)
    assert len(listed) == len(list(settings.DOCS_DIR.rglob("*.md")))
    assert "/help/guides/sampling/" in listed
    for address in listed:
        assert client.get(address).status_code == 200, address


def test_links_between_pages_stay_in_help_and_lead_somewhere(client):
    followed = 0
    for path in settings.DOCS_DIR.rglob("*.md"):
        name = path.relative_to(settings.DOCS_DIR).with_suffix("").as_posix()
        body = client.get(f"/help/{name}/" if name != "index" else "/help/").content.decode()
        article = body[body.index("<article") : body.index("</article>")]
        assert '.md"' not in article, name
        for address in set(re.findall(r'href="(/[^"#]*)', article)):
            assert client.get(address).status_code == 200, (name, address)
            followed += 1
    assert followed >= 20


def test_what_is_no_page_is_not_found(client):
    for address in ("/help/nothing/", "/help/../README/", "/help/screenshots/", "/help/guides/"):
        assert client.get(address).status_code == 404, address


def test_every_page_of_the_site_links_to_it(client, admin, as_user):
    assert 'href="/help/"' in as_user(admin).get("/").content.decode()
    assert 'href="/help/"' in client.get("/accounts/login/").content.decode()


FORMS = ("settings/", "members/", "members/invitations/", "webhooks/", "snapshots/", "evaluation/", "playground/")
ROUNDS = ("rounds/new/", "rounds/autopilot/", "rounds/compute/", "costs/")


def test_what_stands_below_a_field_is_read_with_it(as_user, admin, project, policy):
    """Help and the range of a number, also where a field has a range alone."""
    alice, ranges = as_user(admin), 0
    for page in FORMS + ROUNDS:
        body = alice.get(f"/projects/letters/{page}").content.decode()
        helps = dict(re.findall(r'<div class="help" id="([^"]+)">(.*?)</div>', body, re.DOTALL))
        described = set(" ".join(re.findall(r'aria-describedby="([^"]+)"', body)).split())
        assert set(helps) - described == set(), page
        ranges += sum(text.strip().startswith("<span") for text in helps.values())
    assert ranges > 0
