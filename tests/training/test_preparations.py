"""The base model of a project is prepared by a worker: asked for in the browser, with progress and errors in words."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.utils import timezone

from annotation.models import PolicyVersion, Project
from tests.tiny_model import tiny_checkpoint
from training.actions import preparations
from training.models import Preparation
from training.worker.preparation import Output, prepare_next

pytestmark = pytest.mark.django_db
PAGE = "/projects/letters/model/"


@pytest.fixture(autouse=True)
def _folders(settings, tmp_path):
    settings.MODEL_FOLDERS = [tmp_path]


def named(project: Project, model: str) -> Project:
    Project.objects.filter(pk=project.pk).update(base_model=str(model))
    project.refresh_from_db()
    return project


@pytest.mark.recipes
def test_a_folder_becomes_version_0(alice, project, tmp_path):
    source = tiny_checkpoint(tmp_path / "mine")
    assert "It is not prepared yet." in alice.get(PAGE).content.decode()
    page = alice.post(PAGE, {"base_model": str(source)}, follow=True).content.decode()
    assert "Waiting for a worker." in page
    assert prepare_next(threading.Event())
    assert Preparation.objects.get().status == "ready"
    policy = PolicyVersion.objects.get(project=project)
    assert policy.number == 0
    assert preparations.checkpoint_of(str(source)).joinpath("config.json").exists()
    assert "It is version 0 of the policy" in alice.get(PAGE).content.decode()
    # Another project with the same model need not wait.
    other = named(Project.objects.create(slug="other", name="Other"), str(source))
    assert preparations.ask_for(project=other).status == "ready"
    assert other.policies.get().number == 0


@pytest.mark.recipes
@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("{missing}", "there is no such folder"),
        ("{empty}", "Cannot load the model"),
        ("{classifier}", "it is of the type t5, which writes no text from left to right"),
    ],
)
def test_what_cannot_be_prepared_says_why_and_can_be_tried_again(alice, project, tmp_path, forked_recipes, model, why):
    (tmp_path / "empty").mkdir()
    (tmp_path / "t5").mkdir()
    (tmp_path / "t5" / "config.json").write_text('{"model_type": "t5"}')
    name = model.format(missing=tmp_path / "missing", empty=tmp_path / "empty", classifier=tmp_path / "t5")
    alice.post(PAGE, {"base_model": name})
    assert prepare_next(threading.Event())
    page = alice.get(PAGE).content.decode()
    assert "The model could not be prepared" in page
    assert why in page
    assert not project.policies.exists()
    alice.post(PAGE)
    assert Preparation.objects.get().status == "queued"


@pytest.mark.recipes
def test_a_worker_that_stops_gives_the_model_back(project):
    preparations.ask_for(project=project)
    stopping = threading.Event()
    stopping.set()
    assert prepare_next(stopping)
    back = Preparation.objects.get()
    assert (back.status, back.attempt) == ("queued", 0)


def test_a_new_project_asks_for_its_model_and_shows_how_far_it_is(alice, settings):
    settings.PROJECT_CREATORS = "all"
    page = alice.post("/projects/new/", {"name": "Mine"}, follow=True).content.decode()
    assert "is being prepared" in page
    claimed = preparations.claim()
    assert preparations.report(claimed, phase="Converting the bundled model", percent=40)
    page = alice.get("/projects/mine/model/").content.decode()
    assert "Converting the bundled model: 40%" in page
    assert 'value="40"' in page


def test_one_worker_takes_it_and_a_lost_one_is_replaced(project):
    preparations.ask_for(project=project)
    first = preparations.claim()
    assert preparations.claim() is None
    Preparation.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=3))
    second = preparations.claim()
    assert second.attempt == 2
    assert not preparations.report(first, phase="", percent=None)
    preparations.finish(first)
    assert not project.policies.exists()
    for _ in range(2):
        Preparation.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=3))
        preparations.claim()
    assert "The worker went away 3 times" in Preparation.objects.get().error


def test_another_model_chosen_meanwhile_is_prepared_instead(alice, project):
    preparations.ask_for(project=project)
    running = preparations.claim()
    alice.post(PAGE, {"base_model": "someone/other"})
    assert not preparations.report(running, phase="", percent=None)
    again = Preparation.objects.get()
    assert (again.model, again.status) == ("someone/other", "queued")
    # Changed by a program, without asking for it.
    running = preparations.claim()
    named(project, "third/one")
    preparations.finish(running)
    assert "The base model was changed to third/one meanwhile." in Preparation.objects.get().error
    assert not project.policies.exists()


def test_a_wrong_name_is_refused_on_the_page(alice, project):
    page = alice.post(PAGE, {"base_model": "not a model"})
    assert page.status_code == 422
    assert "Give a Hugging Face id, such as" in page.content.decode()
    assert not Preparation.objects.exists()


@pytest.mark.parametrize(
    "model",
    ["/etc", "/no/such", ".", "..", "./runs", "../other", "~", "{folder}/../other", "{folder}/link", "tests"],
)
def test_folders_that_the_operator_does_not_list_are_refused(alice, project, tmp_path, settings, model, monkeypatch):
    """Those of other projects' runs among them, by whatever name they have."""
    settings.MODEL_FOLDERS = [listed := tmp_path / "listed"]
    listed.mkdir()
    (tmp_path / "other").mkdir()
    (listed / "link").symlink_to(tmp_path / "other")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").mkdir()
    name = model.format(folder=listed)
    page = alice.post(PAGE, {"base_model": name})
    assert page.status_code == 422
    assert not Preparation.objects.exists()
    changed = alice.patch("/api/v1/projects/letters/", {"base_model": name}, content_type="application/json")
    assert changed.status_code == 400
    project.refresh_from_db()
    assert project.base_model == "smollm2-135m-instruct"


def test_version_0_is_made_once(alice, project, policy):
    page = alice.post(PAGE, follow=True).content.decode()
    assert "is already prepared" in page


def test_progress_is_read_from_what_the_process_prints():
    output = Output()
    output.read("12:00:01 phase: Loading a/b\n")
    output.read("model.safetensors:  45%|####5     | 121M/269M [00:12<00:14, 10.1MB/s]\n")
    assert (output.phase, output.percent) == ("Loading a/b", 45)
    output.read("12:00:30 phase: Saving the model\n")
    assert (output.phase, output.percent) == ("Saving the model", None)
    output.read("12:00:31 error: Cannot load the model 'a/b': no\n")
    assert output.problem == "Cannot load the model 'a/b': no"
