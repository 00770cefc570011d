"""A person's data: given as a file, erased so that what was counted stays; and projects that are deleted."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from pathlib import Path

import pytest
from django.conf import settings as app_settings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from annotation.actions import alarms, queue, snapshots
from annotation.actions.judgments import submit
from annotation.actions.tokens import make_token
from annotation.delivery import webhooks
from annotation.models import (
    AuditEvent,
    Completion,
    DatasetSnapshot,
    Delivery,
    Event,
    Membership,
    Project,
    Ranking,
    Role,
    Scope,
    SnapshotType,
    Source,
)
from training.actions import rounds
from training.models import TrainingRound, TrainingRun

pytestmark = pytest.mark.django_db
SECRET = "My neighbour told me so."


@pytest.fixture
def operator(client):
    client.force_login(User.objects.create_superuser("olga"))
    return client


@pytest.fixture
def judged(project, admin, annotator, stranger, open_ranking_task):
    """Bob has ranked a task, and charlie another one in which an answer is bob's; a snapshot has both."""
    Membership.objects.create(project=project, user=stranger, role=Role.ANNOTATOR)
    User.objects.filter(pk=annotator.pk).update(email="bob@example.org", first_name="Robert")
    open_ranking_task(["Best.", "Middling.", "Worst."], priority=1)
    task = open_ranking_task(["First.", "Second.", "Third."])
    own = Completion.objects.create(prompt=task.prompt, source=Source.PERSON, author=annotator, text="I am Bob.")
    task.candidates.add(own)
    for person, rationale in ((annotator, SECRET), (stranger, "")):
        seat = queue.claim_next(project=project, by=person)
        answer = {"tiers": [[pk] for pk in sorted(seat.shown_order)], "unacceptable": [], "rationale": rationale}
        submit(assignment=seat, client_uuid=uuid.uuid4(), answer=answer, active_ms=900)
    make_token(user=annotator, name="script", scopes=[Scope.READ])
    snapshots.take_snapshot(project=project, by=admin)
    return task


def rows(snapshot: DatasetSnapshot) -> list[dict]:
    return [json.loads(line) for line in snapshot.path.read_text().splitlines()]


def opened(response) -> dict[str, object]:
    archive = zipfile.ZipFile(io.BytesIO(response.getvalue()))
    return {name: json.loads(archive.read(name)) for name in archive.namelist()}


# --- export --------------------------------------------------------------------------------------------------------


def test_a_person_takes_everything_about_them_and_no_secret(judged, annotator, as_user):
    bob = as_user(annotator)
    assert "Ranking" in bob.get("/accounts/data/").content.decode()
    found = opened(bob.post("/accounts/data/"))
    assert found["account.json"][0]["email"] == "bob@example.org"
    assert [row["rationale"] for row in found["ranking.json"]] == [SECRET]
    assert [row["text"] for row in found["completion.json"]] == ["I am Bob."]
    assert found["membership.json"][0]["role"] == "annotator"
    assert "signed-in" in {row["action"] for row in found["auditevent.json"]}
    assert found["contents.json"]["rows"]["ranking"] == 1
    everything = json.dumps(found)
    annotator.refresh_from_db()
    assert annotator.password not in everything
    assert annotator.tokens.get().digest not in everything
    assert "charlie" not in everything
    exported = AuditEvent.objects.get(action="person-exported")
    assert (exported.actor, exported.subject) == (annotator, annotator)


def test_the_command_writes_the_same(judged, tmp_path):
    call_command("export_person", "bob", str(tmp_path / "bob.zip"), stdout=io.StringIO())
    names = zipfile.ZipFile(tmp_path / "bob.zip").namelist()
    assert {"account.json", "ranking.json", "completion.json", "token.json"} <= set(names)
    with pytest.raises(CommandError, match="There is no user 'nobody'"):
        call_command("export_person", "nobody", str(tmp_path / "x.zip"))


def test_only_operators_look_at_others(judged, annotator, admin, as_user, operator):
    assert as_user(admin).get(f"/accounts/people/{annotator.pk}/").status_code == 403
    assert (
        opened(operator.post(f"/accounts/people/{annotator.pk}/", {"take": "1"}))["account.json"][0]["username"]
        == "bob"
    )


# --- erasure -------------------------------------------------------------------------------------------------------


