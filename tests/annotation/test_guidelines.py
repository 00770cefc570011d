"""Guidelines: a version for each change, read and acknowledged before the next task."""

from __future__ import annotations

import re

import pytest
from django.db import IntegrityError, transaction

from annotation.actions import projects
from annotation.models import Assignment, GuidelinesVersion, Membership, Project, SeatStatus
from annotation.rendering.difference import DifferenceLine, difference

pytestmark = [pytest.mark.django_db, pytest.mark.database]

PAGE, ANNOTATE = "/projects/letters/guidelines/", "/projects/letters/annotate/"
READ = "I have read them: next task"


@pytest.fixture
def rewrite(project, admin):
    """Give the project other guidelines, as its settings page does."""

    def save(text: str) -> None:
        stored = Project.objects.get(pk=project.pk)
        stored.guidelines = text
        projects.save_settings(project=stored, by=admin)

    return save


def numbers() -> list[tuple[int, str]]:
    return list(GuidelinesVersion.objects.order_by("number").values_list("number", "text"))


def test_each_change_is_a_version_and_its_author_has_read_it(project, admin, rewrite):
    rewrite("Be kind.")
    rewrite("Be kind.")  # saved again without a change
    rewrite("Be kind.\nBe brief.")
    assert numbers() == [(1, "Be kind."), (2, "Be kind.\nBe brief.")]
    project.refresh_from_db()
    assert project.guidelines_number == 2
    assert Membership.objects.get(user=admin).guidelines_read == 2


def test_a_new_project_begins_with_version_1(admin):
    made = projects.create_project(project=Project(name="Notes", guidelines="Be kind."), by=admin)
    empty = projects.create_project(project=Project(name="Empty"), by=admin)
    assert (made.guidelines_number, empty.guidelines_number) == (1, 0)
    assert list(made.guidelines_versions.values_list("number", "text")) == [(1, "Be kind.")]


def test_an_annotator_reads_them_before_the_first_task_and_again_after_a_change(
    bob, annotator, rewrite, open_ranking_task
):
    rewrite("Be kind.")
    open_ranking_task()
    open_ranking_task()
    page = bob.post(ANNOTATE, follow=True).content.decode()
    assert "First the guidelines" in page
    assert "Be kind.</p>" in page
    assert READ in page
    assert not Assignment.objects.held().exists()

    page = bob.post(ANNOTATE, {"guidelines": "1"}, follow=True).content.decode()
    assert 'id="answer"' in page
    held = Assignment.objects.get(status=SeatStatus.HELD)

    # What is held is finished first, under the version that was acknowledged.
    rewrite("Be kind.\nBe brief.")
    assert 'id="answer"' in bob.get(held.get_absolute_url()).content.decode()
    answer = {
        "client_uuid": re.search(r'name="client_uuid" value="([^"]+)"', page)[1],
        "active_ms": "900",
        "tiers": "[[1], [2], [3], [4]]",
        "unacceptable": "[]",
    }
    sent = bob.post(f"{held.get_absolute_url()}submit/", answer, headers={"HX-Request": "true"}).content.decode()
    held.refresh_from_db()
    assert (held.status, held.guidelines_number) == (SeatStatus.DONE, 1)
    assert "The guidelines have changed" in sent
    assert "You acknowledged version 1; this is version 2." in sent
    assert "</span>Be brief.</ins>" in sent
    assert "</span>Be kind." not in sent

    # A page that was opened before the change acknowledges nothing.
    late = bob.post(ANNOTATE, {"guidelines": "1"}, headers={"HX-Request": "true"}).content.decode()
    assert "The guidelines have changed while you read them: version 2 is the newest." in late
    assert 'name="guidelines" value="2"' in late
    assert 'id="answer"' in bob.post(ANNOTATE, {"guidelines": "2"}, follow=True).content.decode()
    assert Membership.objects.get(user=annotator).guidelines_read == 2


def test_nothing_is_asked_where_there_are_none(bob, rewrite, open_ranking_task):
    open_ranking_task()
    rewrite("Be kind.")
    rewrite("")  # taken away again
    assert 'id="answer"' in bob.post(ANNOTATE, follow=True).content.decode()


