"""A new project: a kind, percentages, and a preview of what annotators get."""

from __future__ import annotations

import pytest

from annotation.models import Project

pytestmark = pytest.mark.django_db


@pytest.fixture
def creator(admin, as_user, settings):
    settings.PROJECT_CREATORS = "all"
    return as_user(admin)


def create(creator, **fields):
    return creator.post("/projects/new/", {"name": "Mine", **fields})


def test_a_name_is_enough(creator):
    assert create(creator).status_code == 302
    made = Project.objects.get(name="Mine")
    assert (made.ranking_form, made.candidates_per_task, made.reference_share) == ("full", 4, 0.1)
    assert made.base_model == "smollm2-135m-instruct"


def test_a_kind_sets_what_was_left_at_its_default(creator):
    page = creator.get("/projects/new/").content.decode()
    shown = {"candidates_per_task": "4", "ranking_form": "full", "reference_share": "10"}  # as the page sends them
    assert 'value="10"' in page
    create(creator, preset="pairwise", **shown)
    pairs = Project.objects.get(name="Mine")
    assert (pairs.ranking_form, pairs.candidates_per_task) == ("graded", 2)
    create(creator, name="Own", preset="pairwise", ranking_form="best", candidates_per_task="3")
    own = Project.objects.get(name="Own")
    assert (own.ranking_form, own.candidates_per_task) == ("best", 3)


def test_labelling_needs_labels(creator):
    refused = create(creator, preset="labelling")
    assert refused.status_code == 422
    assert "Name the labels that annotators choose from, at least two." in refused.content.decode()
    assert create(creator, preset="labelling", labels="spam\nno spam").status_code == 302
    made = Project.objects.get(name="Mine")
    assert (made.labels, made.reference_share) == (["spam", "no spam"], 0)


def test_shares_are_percentages_on_the_page_and_parts_of_one_in_the_api(admin, as_user, project):
    alice, settings = as_user(admin), "/projects/letters/settings/"
    assert alice.post(settings, {"name": "Letters", "reference_share": "12.5", "gold_share": "50"}).status_code == 302
    project.refresh_from_db()
    assert (project.reference_share, project.gold_share) == (0.125, 0.5)
    assert alice.get("/api/v1/projects/letters/").json()["reference_share"] == 0.125
    page = alice.get(settings).content.decode()
    assert 'value="12.5"' in page
    for name, wrong, most in (
        ("reference_share", "101", 100),
        ("gold_share", "51", 50),
        ("practice_pass", "half", 100),
    ):
        refused = alice.post(settings, {"name": "Letters", name: wrong}).content.decode()
        assert f"Enter a percentage from 0 to {most}." in refused
        assert f'value="{wrong}"' in refused  # as it was typed


@pytest.mark.parametrize("model", ["", "two words", "a/b/c", "https://huggingface.co/a/b"])
def test_what_is_no_name_of_a_model_is_refused(creator, model):
    page = create(creator, base_model=model)
    assert page.status_code == 422
    assert not Project.objects.filter(name="Mine").exists()


def test_the_base_model_stays_once_it_is_version_0(admin, as_user, project, policy):
    refused = as_user(admin).patch(
        "/api/v1/projects/letters/", {"base_model": "other"}, content_type="application/json"
    )
    assert refused.status_code == 400
    assert "Version 0 of the policy is smollm2-135m-instruct." in refused.json()["base_model"][0]


def test_a_project_called_new_has_an_address_of_its_own(creator):
    create(creator, name="New")
    made = Project.objects.get(name="New")
    assert made.slug == "new-2"
    assert creator.get(made.get_absolute_url()).status_code == 200


@pytest.mark.parametrize(
    ("fields", "seen", "unseen"),
    [
        ({}, ["Rank the responses", "Response 4"], ["Response 5", "spam"]),
        ({"candidates_per_task": "5", "criteria": "helpful"}, ["Response 5", "helpful: 3 of 5"], []),
        ({"preset": "pairwise"}, ["A is much better"], ["Response 3"]),
        ({"preset": "labelling", "labels": "spam\nham"}, ["Which label fits", "ham"], ["Rank the responses"]),
        ({"labels": "spam\nham"}, ["Which label fits", "Rank the responses"], []),
        ({"guidelines": "Be *kind*."}, ["<em>kind</em>"], []),
        ({"candidates_per_task": "lots"}, ["Response 4"], []),  # not valid yet: the default is shown
        ({"rationale": "hidden"}, [], ['name="rationale"']),
    ],
)
def test_the_preview_is_the_page_that_annotators_get(creator, fields, seen, unseen):
    page = creator.post("/projects/new/preview/", {"name": "", **fields}).content.decode()
    assert [text for text in seen if text not in page] == []
    assert [text for text in unseen if text in page] == []
    assert not Project.objects.filter(name="").exists()
    assert (
        "<html" not in creator.post("/projects/new/preview/", fields, headers={"HX-Request": "true"}).content.decode()
    )
