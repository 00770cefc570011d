"""A task kind in one class and one template: on the work page, by the API, submitted twice, and taken back."""

from __future__ import annotations

import copy
import uuid
from typing import Any

import pytest
from django import forms

from annotation.actions.tasks import open_task
from annotation.kinds import KINDS, TaskKind
from annotation.models import Assignment, Label

pytestmark = pytest.mark.django_db
TEMPLATE = '<p>Polite?</p><input name="polite" value="{{ assignment.draft.label }}">'


class PolitenessForm(forms.Form):
    polite = forms.ChoiceField(choices=[("yes", "yes"), ("no", "no")])


class PolitenessKind(TaskKind):
    label = "Politeness"
    asks = "Is the answer polite?"
    template = "annotation/kinds/politeness.html"
    judgment = Label

    def form(self, assignment: Assignment, data: Any = None) -> PolitenessForm:
        return PolitenessForm(data)

    def said(self, *, assignment: Assignment, answer: dict[str, Any]) -> dict[str, Any]:
        return {"label": answer["polite"], "comment": ""}


@pytest.fixture
def task(settings, monkeypatch, tmp_path, make_prompt):
    folder = tmp_path / "annotation" / "kinds"
    folder.mkdir(parents=True)
    (folder / "politeness.html").write_text(TEMPLATE)
    settings.TEMPLATES = copy.deepcopy(settings.TEMPLATES)
    settings.TEMPLATES[0]["DIRS"].insert(0, tmp_path)
    monkeypatch.setitem(KINDS, "politeness", PolitenessKind())
    return open_task(prompt=make_prompt("Say hello."), kind="politeness", candidates=[], seats=1)


def test_a_kind_of_a_task_is_one_class_and_one_template(task, annotator, as_user):
    client = as_user(annotator)
    page = client.post("/projects/letters/annotate/", follow=True).content.decode()
    assert "Is the answer polite?" in page
    assert "<p>Polite?</p>" in page
    held = Assignment.objects.get(task=task)
    submit = f"/projects/letters/tasks/{held.key}/submit/"
    assert client.post(submit, {"client_uuid": uuid.uuid4(), "polite": "maybe"}).status_code == 422
    sent = {"client_uuid": str(uuid.uuid4()), "polite": "no", "active_ms": 900}
    for _ in range(2):  # the same submit, sent twice
        assert client.post(submit, sent).status_code in (200, 302)
    assert Label.objects.get().label == "no"
    page = client.post("/projects/letters/undo/", follow=True).content.decode()
    assert 'name="polite" value="no"' in page
    assert not Label.objects.exists()


def test_a_kind_of_a_task_is_in_the_api(task, annotator, as_user):
    client = as_user(annotator)
    claimed = client.post("/api/v1/projects/letters/tasks/claim/").json()
    assert claimed["kind"] == "politeness"
    answer = {"client_uuid": str(uuid.uuid4()), "polite": "yes", "active_ms": 900}
    address = f"/api/v1/projects/letters/assignments/{claimed['id']}/submit/"
    submitted = client.post(address, answer, content_type="application/json")
    assert submitted.status_code in (200, 201), submitted.content
    assert Label.objects.get().label == "yes"
