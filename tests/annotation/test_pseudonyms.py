"""Annotators are pseudonyms toward reviewers and annotators, on pages, over the API and in exports."""

from __future__ import annotations

import json
import re

import pytest

from annotation import clock
from annotation.actions import alarms, snapshots
from annotation.models import Assignment, FlagReason, Membership
from annotation.pseudonyms import pseudonym

pytestmark = pytest.mark.django_db

PAGES = ("quality/", "flags/", "records/annotations/", "records/tasks/", "snapshots/1/", "")


@pytest.fixture
def annotated(project, annotator, admin, ranked_task) -> Assignment:
    """An annotation by bob, who is at work, in a snapshot, with a report by him of its prompt and of the model."""
    Membership.objects.filter(project=project, user=annotator).update(at_work_at=clock.now())
    seat = Assignment.objects.get()
    Assignment.objects.filter(pk=seat.pk).update(annotator=annotator)
    seat.task.prompt.flags.create(project=project, raised_by=annotator, reason=FlagReason.OTHER)
    alarms.raise_alarm(project=project, note="Nothing but emoji.", by=annotator)
    snapshots.take_snapshot(project=project, by=admin)
    return seat


def test_reviewers_read_pseudonyms_where_admins_read_names(annotated, project, annotator, alice, rita):
    known, own = pseudonym(project.pk, annotator.pk), f"records/annotations/{annotated.pk}/"
    for page in (*PAGES, own, f"records/prompts/{annotated.task.prompt_id}/", f"records/tasks/{annotated.task_id}/"):
        read, names = (each.get(f"/projects/letters/{page}").content.decode() for each in (rita, alice))
        assert known in read, page
        assert not re.search(r"\bbob\b", read), page
        assert "bob" in names, page
        assert known not in names, page
    files = [
        each.post("/projects/letters/records/annotations/export.jsonl", {"everything": "1"}).getvalue().decode()
        for each in (rita, alice)
    ]
    assert [json.loads(file)["annotator"] for file in files] == [known, "bob"]
    found = [each.get("/api/v1/projects/letters/alarms/").json()["results"][0]["raised_by"] for each in (rita, alice)]
    assert found == [known, "bob"]


def test_a_pseudonym_is_the_same_in_a_project_and_another_one_in_each(settings):
    """It follows neither the order of the accounts nor their names, and holds with the server's key."""
    settings.SECRET_KEY = "one"
    two = [[pseudonym(project, user) for user in range(1, 400)] for project in (1, 2)]
    assert two[0] == [pseudonym(1, user) for user in range(1, 400)]
    assert all(re.fullmatch(r"A-[2-9BCDFGHJKMNPQRSTVWXZ]{5}", name) for name in two[0])
    assert len(set(two[0])) == len(set(two[1])) == 399
    assert not set(two[0]) & set(two[1])
    assert two[0] != sorted(two[0])
    settings.SECRET_KEY = "another"
    assert pseudonym(1, 1) != two[0][0]
