"""The quality page and what an admin decides on it: weights and exclusions, down to the snapshot."""

from __future__ import annotations

import json
import uuid

import pytest
from django.contrib.auth.models import User

from annotation.actions import judgments, quality, queue, snapshots
from annotation.models import Exclusion, Membership, Role, SnapshotType, Task
from annotation.quality import reliability, report
from annotation.quality.records import Record, Records

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


def test_figures_of_a_large_project_are_kept_until_somebody_asks_anew(judged, project, admin, as_user, monkeypatch):
    monkeypatch.setattr(report, "MANY_RANKINGS", 5)
    client = as_user(admin)
    first = client.get("/api/v1/projects/letters/quality/").json()
    quality.exclude(project=project, annotator=judged[2], reason="reads nothing", by=admin)
    Membership.objects.filter(user=judged[0]).update(weight=0.25)
    kept = client.get("/api/v1/projects/letters/quality/").json()
    assert kept["computed_at"] == first["computed_at"]
    assert excluded(kept) == ["cora"], "another process may have kept the figures: decisions are read anew"
    assert [person["weight"] for person in kept["annotators"]] == [0.25, 1.0, 1.0]
    assert [person["agreement"] for person in kept["annotators"]] == [each["agreement"] for each in first["annotators"]]
    client.post(f"{PAGE}annotators/{judged[1].pk}/exclude/", {"reason": "reads nothing"})
    assert "reads nothing" in client.get(PAGE).content.decode()
    assert client.get("/api/v1/projects/letters/quality/").json()["computed_at"] == first["computed_at"]
    client.post(PAGE)
    anew = client.get("/api/v1/projects/letters/quality/").json()
    assert anew["computed_at"] > first["computed_at"]
    assert excluded(anew) == ["ben", "cora"]


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
