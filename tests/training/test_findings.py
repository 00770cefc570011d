"""What a round's page and the API say about finished runs, from result.json as the recipes write it."""

from __future__ import annotations

import pytest
from django.utils import timezone

from training.methods import METHODS
from training.models import RunStatus, TrainingRound, TrainingRun

pytestmark = pytest.mark.django_db

REWARD = {
    "accuracy": 0.74,
    "ci95": [0.67, 0.8125],
    "n": 312,
    "length_baseline": 0.55,
    "baselines": {
        "length": {"accuracy": 0.55, "ci95": [0.49, 0.61], "rule": "the shorter response wins"},
        "random": 0.5,
    },
    "people": {"accuracy": 0.81, "ci95": [0.77, 0.85], "n": 1624},
    "calibration": {"ece": 0.042, "bins": [{"confidence": 0.6, "accuracy": 0.58, "n": 40}]},
    "learning_curve": [
        {"rankings": 50, "accuracy": 0.6, "ci95": [0.5, 0.7]},
        {"rankings": 100, "accuracy": 0.74, "ci95": [0.67, 0.81]},
    ],
    "gate": {"passed": True, "reason": "accuracy 0.74 [0.67, 0.81] on 312 unseen pairs, against 0.55 by length"},
    "rows": {"in": 103, "used": 100, "refused": {"a response is empty": 2, "too long": 1}},
}
PPO = {
    "score_before": 0.01,
    "score_after": 0.5,
    "kl": 1.0,
    "stopped": "KL of 10.8 nats exceeded the limit of 10",
    "best_of_n": [{"n": 2, "score": 0.4, "kl": 0.2}],
    "frontier": [
        {"step": 0, "kl": 0.0, "score": 0.01, "judge": 0.0},
        {"step": 5, "kl": 1.0, "score": 0.5, "judge": 0.3},
    ],
    "selected": {"step": 5, "reason": "best by the judge (0.30) of 2 evaluated"},
    "refused": [{"prompt_id": 1, "reason": "too long"}, {"prompt_id": 2, "reason": "too long"}],
}


@pytest.fixture
def finished_round(project):
    """A round of runs that succeeded with the given results."""

    def make(**results) -> TrainingRound:
        now = timezone.now()
        number = project.rounds.count() + 1
        round = TrainingRound.objects.create(
            project=project, number=number, status=RunStatus.SUCCEEDED, finished_at=now
        )
        for position, (method, result) in enumerate(results.items()):
            TrainingRun.objects.create(
                round=round,
                position=position,
                method=method,
                config=METHODS[method].config().as_json(),
                status=RunStatus.SUCCEEDED,
                result=result,
                started_at=now,
                finished_at=now,
            )
        return round

    return make


@pytest.fixture
def page_of(admin, as_user):
    def read(round: TrainingRound) -> str:
        """All of its tabs as text with single spaces."""
        client, address = as_user(admin), f"/projects/letters/rounds/{round.number}/"
        pages = [client.get(f"{address}{tab}").content.decode() for tab in ("", "samples/", "slices/")]
        return " ".join(" ".join(pages).split())

    return read


def findings_of(client, round: TrainingRound) -> list[dict]:
    runs = client.get(f"/projects/letters/rounds/{round.number}/metrics.json").json()["runs"]
    assert runs == client.get(f"/api/v1/projects/letters/rounds/{round.number}/metrics/").json()["runs"]
    return [run["findings"] for run in runs]


def test_a_learning_curve_has_the_points_of_earlier_rounds(finished_round, admin, as_user):
    finished_round(reward={**REWARD, "accuracy": 0.74})
    finished_round(ppo=PPO)
    finished_round(reward={"accuracy": 0.7})  # from before there were learning curves
    second = finished_round(reward={**REWARD, "learning_curve": [{"rankings": 300, "accuracy": 0.8, "ci95": None}]})
    finished_round(reward=REWARD)  # later
    (found,) = findings_of(as_user(admin), second)
    assert found["learning_curve"] == {
        "points": [{"rankings": 300, "accuracy": 0.8, "ci95": None}],
        "earlier": [{"round": 1, "rankings": 100, "accuracy": 0.74, "ci95": [0.67, 0.81]}],
        "length_baseline": 0.55,
    }
    assert found["calibration"] == REWARD["calibration"]


def test_a_frontier_has_best_of_n_and_what_was_kept(finished_round, admin, as_user):
    (found,) = findings_of(as_user(admin), finished_round(ppo=PPO))
    assert found == {
        "frontier": {"points": PPO["frontier"], "best_of_n": [{"n": 2, "score": 0.4, "kl": 0.2}], "selected": 5}
    }


