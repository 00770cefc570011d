"""The audit log: what people do is in it, with who, whom, when and from where; and it only grows."""

from __future__ import annotations

import csv
import importlib
import io
import json
import logging
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db import DatabaseError, connection, transaction
from django.urls import reverse
from django.utils import timezone

from annotation import audit
from annotation.models import AuditAction, AuditEvent, Membership, Role
from training.worker.loop import Worker

pytestmark = [pytest.mark.django_db, pytest.mark.database]
LOG = "/projects/letters/audit/"
API = "/api/v1/projects/letters/audit/"


@pytest.fixture
def alice(admin, as_user):
    client = as_user(admin)
    client.defaults["REMOTE_ADDR"] = "192.0.2.7"
    return client


def events(**wanted) -> list[tuple]:
    found = AuditEvent.objects.filter(**wanted).order_by("id")
    return [(row.action, row.actor_id, row.subject_id, row.what) for row in found]


def test_a_name_that_somebody_gave_is_not_translated(alice, project):
    """ "Label" and "snapshot 1" are texts of the catalog, too."""
    audit.record(AuditAction.MAPPING_SAVED, project=project, what="Label")
    audit.record(AuditAction.SNAPSHOT, project=project, what="snapshot 1")
    page = alice.get(LOG, HTTP_ACCEPT_LANGUAGE="zh-CN").content.decode()
    assert ">Label<" in page
    assert ">snapshot 1<" not in page


def test_roles_and_settings_name_who_whom_what_and_from_where(alice, admin, stranger, project):
    alice.post("/projects/letters/members/", {"username": "charlie", "role": "annotator"})
    alice.post("/projects/letters/members/", {"username": "charlie", "role": "reviewer"})
    charlie = Membership.objects.get(user=stranger)
    alice.post(reverse("member_remove", args=["letters", charlie.pk]))
    alice.post("/projects/letters/settings/", {"name": "Letters", "seats_per_task": "2"})
    assert events(project=project) == [
        ("role", admin.pk, stranger.pk, "annotator"),
        ("role", admin.pk, stranger.pk, "reviewer"),
        ("removed", admin.pk, stranger.pk, ""),
        *[("settings", admin.pk, None, row.what) for row in AuditEvent.objects.filter(action="settings")],
    ]
    changed = AuditEvent.objects.get(action="settings")
    assert changed.detail["changed"]["seats_per_task"] == [1, 2]
    assert AuditEvent.objects.filter(project=project).values_list("address", "via").distinct().get() == (
        "192.0.2.7",
        "page",
    )
    assert AuditEvent.objects.filter(action="role").last().detail == {"before": None}


@pytest.mark.parametrize(
    ("given", "kept"), [("", None), ("unix:", None), ("fe80::1%eth0", "fe80::1"), ("2001:DB8::1", "2001:db8::1")]
)
def test_an_address_that_is_none_stops_nobody(admin, as_user, given, kept):
    client = as_user(admin)
    assert client.post("/projects/letters/close/", REMOTE_ADDR=given).status_code == 302
    assert AuditEvent.objects.get(action="closed").address == kept


def test_a_role_that_stays_the_same_is_no_event(alice, annotator):
    alice.post("/projects/letters/members/", {"username": "bob", "role": "annotator"})
    assert events(action="role") == []


def test_what_a_program_does_names_its_token(alice, client, admin, stranger):
    page = alice.post("/accounts/tokens/", {"name": "nightly", "scopes": ["manage"]}).content.decode()
    value = page.split('value="pf_')[1].split('"')[0]
    header = {"Authorization": f"Bearer pf_{value}"}
    body = {"username": "charlie", "role": "annotator"}
    assert client.post("/api/v1/projects/letters/members/", body, headers=header).status_code == 200
    event = AuditEvent.objects.get(action="role")
    assert (event.actor, event.via) == (admin, f"token pf_{value[:6]}…")
    assert AuditEvent.objects.get(action="token-made").subject == admin
    assert value not in json.dumps(list(AuditEvent.objects.values("what", "detail", "via")))