def test_the_page_shows_versions_with_their_difference(alice, bob, rewrite):
    assert "No guidelines yet" in alice.get(PAGE).content.decode()
    rewrite("Be kind.\nBe brief.\n<script>alert(1)</script>")
    rewrite("Be kind.\nBe complete.\n<script>alert(1)</script>")
    page = alice.get(PAGE).content.decode()
    assert re.search(r"<del>.*</span>Be brief.</del><ins>.*</span>Be complete.</ins>", page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert re.search(r"<strong>bob</strong> <span class=\"small bad\">nothing yet", page)
    first = bob.get(PAGE, {"version": "1"})
    assert first.context["shown"].number == 1
    assert first.context["lines"] == []
    assert "alice" not in first.content.decode()  # who wrote them, and who has read them, is for admins
    bob.post(f"{PAGE}acknowledge/", {"guidelines": "2"})
    assert "You have not acknowledged" not in bob.get(PAGE).content.decode()
    for odd in ("x", "99", "-1", "1" * 30, "²"):
        assert bob.get(PAGE, {"version": odd, "against": odd}).status_code == 200


def test_programs_acknowledge_too(bob, rewrite, open_ranking_task):
    rewrite("Be kind.")
    open_ranking_task()
    api = "/api/v1/projects/letters/"
    refused = bob.post(f"{api}tasks/claim/")
    assert (refused.status_code, "guidelines/acknowledge/" in refused.content.decode()) == (409, True)
    assert bob.get(f"{api}guidelines/").json() == {"version": 1, "text": "Be kind.", "acknowledged": 0}
    send = {"content_type": "application/json"}
    assert bob.post(f"{api}guidelines/acknowledge/", {"version": 2}, **send).status_code == 409
    assert bob.post(f"{api}guidelines/acknowledge/", {"version": 1}, **send).status_code == 204
    assert bob.get(f"{api}guidelines/").json()["acknowledged"] == 1
    assert bob.post(f"{api}tasks/claim/").status_code == 200


def test_the_database_keeps_one_version_of_a_number_and_a_time_with_each_reading(project, annotator):
    GuidelinesVersion.objects.create(project=project, number=1, text="A")
    with pytest.raises(IntegrityError), transaction.atomic():
        GuidelinesVersion.objects.create(project=project, number=1, text="B")
    with pytest.raises(IntegrityError), transaction.atomic():
        Membership.objects.filter(user=annotator).update(guidelines_read=1)


def test_a_difference_shows_a_change_with_the_lines_around_it():
    before = "\n".join("abcdefgh")
    after = before.replace("d", "D")
    assert difference(before, after) == [
        DifferenceLine("gap"),
        *(DifferenceLine("kept", line) for line in "bc"),
        DifferenceLine("removed", "d"),
        DifferenceLine("added", "D"),
        *(DifferenceLine("kept", line) for line in "ef"),
        DifferenceLine("gap"),
    ]
    assert difference(before, before) == []


@pytest.mark.parametrize("words", [("a", "b"), tuple(map(str, range(100)))])
def test_a_difference_of_many_lines_that_repeat_is_all_removed_and_added(words):
    """As long as guidelines may be; comparing each line with each would take minutes."""
    lines = 10_000 // len(words)
    before, after = "first\n" + "\n".join(words * lines), "first\n" + "\n".join(words[::-1] * lines)
    found = difference(before, after)
    assert [line.kind for line in found[:2]] == ["kept", "removed"]
    assert {line.kind for line in found} == {"kept", "removed", "added"}
    assert [line.text for line in found if line.kind == "removed"] == list(words * lines)
    assert [line.text for line in found if line.kind == "added"] == list(words[::-1] * lines)


def test_only_what_lies_between_two_long_equal_ends_is_compared():
    around = [str(number) for number in range(1000)]
    found = difference("\n".join([*around, "old", *around]), "\n".join([*around, "new", *around]))
    assert [(line.kind, line.text) for line in found] == [
        ("gap", ""),
        ("kept", "998"),
        ("kept", "999"),
        ("removed", "old"),
        ("added", "new"),
        ("kept", "0"),
        ("kept", "1"),
        ("gap", ""),
    ]