def test_what_could_not_be_measured_is_not_there(finished_round, admin, as_user, page_of):
    unscored = [{"step": step, "kl": 0.5, "score": None, "judge": None} for step in (0, 9)]
    round = finished_round(
        reward={
            "accuracy": None,
            "ci95": None,
            "n": 0,
            "calibration": None,
            "slices": {"margin": [], "policy": []},
            "baselines": {
                "length": {"accuracy": None, "ci95": None, "rule": "the longer response wins"},
                "random": 0.5,
            },
            "learning_curve": [{"rankings": 9, "accuracy": None, "ci95": None}],
        },
        sft={"score_before": None, "score_after": None, "frontier": unscored, "best_of_n": [], "stopped": None},
        sample={"completions": 4},
    )
    assert findings_of(as_user(admin), round) == [{}, {}, {}]
    page = page_of(round)
    for words in (
        "Held-out accuracy",
        "Length-only baseline",
        "Accuracy by slice",
        "Quality gate",
        "Score before",
    ):
        assert words not in page
    assert "<dt>Responses</dt><dd>4</dd>" in page


def test_the_card_says_in_words_what_stands_behind_the_figures(finished_round, page_of):
    page = page_of(finished_round(reward=REWARD, ppo=PPO))
    assert "<dd>67.0 to 81.2%</dd>" in page
    assert "<dt>Length-only baseline</dt><dd>55.0%</dd>" in page
    assert "The shorter response wins. 95% CI: 49.0 to 61.0%. Chance: 50%." in page
    assert "<dt>One annotator against the others</dt><dd>81.0%</dd>" in page
    assert "Agreement with the majority of the others, 1,624 pairs. 95% CI: 77.0 to 85.0%." in page
    assert "Longer-response baseline" not in page
    assert "Quality gate passed</span> Accuracy 0.74 [0.67, 0.81] on 312 unseen pairs, against 0.55 by length." in page
    assert '<dd>3</dd><dd class="note-line">a response is empty (2); too long (1)</dd>' in page
    assert "KL of 10.8 nats exceeded the limit of 10." in page
    assert (
        '<dt>Best checkpoint</dt><dd>step 5</dd><dd class="note-line">Best by the judge (0.30) of 2 evaluated.</dd>'
        in page
    )
    assert '<dd>2</dd><dd class="note-line">too long (2)</dd>' in page


def test_what_the_recipe_had_to_say_stands_on_the_page(finished_round, page_of):
    remark = "GPT2LMHeadModel goes through whole forward passes, which is slower: its blocks are not built like Llama's"
    page = page_of(finished_round(ppo={**PPO, "remarks": [remark]}))
    assert remark.replace("'", "&#x27;") + "." in page


def test_slices_name_annotators_as_people_know_them(finished_round, annotator, page_of):
    rows = [
        {"label": f"annotator-{annotator.pk}", "accuracy": 0.625, "ci95": [0.5, 0.75], "n": 40},
        {"label": "annotator-9999", "accuracy": 0.5, "ci95": None, "n": 4},
    ]
    page = page_of(finished_round(reward={**REWARD, "slices": {"annotator": rows, "margin": []}}))
    assert "By annotator" in page
    assert "By preference margin" not in page
    numbers = '<td class="number">62.5%</td><td class="number">50.0 to 75.0%</td><td class="number">40</td>'
    assert f'<th scope="row">bob</th>{numbers}' in page
    numbers = '<td class="number bad">50.0%</td><td class="number">–</td><td class="number">4</td>'
    assert f'<th scope="row">annotator-9999</th>{numbers}' in page


@pytest.mark.parametrize("scored", [True, False])
def test_answers_before_and_after_with_or_without_scores(finished_round, make_prompt, page_of, scored):
    round = finished_round(dpo={"kl": 1.0})
    run = round.runs.get()
    run.directory.path.mkdir(parents=True)
    for before, after in ((0.25, 1.75), (0.5, 0.125)):
        run.directory.log_sample(
            {
                "prompt_id": make_prompt().pk,
                "before": "so-so",
                "after": "lovely",
                "score_before": before if scored else None,
                "score_after": after if scored else None,
            }
        )
    page = page_of(round)
    assert page.count("lovely") == 2
    assert ('<span class="score">1.75</span>' in page) is scored
    assert page.count('class="score"') == (4 if scored else 0)
    assert ("Scores are the reward model" in page) is scored