def test_downloads_snapshots_and_withdrawals_are_in_it(alice, admin, ranked_task):
    ranker = User.objects.get(username="ranker-1")
    alice.post("/projects/letters/snapshots/", {"type": "preference"})
    assert alice.get("/projects/letters/snapshots/1/download/").status_code == 200
    alice.post("/projects/letters/snapshots/withdraw/", {"username": "ranker-1"})
    found = events(project__slug="letters")
    assert found == [
        ("snapshot", admin.pk, None, "snapshot 1"),
        ("downloaded", admin.pk, None, found[1][3]),
        ("withdrawn", admin.pk, ranker.pk, ""),
    ]
    assert found[1][3].startswith("letters-")


def test_sign_ins_also_failed_ones_are_in_it_without_what_was_typed(client, annotator):
    password = "correct horse battery staple"
    client.post("/accounts/login/", {"username": "bob", "password": "wrong"})
    client.post("/accounts/login/", {"username": "my secret in the wrong field", "password": ""})
    client.post("/accounts/login/", {"username": "my secret in the wrong field", "password": "x"})
    client.post("/accounts/login/", {"username": "bob", "password": password})
    client.post("/accounts/logout/")
    assert events() == [
        ("sign-in-failed", None, annotator.pk, ""),
        ("sign-in-failed", None, None, ""),
        ("signed-in", annotator.pk, annotator.pk, ""),
        ("signed-out", annotator.pk, annotator.pk, ""),
    ]
    assert "secret" not in json.dumps(list(AuditEvent.objects.values("what", "detail")))


def test_the_page_filters_by_action_person_and_day(alice, admin, annotator, stranger):
    alice.post("/projects/letters/members/", {"username": "charlie", "role": "annotator"})
    alice.post("/projects/letters/close/")
    page = alice.get(LOG).content.decode()
    assert "Role changed" in page
    assert "Project closed" in page
    assert "192.0.2.7" in page
    assert "Project closed</td>" not in alice.get(LOG, {"action": "role"}).content.decode()
    assert "No such event" in alice.get(LOG, {"person": "bob"}).content.decode()
    assert alice.get(LOG, {"person": "charlie"}).context["page"].paginator.count == 1
    assert alice.get(LOG, {"until": "2001-01-01"}).context["page"].paginator.count == 0
    assert alice.get(LOG, {"since": "yesterday"}).status_code == 422
    assert [row["action"] for row in alice.get(API, {"person": "charlie"}).json()["results"]] == ["role"]
    assert alice.get(API, {"action": "no-such"}).status_code == 400


def test_it_can_be_taken_as_csv_and_json_and_no_cell_is_a_formula(alice, project):
    audit.record(AuditAction.EXPORTED, project=project, what="=1+1")
    rows = list(csv.DictReader(io.StringIO(alice.get(LOG, {"as": "csv"}).getvalue().decode())))
    assert {row["what"] for row in rows} == {"'=1+1", "letters-audit.csv"}
    lines = [json.loads(line) for line in alice.get(LOG, {"as": "jsonl"}).getvalue().splitlines()]
    assert lines[-1]["what"] == "=1+1"
    assert events(action="downloaded") != []


def test_a_project_shows_nothing_of_another_one_and_only_staff_sees_all(
    alice, admin, as_user, stranger, project, settings
):
    settings.PROJECT_CREATORS = "all"
    alice.post("/projects/letters/close/")
    as_user(stranger).post("/projects/new/", {"name": "Elsewhere"})
    assert "elsewhere" not in alice.get(LOG).content.decode()
    assert alice.get("/accounts/audit/").status_code == 403
    operator = as_user(User.objects.create_superuser("olga"))
    page = operator.get("/accounts/audit/").content.decode()
    assert "elsewhere" in page
    assert "Signed in" in page
    assert operator.get(LOG).status_code == 404


def put_triggers_back() -> None:
    """Those that are taken away for tests that empty their tables; this test's transaction takes them back."""
    tables = importlib.import_module("annotation.migrations.0001_squashed_0044_due_by_the_databases_clock")
    with connection.cursor() as cursor:
        cursor.execute(tables.SQLITE[1] if connection.vendor == "sqlite" else tables.POSTGRES[2])


