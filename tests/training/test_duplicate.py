"""A project made like another one: its settings, guidelines and model, and nothing of its data."""

from __future__ import annotations

import pytest

from annotation.actions import projects
from annotation.models import AuditAction, AuditEvent, Project

pytestmark = pytest.mark.django_db

DUPLICATE = "/projects/letters/duplicate/"
SET = {
    "guidelines": "Be *kind*.",
    "ranking_form": "top_k",
    "top_k": 3,
    "seats_per_task": 3,
    "gold_share": 0.25,
    "criteria": ["helpful", "harmless"],
    "labels": ["spam", "ham"],
    "maker_names": ["Wren"],
    "chat_template_kwargs": {"enable_thinking": False},
    "answer_tokens": 77,
    "licence": "CC BY 4.0",
}


def test_a_copy_has_the_settings_and_none_of_the_data(settings, alice, admin, annotator, project, ranked_task):
    settings.PROJECT_CREATORS = "all"
    for name, value in SET.items():
        setattr(project, name, value)
    projects.save_settings(project=project, by=admin)
    assert 'value="Letters (copy)"' in alice.get("/projects/letters/settings/").content.decode()
    page = alice.post(DUPLICATE, {"name": "Letters (copy)"}, follow=True)
    copy = Project.objects.get(slug="letters-copy")
    assert page.redirect_chain[-1][0] == "/projects/letters-copy/"
    assert {name: getattr(copy, name) for name in Project.SETTINGS} == {
        **{name: getattr(project, name) for name in Project.SETTINGS},
        "name": "Letters (copy)",
    }
    assert (copy.guidelines_number, copy.guidelines_versions.get().text) == (1, "Be *kind*.")
    assert copy.preparation.model == project.base_model
    assert (copy.prompts.count(), copy.tasks.count(), copy.assignments.count(), copy.policies.count()) == (0, 0, 0, 0)
    assert [(member.user, member.role) for member in copy.memberships.all()] == [(admin, "admin")]
    event = AuditEvent.objects.get(action=AuditAction.PROJECT_CREATED, project=copy)
    assert event.detail == {"like": "letters"}


def test_a_copy_needs_a_name_and_the_right_to_create(settings, alice, project):
    assert alice.post(DUPLICATE, {"name": "Mine"}).status_code == 403  # only those with the right, as the tests are set
    assert "Duplicate" not in alice.get("/projects/letters/settings/").content.decode()
    settings.PROJECT_CREATORS = "all"
    page = alice.post(DUPLICATE, {"name": " "}, follow=True).content.decode()
    assert "This field is required." in page
    assert Project.objects.count() == 1
