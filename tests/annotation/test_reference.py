"""Writing a reference answer over HTTP: preview, a first version before the answers are shown, and what is learnt."""

from __future__ import annotations

import json
import uuid

import pytest

from annotation.actions import snapshots
from annotation.models import Assignment, FirstVersion, Project, ReferenceAnswer, SeatStatus, SnapshotType
from tests.answers import as_shown

pytestmark = pytest.mark.django_db


@pytest.fixture
def seat(bob, open_ranking_task) -> Assignment:
    open_ranking_task(["Short one.", "A candidate of five words."], kind="reference")
    bob.post("/projects/letters/annotate/")
    return Assignment.objects.get(status=SeatStatus.HELD)


@pytest.fixture
def blind_seat(project, seat) -> Assignment:
    Project.objects.filter(pk=project.pk).update(write_first=True)
    return Assignment.objects.get(pk=seat.pk)


def post(client, seat: Assignment, what: str, **fields):
    return client.post(f"{seat.get_absolute_url()}{what}/", as_shown(seat, fields))


def draft(text: str) -> dict[str, str]:
    return {"draft": json.dumps({"text": text}), "active_ms": "10"}


def test_the_preview_is_what_annotators_will_see(bob, seat):
    answer = post(bob, seat, "preview", text="**Bold** <script>x</script>")
    assert answer.content.decode() == '<p dir="auto"><strong>Bold</strong> &lt;script&gt;x&lt;/script&gt;</p>\n'


def test_the_page_says_how_long_the_answers_are(bob, seat):
    # 2 and 5 words, 10 and 26 characters: the medians are 3.5 and 18.
    assert "Median response: 4 words, 18 characters" in bob.get(seat.get_absolute_url()).content.decode()


def test_the_answers_are_not_sent_before_a_first_version(bob, blind_seat):
    api = f"/api/v1/projects/letters/assignments/{blind_seat.key}/"
    assert "Short one." not in bob.get(blind_seat.get_absolute_url()).content.decode()
    assert bob.get(api).json()["candidates"] == []
    # A draft is not yet a first version, and an empty text is none.
    post(bob, blind_seat, "draft", **draft("Begun"))
    assert "Short one." not in bob.get(blind_seat.get_absolute_url()).content.decode()
    refused = post(bob, blind_seat, "first-version", **draft("  "))
    assert refused.status_code == 409
    assert "Save your own first draft" in refused.content.decode()
    assert "Short one." not in refused.content.decode()

    assert post(bob, blind_seat, "first-version", **draft("Mine alone.")).status_code == 302
    page = bob.get(blind_seat.get_absolute_url()).content.decode()
    assert "Short one." in page
    assert "Mine alone.</textarea>" in page
    assert {candidate["text"] for candidate in bob.get(api).json()["candidates"]} == {
        "Short one.",
        "A candidate of five words.",
    }
    post(bob, blind_seat, "first-version", **draft("Changed afterwards."))
    assert FirstVersion.objects.get().text == "Mine alone."


def test_nothing_can_be_made_of_an_answer_that_was_not_shown(bob, blind_seat):
    origin = blind_seat.task.candidates.first()
    response = post(bob, blind_seat, "submit", text="New.", derived_from=origin.pk, client_uuid=str(uuid.uuid4()))
    assert response.status_code == 422
    assert ReferenceAnswer.objects.count() == 0


def test_a_finished_task_takes_no_first_version(bob, blind_seat):
    post(bob, blind_seat, "submit", text="Done.", client_uuid=str(uuid.uuid4()))
    assert ReferenceAnswer.objects.get().completion.text == "Done."
    assert post(bob, blind_seat, "first-version", **draft("Late.")).status_code == 409
    assert FirstVersion.objects.count() == 0


def test_an_edited_answer_is_preferred_to_its_original(bob, project, seat, open_ranking_task):
    origin = seat.task.candidates.get(text="Short one.")
    post(bob, seat, "submit", text="Short, but better.", derived_from=origin.pk, client_uuid=str(uuid.uuid4()))
    open_ranking_task(["Whole.", "New."], kind="reference")
    bob.post("/projects/letters/annotate/")
    from_nothing = Assignment.objects.get(status=SeatStatus.HELD)
    post(bob, from_nothing, "submit", text="From nothing.", client_uuid=str(uuid.uuid4()))

    snapshot = snapshots.take_snapshot(project=project, by=None, type=SnapshotType.PREFERENCE)
    (row,) = [json.loads(line) for line in snapshot.path.read_text("utf-8").splitlines()]
    assert row["chosen"] == [{"role": "assistant", "content": "Short, but better."}]
    assert row["rejected"] == [{"role": "assistant", "content": "Short one."}]
    assert (row["source"], row["votes_for"], row["votes_against"]) == ("edit", 1, 0)
    assert row["group_id"] == seat.task_id
    assert snapshot.counts["edited answers"] == 1
