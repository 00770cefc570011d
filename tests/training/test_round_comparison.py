"""Rounds side by side: settings that differ, figures beside a baseline, notes and tags."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from training.methods import METHODS
from training.models import RoundStatus, RunStatus, TrainingRound, TrainingRun
from training.reports.round_comparison import compare

pytestmark = [pytest.mark.django_db, pytest.mark.database]
LIST, PAGE = "/projects/letters/rounds/", "/projects/letters/rounds/compare/"


@pytest.fixture
def add_round(project):
    def add(number: int, *, accuracy: float | None = None, kl: float | None = None, **settings) -> TrainingRound:
        now = timezone.now()
        done = {"status": RunStatus.SUCCEEDED, "started_at": now, "finished_at": now}
        round = TrainingRound.objects.create(
            project=project, number=number, status=RoundStatus.SUCCEEDED, finished_at=now
        )
        results = {"reward": {"accuracy": accuracy}, "ppo": {"kl": kl}}
        for position, (method, result) in enumerate(results.items()):
            config = METHODS[method].config(**(settings if method == "ppo" else {})).as_json()
            TrainingRun.objects.create(
                round=round, position=position, method=method, config=config, result=result, **done
            )
        return round

    return add


def test_only_settings_that_differ_and_figures_with_their_change_are_shown(add_round):
    rounds = [add_round(1, accuracy=0.7, kl=4.0), add_round(2, accuracy=0.45, kl=4.0, kl_coef=0.1, gamma=0.9)]
    reward, ppo = compare(rounds, rounds[0])
    assert (reward.label, reward.settings) == ("Reward model", [])
    (accuracy,) = reward.figures
    first, second = accuracy.cells
    assert (first.text, first.change) == ("70.0%", "")
    assert (second.text, second.change, second.is_better, second.is_chance) == ("45.0%", "−25.0%", False, True)
    assert [(line.label, [cell.text for cell in line.cells]) for line in ppo.settings] == [
        ("KL coefficient", ["0.03", "0.1"]),
        ("Discount (γ)", ["1.0", "0.9"]),
    ]
    assert [cell.differs for cell in ppo.settings[0].cells] == [False, True]
    (kl,) = ppo.figures
    assert [(cell.text, cell.change) for cell in kl.cells] == [("4.00", ""), ("4.00", "")]


def test_the_baseline_is_what_others_are_compared_with(add_round, admin, as_user):
    first, second = add_round(1, accuracy=0.7), add_round(2, accuracy=0.8)
    client = as_user(admin)
    asked = f"{PAGE}?round=1&round=2"
    assert "beside those of round 1" in client.get(asked).content.decode()
    for round in (first, second):  # the mark moves on: a project has one
        client.post(f"{LIST}{round.number}/describe/", {"tags": "", "notes": "", "is_baseline": "on"})
    page = client.get(asked).content.decode()
    assert "beside those of round 2," in page
    assert list(TrainingRound.objects.filter(is_baseline=True)) == [second]
    with pytest.raises(IntegrityError), transaction.atomic():
        TrainingRound.objects.update(is_baseline=True)


def test_notes_and_tags_are_stored_shown_and_filter_the_list(add_round, admin, as_user):
    add_round(1), add_round(2)
    client = as_user(admin)
    client.post(f"{LIST}1/describe/", {"tags": "kl, 更高的惩罚 ,kl", "notes": " <b>Higher</b> penalty. "})
    round = TrainingRound.objects.get(number=1)
    assert (round.tags, round.notes) == (["kl", "更高的惩罚"], "<b>Higher</b> penalty.")
    assert "&lt;b&gt;Higher&lt;/b&gt; penalty." in client.get(f"{LIST}1/").content.decode()
    page = client.get(LIST, {"tag": "更高的惩罚"}).content.decode()
    assert "Round 1" in page
    assert "Round 2" not in page
    assert "Round 2" in client.get(LIST, {"tag": "nobody's"}).content.decode()


@pytest.mark.parametrize(
    ("tags", "said"), [("x" * 41, "is longer than 40 characters"), (",".join("abcdefghijk"), "At most 10 tags")]
)
def test_tags_that_are_too_long_or_too_many_are_refused(add_round, admin, as_user, tags, said):
    add_round(1)
    page = as_user(admin).post(f"{LIST}1/describe/", {"tags": tags, "notes": "x"}, follow=True).content.decode()
    assert said in page
    assert TrainingRound.objects.get().notes == ""


def test_odd_choices_of_rounds_are_left_out(add_round, admin, as_user):
    for number in range(1, 8):
        add_round(number)
    client = as_user(admin)
    assert "No rounds selected" in client.get(f"{PAGE}?round=x&round=&round=99").content.decode()
    page = client.get(PAGE, {"round": range(1, 8)}).content.decode()
    assert page.count("metrics.json") == 5


def test_comparing_takes_as_many_queries_for_more_rounds(add_round, admin, as_user):
    client = as_user(admin)
    for number in range(1, 6):
        add_round(number, accuracy=0.6, kl=1.0)

    def queries(*numbers: int) -> int:
        with CaptureQueriesContext(connection) as caught:
            assert client.get(PAGE, {"round": numbers}).status_code == 200
        return len(caught)

    assert queries(1, 2) == queries(1, 2, 3, 4, 5)
