"""The quality page and what an admin decides on it: weights and exclusions, down to the snapshot."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from annotation import clock
from annotation.actions import judgments, quality, quality_figures, queue, snapshots
from annotation.models import Exclusion, Membership, QualityFigures, Role, SnapshotType, Task
from annotation.quality import records, reliability, report
from annotation.quality.records import Record, Records
from training.worker.loop import Worker

pytestmark = [pytest.mark.django_db, pytest.mark.database]
PAGE = "/projects/letters/quality/"


@pytest.fixture
def people(project) -> list[User]:
    made = [User.objects.create_user(name) for name in ("ann", "ben", "cora")]
    for user in made:
        Membership.objects.create(project=project, user=user, role=Role.ANNOTATOR)
    return made


def rank(project, user, order=None, **values):
    """Claim the next seat and put its answers in an order of their texts; by default A, B, C …"""
    seat = queue.claim_next(project=project, by=user)
    texts = dict(seat.task.candidates.values_list("text", "pk"))
    tiers = [[texts[text]] for text in (order or sorted(texts))]
    answer = {"tiers": tiers, "unacceptable": [], "rationale": "", **values}
    return judgments.submit(assignment=seat, client_uuid=uuid.uuid4(), answer=answer, active_ms=4000)


@pytest.fixture
def judged(project, people, open_ranking_task):
    """Three people on four tasks of three answers; Cora always says the reverse."""
    for _ in range(4):
        open_ranking_task(["A", "B", "C"], seats=3)
        for user in people:
            rank(project, user, "CBA" if user.username == "cora" else "ABC")
    return people


def test_the_page_tells_how_far_people_agree(judged, admin, as_user):
    page = as_user(admin).get(PAGE).content.decode()
    # Each task: ann and ben agree on 3 of 3 pairs, cora with either on 0 of 3: 3 of 9.
    assert "33.3%" in page
    assert "36 comparisons in 4 of 4 tasks" in page
    assert "65 to 80%" in page
    for name in ("ann", "ben", "cora"):
        assert name in page


def test_the_api_gives_the_same_figures(judged, admin, as_user):
    figures = as_user(admin).get("/api/v1/projects/letters/quality/").json()
    assert figures["rankings"] == 12
    assert figures["agreement"]["pairwise"]["value"] == pytest.approx(1 / 3)
    # τ-b of three twos: 1, -1, -1. Rank sums 5, 6, 7 around 6: W = 12 · 2 / (9 · 24) = 1/9.
    assert figures["agreement"]["tau_b"]["value"] == pytest.approx(-1 / 3)
    assert figures["agreement"]["w"]["value"] == pytest.approx(1 / 9)
    by_name = {person["username"]: person for person in figures["annotators"]}
    assert by_name["ann"]["agreement"]["value"] == pytest.approx(0.5)
    assert by_name["cora"]["agreement"]["value"] == 0
    assert by_name["cora"]["self_consistency"]["reason"] == "no pairs to compare yet"
    assert by_name["ann"]["seconds"] == 4
    # On twelve pairs each. Everybody chose one thing on all of them, so a κ would be chance against chance.
    assert {tuple(row["people"]) for row in figures["by_two"]} == {("ann", "ben"), ("ann", "cora"), ("ben", "cora")}
    assert [row["agreement"] for row in figures["contested"]] == [pytest.approx(1 / 3)] * 4


def test_tasks_that_everybody_judges_have_an_agreement_of_their_own(
    project, people, judged, open_ranking_task, as_user, admin
):
    task = open_ranking_task(["A", "B", "C"], seats=3)
    Task.objects.filter(pk=task.pk).update(calibration=True)
    for user in people:
        rank(project, user)
    figures = as_user(admin).get("/api/v1/projects/letters/quality/").json()
    assert figures["calibration"]["tasks"] == 1
    assert (figures["calibration"]["pairwise"]["value"], figures["calibration"]["pairwise"]["n"]) == (1, 9)
    assert "On the 1 calibration task that every annotator ranks" in as_user(admin).get(PAGE).content.decode()


def test_a_project_without_rankings_says_what_is_needed(admin, as_user):
    page = as_user(admin).get(PAGE).content.decode()
    assert "No agreement data yet" in page


def test_one_judgment_a_task_gives_no_agreement_and_says_why(ranked_task, admin, as_user):
    page = as_user(admin).get(PAGE).content.decode()
    assert "no two annotators have ranked the same responses" in page


def test_skips_are_counted_by_reason(project, annotator, admin, as_user, open_ranking_task, ranked_task):
    open_ranking_task()
    seat = queue.claim_next(project=project, by=annotator)
    as_user(annotator).post(f"{seat.get_absolute_url()}skip/", {"reason": "Unclear prompt"})
    assert "Unclear prompt" in as_user(admin).get(PAGE).content.decode()


def excluded(figures: dict) -> list[str]:
    return [person["username"] for person in figures["annotators"] if person["excluded"]]


def test_a_worker_makes_the_figures_of_a_large_project(judged, project, admin, as_user, monkeypatch):
    monkeypatch.setattr(quality_figures, "MANY_JUDGMENTS", 5)
    client, address = as_user(admin), "/api/v1/projects/letters/quality/"
    for page in (PAGE, "/projects/letters/review/"):
        assert "A worker computes the figures" in client.get(page).content.decode()
    pending = client.get(address)
    assert (pending.status_code, pending["Retry-After"], pending.json()) == (202, "10", {"computed_at": None})

    Worker().run_until_idle()
    first = client.get(address).json()
    assert not quality_figures.work_next(), "they are made once, and then kept"
    assert first["is_being_made"] is False
    monkeypatch.setattr(quality_figures, "MANY_JUDGMENTS", 2000)
    now = client.get(address).json()
    monkeypatch.setattr(quality_figures, "MANY_JUDGMENTS", 5)
    assert {**first, "computed_at": 0, "is_being_made": 0} == {**now, "computed_at": 0, "is_being_made": 0}

    quality.exclude(project=project, annotator=judged[2], reason="reads nothing", by=admin)
    Membership.objects.filter(user=judged[0]).update(weight=0.25)
    kept = client.get(address).json()
    assert kept["computed_at"] == first["computed_at"]
    assert excluded(kept) == ["cora"], "decisions are read anew"
    assert [person["weight"] for person in kept["annotators"]] == [0.25, 1.0, 1.0]
    client.post(f"{PAGE}annotators/{judged[1].pk}/exclude/", {"reason": "copies others"})
    page = client.get(PAGE).content.decode()
    assert "copies others" in page
    assert "being computed anew" not in page

    client.post(PAGE)
    assert "being computed anew" in client.get(PAGE).content.decode()
    assert quality_figures.work_next()
    anew = client.get(address).json()
    assert anew["computed_at"] > first["computed_at"]
    QualityFigures.objects.update(
        made_at=clock.now() - timedelta(minutes=11), asked_at=clock.now() - timedelta(hours=1)
    )
    assert client.get(address).json()["is_being_made"] is True, "old ones are shown while new ones are made"


def test_figures_that_cannot_be_made_are_tried_again_and_old_ones_stay(judged, project, admin, as_user, monkeypatch):
    monkeypatch.setattr(quality_figures, "MANY_JUDGMENTS", 5)
    client, address = as_user(admin), "/api/v1/projects/letters/quality/"
    client.get(address)
    quality_figures.work_next()
    first = client.get(address).json()
    client.post(PAGE)
    with monkeypatch.context() as broken:
        broken.setattr(quality_figures, "build_report", lambda *_: 1 / 0)
        assert quality_figures.work_next()
    again = client.get(address).json()
    assert (again["computed_at"], again["is_being_made"]) == (first["computed_at"], False)
    client.post(PAGE)
    row = QualityFigures.objects.get()
    overtaken = QualityFigures.objects.filter(pk=row.pk)
    real = quality_figures.build_report

    def while_another_takes_over(*given):
        overtaken.update(attempt=row.attempt + 2)
        return real(*given)

    monkeypatch.setattr(quality_figures, "build_report", while_another_takes_over)
    assert quality_figures.work_next()
    assert QualityFigures.objects.get().status == "running", "the worker that took over stores its own"


def test_a_very_large_project_is_judged_by_a_random_part_of_its_tasks(judged, project, admin, as_user, monkeypatch):
    """Whole tasks are read, never some people's annotations of one."""
    whole = report.quality_report(project)
    assert whole["sample"] is None
    monkeypatch.setattr(records, "MOST_READ", whole["rankings"] // 2)
    monkeypatch.setattr(report, "MOST_READ", whole["rankings"] // 2)
    for salt in range(1000):  # which tasks are drawn depends on their numbers: until some are and some are not
        monkeypatch.setattr(records, "SALT", salt * 7919)
        part = report.quality_report(project)
        if 0 < part["rankings"] < whole["rankings"]:
            break
    assert part["sample"] == {"read": part["rankings"], "of": whole["rankings"]}
    by_task = {row["task"]: row["judgments"] for row in whole["contested"]}
    assert {row["task"]: row["judgments"] for row in part["contested"]}.items() <= by_task.items()
    assert "tasks are drawn at random" in as_user(admin).get(PAGE).content.decode()


def test_the_weight_by_hand():
    # Twos of people on pairs: ann-ben 30 of 40 alike, ann-cora 10 of 40, ben-cora 10 of 40: 100 of 240 for all of
    # them together. ann: 40 of 80; shrunk (40 + 20 · 5/12) / 100 = 29/60; over 5/12 more than 1, so 1.
    # cora: 20 of 80: (20 + 25/3) / 100 = 17/60; over 5/12: 0.68.
    def task(number, ben, cora):
        order, reverse = [[1], [2]], [[2], [1]]
        return [
            Record(1, number, order),
            Record(2, number, order if ben else reverse),
            Record(3, number, order if cora else reverse),
        ]

    # Of 40 tasks: all alike 5, only ben with ann 25, only cora with ann 5, only ben with cora 5.
    rows = [(True, True)] * 5 + [(True, False)] * 25 + [(False, True)] * 5 + [(False, False)] * 5
    records = Records(work=[record for number, row in enumerate(rows) for record in task(number, *row)])
    assert reliability.weights(records) == {1: 1.0, 2: 1.0, 3: 0.68}


def test_nobody_to_compare_with_has_full_weight():
    assert reliability.weights(Records(work=[Record(1, 1, [[1], [2]])])) == {1: 1.0}


def snapshot_rows(project):
    taken = snapshots.take_snapshot(project=project, by=None, type=SnapshotType.RANKING)
    return taken, [json.loads(line) for line in taken.path.read_text("utf-8").splitlines()]


def test_weights_reach_a_snapshot_only_where_the_project_uses_them(judged, project, admin, as_user):
    as_user(admin).post(f"{PAGE}weights/")
    cora = Membership.objects.get(project=project, user=judged[2])
    # All: 24 of 72 pairs. Cora: (0 + 20 / 3) / (24 + 20) / (1 / 3) = 20 / 44.
    assert cora.weight == pytest.approx(0.455)
    _, rows = snapshot_rows(project)
    assert {ranking["weight"] for row in rows for ranking in row["rankings"]} == {1.0}
    project.use_weights = True
    project.save()
    _, rows = snapshot_rows(project)
    assert [ranking["weight"] for ranking in rows[0]["rankings"]] == [1.0, 1.0, 0.455]


def test_an_exclusion_keeps_judgments_out_with_its_reason_and_can_be_lifted(judged, project, admin, as_user):
    client, cora = as_user(admin), judged[2]
    client.post(f"{PAGE}annotators/{cora.pk}/exclude/", {"reason": "  "})
    assert not Exclusion.objects.exists()
    client.post(f"{PAGE}annotators/{cora.pk}/exclude/", {"reason": "reads nothing"})
    page = client.get(PAGE).content.decode()
    assert "reads nothing (alice" in page
    assert "exclude 4 of 12 annotations" in page
    taken, rows = snapshot_rows(project)
    assert taken.counts["rankings of excluded annotators"] == 4
    assert all(len(row["rankings"]) == 2 for row in rows)
    client.post(f"{PAGE}annotators/{cora.pk}/exclude/", {"reason": "again"})
    assert Exclusion.objects.count() == 1
    client.post(f"{PAGE}annotators/{cora.pk}/lift/")
    _, rows = snapshot_rows(project)
    assert all(len(row["rankings"]) == 3 for row in rows)
    lifted = Exclusion.objects.get()
    assert (lifted.reason, lifted.excluded_by, lifted.lifted_by) == ("reads nothing", admin, admin)
    assert "lifted by alice" in client.get(PAGE).content.decode()


def test_a_task_that_only_excluded_people_judged_is_left_out_by_that_reason(judged, project, ranked_task, admin):
    for user in judged:
        quality.exclude(project=project, annotator=user, reason="moved on", by=admin)
    taken, rows = snapshot_rows(project)
    assert len(rows) == 1
    assert taken.counts["tasks whose rankings are all excluded"] == 4


def test_agreement_by_policy_version(judged, project, admin, as_user):
    rows = as_user(admin).get("/api/v1/projects/letters/quality/").json()["by_policy"]
    assert [(row["policy"], row["tasks"]) for row in rows] == [(0, 4)]