@pytest.mark.parametrize("statement", ["UPDATE {} SET what = 'nothing'", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_database_refuses_to_change_or_delete_a_row(alice, statement):
    if connection.vendor == "sqlite" and statement.startswith("TRUNCATE"):
        pytest.skip("SQLite has no TRUNCATE")
    put_triggers_back()
    alice.post("/projects/letters/close/")
    with connection.cursor() as cursor:
        before = AuditEvent.objects.count()
        with pytest.raises(DatabaseError, match="only grows"), transaction.atomic():
            cursor.execute(statement.format("annotation_auditevent"))
    assert AuditEvent.objects.count() == before
    assert AuditEvent.objects.get(action="closed").what == ""


def test_old_entries_are_deleted_after_the_days_that_are_set_and_no_others(alice, project, monkeypatch):
    put_triggers_back()
    now = timezone.now()
    for days in (400, 91, 89, 0):
        monkeypatch.setattr("django.utils.timezone.now", lambda days=days: now - timedelta(days=days))
        audit.record(AuditAction.EXPORTED, project=project, what=f"{days} days ago")
    monkeypatch.setattr("django.utils.timezone.now", lambda: now)
    assert audit.trim(keep_days=0) == 0
    assert AuditEvent.objects.filter(action="exported").count() == 4
    assert audit.trim(keep_days=90) == 2
    assert events(action="exported") == [
        ("exported", None, None, "89 days ago"),
        ("exported", None, None, "0 days ago"),
    ]
    trimmed = AuditEvent.objects.get(action="audit-trimmed")
    assert trimmed.detail == {"rows": 2, "keep_days": 90}
    assert audit.trim(keep_days=90) == 0
    with pytest.raises(DatabaseError, match="only grows"), transaction.atomic():
        AuditEvent.objects.filter(action="exported")._raw_delete("default")


def test_the_worker_deletes_old_entries(alice, project, settings, monkeypatch):
    audit.record(AuditAction.EXPORTED, project=project)
    later = timezone.now() + timedelta(days=8)
    monkeypatch.setattr("django.utils.timezone.now", lambda: later)
    Worker()._work_beside_runs()
    assert AuditEvent.objects.filter(action="exported").exists()  # kept for ever, unless it is set
    settings.AUDIT_DAYS = 7
    Worker()._work_beside_runs()
    assert not AuditEvent.objects.filter(action="exported").exists()


def test_what_an_operator_changes_is_in_it_with_switches_and_without_names(client, annotator):
    olga = User.objects.create_superuser("olga")
    client.force_login(olga)
    form = {"username": "bob", "email": "private@example.org", "is_active": "on", "is_staff": "on"}
    dates = {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    assert client.post(f"/admin/auth/user/{annotator.pk}/change/", form | dates).status_code == 302
    changed = AuditEvent.objects.get(action="admin-changed")
    assert (changed.actor, changed.subject, changed.what) == (olga, annotator, f"auth.User {annotator.pk}")
    assert changed.detail["values"] == {"is_staff": [False, True]}
    assert "Email address" in changed.detail["fields"]
    assert "private@example.org" not in json.dumps(changed.detail)
    assert client.post("/admin/auth/group/add/", {"name": "Makers of projects"}).status_code == 302
    group = Group.objects.get()
    ids = {"action": "delete_selected", "_selected_action": [group.pk], "post": "yes"}
    assert client.post("/admin/auth/group/", ids).status_code == 302
    what = f"auth.Group {group.pk}"
    assert events(what=what) == [("admin-added", olga.pk, None, what), ("admin-deleted", olga.pk, None, what)]


def test_each_event_is_a_line_of_json_in_the_log(alice, admin, caplog, django_capture_on_commit_callbacks, monkeypatch):
    monkeypatch.setattr(logging.getLogger("prefloop.audit"), "propagate", True)
    caplog.set_level(logging.INFO, logger="prefloop.audit")
    with django_capture_on_commit_callbacks(execute=True):
        alice.post("/projects/letters/close/")
    line = json.loads(caplog.records[-1].getMessage())
    assert (line["action"], line["actor_id"], line["address"]) == ("closed", admin.pk, "192.0.2.7")


def test_an_event_outlives_its_project(project, alice):
    alice.post("/projects/letters/close/")
    Membership.objects.filter(role=Role.ADMIN).delete()
    project.delete()
    assert AuditEvent.objects.get(action="closed").project_id is not None
