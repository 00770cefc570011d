"""What is hard to take back asks first: no page has a bare button for it."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from annotation.actions import flags, invitations, queue
from annotation.actions.tokens import make_token
from annotation.delivery import webhooks
from annotation.models import Event, FlagReason, Membership, PromptUpload, Role, SavedView, Scope
from training.models import TrainingRound

pytestmark = pytest.mark.django_db

ASKS = ("/close/", "/archive/", "/remove/", "/revoke/", "/withdraw/", "/dismiss/", "/cancel/", "/free-space/")
VOID = {"input", "img", "link", "meta", "br", "hr", "col", "wbr", "area", "base", "embed", "source", "track"}


class Buttons(HTMLParser):
    """The addresses that forms and buttons of a page send to, by whether they stand in a popover or an opened part."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.asked: list[str] = []
        self.bare: list[str] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag not in VOID:
            self.open.append((tag, values))
        address = values.get("formaction") or (values.get("action") if values.get("method") == "post" else None)
        if address and address.endswith(ASKS):
            hidden = any(outer == "details" or "popover" in of for outer, of in self.open)
            (self.asked if hidden else self.bare).append(address)

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            pass


def test_every_button_that_is_hard_to_take_back_asks_first(
    project, admin, annotator, alice, open_ranking_task, policy, make_prompt
):
    open_ranking_task()
    seat = queue.claim_next(project=project, by=annotator)
    flag = flags.flag(assignment=seat, completion=None, reason=FlagReason.OTHER, note="", by=annotator)
    token, _ = make_token(user=admin, name="a script", scopes=[Scope.READ])
    hook = webhooks.add_webhook(project=project, url="https://example.org/told", events=[Event.ROUND], by=admin)
    ((invited, _),) = invitations.invite(project=project, role=Role.ANNOTATOR, by=admin, days=1)
    view = SavedView.objects.create(project=project, owner=admin, name="Held out", records="prompts")
    TrainingRound.objects.create(project=project, number=1)
    member = Membership.objects.get(user=annotator).pk
    expected = {
        "/projects/letters/settings/": {"/projects/letters/close/", "/projects/letters/archive/"},
        "/projects/letters/members/": {f"/projects/letters/members/{member}/remove/"},
        "/projects/letters/members/invitations/": {f"/projects/letters/members/invitations/{invited.pk}/revoke/"},
        "/projects/letters/flags/": {f"/projects/letters/flags/{flag.pk}/{do}/" for do in ("withdraw", "dismiss")},
        "/projects/letters/records/prompts/": {f"/projects/letters/records/views/{view.pk}/remove/"},
        f"/projects/letters/webhooks/{hook.pk}/": {f"/projects/letters/webhooks/{hook.pk}/remove/"},
        "/projects/letters/snapshots/": {"/projects/letters/snapshots/withdraw/"},
        "/projects/letters/rounds/1/": {"/projects/letters/rounds/1/cancel/"},
        "/accounts/tokens/": {f"/accounts/tokens/{token.pk}/revoke/"},
    }
    for page, addresses in expected.items():
        buttons, shown = Buttons(), alice.get(page).content.decode()
        buttons.feed(shown)
        assert "{#" not in shown
        assert (buttons.bare, set(buttons.asked)) == ([], addresses), page


def test_undoing_an_import_asks_first(project, admin, alice):
    upload = PromptUpload.objects.create(project=project, uploaded_by=admin, filename="new.txt", content=b"Hello?\n")
    alice.post(f"/projects/letters/prompts/uploads/{upload.pk}/take/")
    page = alice.get(f"/projects/letters/prompts/uploads/{upload.pk}/").content.decode()
    assert "Delete everything that new.txt brought into the project?" in page
    before, ask = page.split('<div class="ask-sheet"', 1)
    assert 'value="undo"' not in before
    assert 'value="undo"' in ask