def test_an_erasure_removes_the_person_and_keeps_what_was_counted(judged, project, admin, annotator, operator):
    before = Ranking.objects.count()
    webhooks.add_webhook(project=project, url="https://hooks.example.org/a", events=[Event.ALARM], by=admin)
    alarms.raise_alarm(project=project, note=SECRET, by=annotator)
    paused = TrainingRound.objects.create(project=project, number=1)
    TrainingRun.objects.create(round=paused, position=0, method="sample")
    rounds.pause_alarmed()
    assert SECRET in TrainingRound.objects.get().reason
    page = operator.get(f"/accounts/people/{annotator.pk}/").content.decode()
    held = str(project.snapshots.get().path)
    assert held in page
    answer = operator.post(f"/accounts/people/{annotator.pk}/", {"username": "bob"}, follow=True).content.decode()
    assert "Erased." in answer
    assert held in answer  # the file that still holds it is named afterwards too
    annotator.refresh_from_db()
    assert (annotator.username, annotator.email, annotator.first_name) == (f"erased-{annotator.pk}", "", "")
    assert not annotator.is_active
    assert not annotator.tokens.exists()
    assert not Membership.objects.filter(user=annotator).exists()
    assert Ranking.objects.count() == before
    assert not Ranking.objects.filter(rationale=SECRET).exists()
    assert Completion.objects.get(author=annotator).text == ""
    assert TrainingRound.objects.get().reason == "A model problem was reported."
    assert not Delivery.objects.filter(body__contains=SECRET).exists()
    erased = AuditEvent.objects.get(action="person-erased")
    assert (erased.actor.username, erased.subject) == ("olga", annotator)
    assert "bob" not in json.dumps(list(AuditEvent.objects.values("what", "detail")))


def test_the_next_snapshot_has_the_others_judgments_without_the_erased_text(judged, project, admin, annotator):
    assert len(rows(project.snapshots.get())) == 3 + 6  # of three and of four answers
    call_command("erase_person", "bob", "--yes", stdout=io.StringIO())
    taken = snapshots.take_snapshot(project=project, by=admin)
    later = rows(taken)
    assert len(later) == 3  # charlie's order of the three others
    assert "I am Bob." not in taken.path.read_text()
    assert f"annotator-{annotator.pk}" not in taken.path.read_text()
    ranking = snapshots.take_snapshot(project=project, by=admin, type=SnapshotType.RANKING)
    assert "I am Bob." not in ranking.path.read_text()
    assert ranking.rows == 1


def test_without_yes_the_command_only_says_what_would_go(judged, annotator):
    said = io.StringIO()
    call_command("erase_person", "bob", stdout=said)
    assert "texts removed from Ranking: 1" in said.getvalue()
    assert "still holds data: " in said.getvalue()
    annotator.refresh_from_db()
    assert annotator.username == "bob"
    assert Ranking.objects.filter(rationale=SECRET).exists()


def test_a_wrong_name_or_the_only_admin_is_refused(judged, admin, annotator, operator):
    page = operator.post(f"/accounts/people/{annotator.pk}/", {"username": "Bob"})
    assert page.status_code == 422
    page = operator.post(f"/accounts/people/{admin.pk}/", {"username": "alice"})
    assert "alice is the only admin of Letters" in page.content.decode()
    admin.refresh_from_db()
    assert admin.is_active


# --- projects ------------------------------------------------------------------------------------------------------


def test_a_project_is_deleted_with_rows_and_files_after_showing_them(judged, project, admin, as_user):
    now = timezone.now()
    round = TrainingRound.objects.create(project=project, number=1, status="succeeded", finished_at=now)
    run = TrainingRun.objects.create(
        round=round, position=0, method="reward", status="succeeded", snapshot=project.snapshots.get(), finished_at=now
    )
    run.directory.path.mkdir(parents=True)
    file, slug = project.snapshots.get().path, project.slug
    other = Project.objects.create(slug="numbers", name="Numbers")
    alice = as_user(admin)
    page = alice.get("/projects/letters/delete/").content.decode()
    assert "rankings" in page
    assert "2 files" in page
    assert alice.post("/projects/letters/delete/", {"slug": "wrong"}).status_code == 422
    assert file.exists()
    assert (
        "Letters is deleted." in alice.post("/projects/letters/delete/", {"slug": slug}, follow=True).content.decode()
    )
    assert list(Project.objects.all()) == [other]
    assert not Ranking.objects.exists()
    assert not file.exists()
    assert not run.directory.path.exists()
    assert AuditEvent.objects.get(action="project-deleted").what == "letters"


def test_a_file_that_another_project_shares_stays(judged, project, admin, as_user):
    mine = project.snapshots.get()
    other = Project.objects.create(slug="numbers", name="Numbers")
    DatasetSnapshot.objects.create(
        project=other, number=1, type=mine.type, sha256=mine.sha256, rows=mine.rows, cutoff=mine.cutoff
    )
    as_user(admin).post("/projects/letters/delete/", {"slug": "letters"})
    assert mine.path.exists()
    assert Path(app_settings.SNAPSHOT_DIR).exists()


def test_a_project_with_an_active_round_is_not_deleted(project, admin, as_user):
    TrainingRound.objects.create(project=project, number=1)
    page = as_user(admin).post("/projects/letters/delete/", {"slug": "letters"}).content.decode()
    assert "A round is active in this project. Cancel it first" in page
    assert Project.objects.exists()


def test_an_archived_project_is_out_of_the_list_until_it_is_opened(project, admin, as_user):
    alice = as_user(admin)
    assert alice.post("/projects/letters/archive/").status_code == 302
    page = alice.get("/").content.decode()
    assert "Archived (1)" in page
    assert "project-cards" not in page
    project.refresh_from_db()
    assert project.closed_at is not None
    alice.post("/projects/letters/reopen/")
    page = alice.get("/").content.decode()
    assert "Archived" not in page
    assert "project-cards" in page
