"""A client that looks at everything it is sent learns nothing of who wrote what, nor which task checks it."""

from __future__ import annotations

import json
import random
import re
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from statistics import NormalDist
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from annotation.actions import evaluations, snapshots, tasks
from annotation.models import (
    Assignment,
    Completion,
    GoldAnswer,
    Membership,
    PolicyVersion,
    Project,
    Purpose,
    Ranking,
    Role,
    Source,
    Task,
)
from tests import NIGHTLY

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
API = "/api/v1/projects/letters"
NUMBER = re.compile(r"\d+(?:\.\d+)?")
RANDOM = re.compile(r'(?:csrf\w*|client_uuid)" value="[^"]*"|data-key="[^"]*"')
TASKS = 200 if NIGHTLY else 100  # a hundred find one who is right three times in four where chance is right in half


def numbers_in(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number that can be made of an answer: the numbers in it, their lengths, and the lengths of its texts."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from numbers_in(each, f"{path}.{name}")
        return
    if isinstance(value, list):
        for place, each in enumerate(value):
            yield from numbers_in(each, f"{path}[{place}]")
        yield f"{path} length", len(value)
        return
    text = str(value)
    yield f"{path} length", len(text)
    for place, number in enumerate(NUMBER.findall(text)[:8]):
        yield f"{path} number {place}", float(number)


def seen(client: Client, assignment: dict[str, Any]) -> dict[str, float]:
    """All that a client receives with one task, as numbers by where they stand."""
    page = client.get(f"/projects/letters/tasks/{assignment['id']}/")
    found = dict(numbers_in(assignment, "api"))
    found |= dict(numbers_in(NUMBER.findall(RANDOM.sub("", page.content.decode()).split("<main", 1)[1]), "page"))
    return found | dict(numbers_in(dict(page.headers), "headers"))


def best_guess(rows: list[dict[str, float]], truth: list[bool]) -> tuple[int, int]:
    """Hits and tries of an adversary on the second half, who took the best threshold of the first half.

    It may look at any number, at how it differs from that of the second answer, and from that of the task before.
    """
    for row in rows:
        pairs = [(name, name.replace("[0]", "[1]", 1)) for name in row if "[0]" in name]
        row |= {f"{name}, before the next": row[name] - row[other] for name, other in pairs if other in row}
    for place in reversed(range(1, len(rows))):
        shared = rows[place].keys() & rows[place - 1].keys()
        steps = {f"{name}, step": rows[place][name] - rows[place - 1][name] for name in shared}
        rows[place] = rows[place] | steps
    half = len(rows) // 2
    rules: list[tuple[int, str, float, bool]] = []
    for name in sorted(set().union(*rows[:half])):
        values = [row.get(name, -1.0) for row in rows[:half]]
        for threshold in sorted(set(values))[:: max(1, len(set(values)) // 12)]:
            hits = sum((value > threshold) == is_so for value, is_so in zip(values, truth, strict=False))
            rules += [(hits, name, threshold, True), (half - hits, name, threshold, False)]
    _, name, threshold, above = max(rules)
    tried = zip(rows[half:], truth[half:], strict=True)
    return sum(((row.get(name, -1.0) > threshold) == above) == is_so for row, is_so in tried), len(rows) - half


def is_chance(hits: int, tries: int, share: float) -> bool:
    """Whether the 99.9 % interval (Wilson's) of the hit rate reaches down to guessing the commoner answer each time."""
    z = NormalDist().inv_cdf(0.9995)
    rate = hits / tries
    centre, spread = rate + z * z / (2 * tries), z * (rate * (1 - rate) / tries + z * z / (4 * tries * tries)) ** 0.5
    return (centre - spread) / (1 + z * z / tries) <= max(share, 1 - share)


def score(name: str, hits: int, tries: int, share: float) -> bool:
    """Print the adversary's hit rate with Wilson's 95 % interval beside that of guessing; return `is_chance`."""
    z, rate = NormalDist().inv_cdf(0.975), hits / tries
    centre, spread = rate + z * z / (2 * tries), z * (rate * (1 - rate) / tries + z * z / (4 * tries * tries)) ** 0.5
    ci95 = [round((centre + sign * spread) / (1 + z * z / tries), 3) for sign in (-1, 1)]
    about = {"adversary": name, "hits": hits, "tries": tries, "rate": round(rate, 3), "ci95": ci95}
    sys.stdout.write(json.dumps({**about, "guessing": round(max(share, 1 - share), 3)}) + "\n")
    return is_chance(hits, tries, share)


def surroundings(client: Client) -> dict[str, float]:
    """What the pages around the task say: the project's page, its part that is renewed, and the progress."""
    found = dict(numbers_in(client.get(f"{API}/progress/").json(), "progress"))
    page = RANDOM.sub("", client.get("/projects/letters/").content.decode()).split("<main", 1)[1]
    return found | dict(numbers_in(NUMBER.findall(page), "project page"))


def work_through(
    client: Client, answer: Callable[[dict[str, Any]], dict[str, Any]], *, look_around: bool = False
) -> Iterator[dict[str, float]]:
    while True:
        before = surroundings(client) if look_around else {}
        claimed = client.post(f"{API}/tasks/claim/")
        if claimed.status_code == 204:
            return
        assignment = claimed.json()
        after = surroundings(client) if look_around else {}
        moved = {f"{name}, since the claim": after[name] - before[name] for name in before.keys() & after.keys()}
        yield {**seen(client, assignment), "key": assignment["id"], **after, **moved}
        body = {"client_uuid": str(uuid.uuid4()), **answer(assignment)}
        address = f"{API}/assignments/{assignment['id']}/submit/"
        stored = client.post(address, json.dumps(body), content_type="application/json")
        assert stored.status_code == 200, stored.content


def ranked(assignment: dict[str, Any]) -> dict[str, Any]:
    strength = {"strength": 1} if assignment["asked"]["form"] == "graded" else {}
    return {"tiers": [[each["id"]] for each in assignment["candidates"]], **strength}


def test_versions_of_an_evaluation_cannot_be_told_apart(project, policy, make_prompt, annotator, as_user):
    newer = PolicyVersion.objects.create(project=project, number=1, checkpoint="/models/1", parent=policy)
    pairs = []
    texts = ["An answer.", "Some words."]
    for number in range(TASKS):
        prompt = make_prompt(split="eval")
        made = [  # all of the version first, as its run makes them
            Completion.objects.create(prompt=prompt, source=Source.POLICY, policy=author, text=text)
            for author, text in zip((newer, policy), texts[:: 1 if number % 2 else -1], strict=True)
        ]
        pairs.append(tuple(made))
    evaluations.open_evaluation(
        version=newer,
        opponent=policy,
        pairs=pairs,
        seats=1,
        seed=7,
        sampling={},
        origin="run-1",
        by=None,
        left_out=Counter(),
    )
    rows, truth = [], []
    for row in work_through(as_user(annotator), ranked):
        rows.append(row)
        seat = Assignment.objects.filter(annotator=annotator).order_by("-claimed_at").first()
        truth.append(Completion.objects.get(pk=seat.shown_order[0]).policy_id == newer.pk)
    assert len(rows) == TASKS
    hits, tries = best_guess(rows, truth)
    assert score("versions of an evaluation", hits, tries, sum(truth[TASKS // 2 :]) / tries)


def test_a_persons_answer_among_a_models_cannot_be_told(policy, make_prompt, annotator, stranger, as_user):
    for _ in range(TASKS):
        prompt = make_prompt()
        model = Completion.objects.create(prompt=prompt, source=Source.POLICY, policy=policy, text="Some words.")
        person = Completion.objects.create(prompt=prompt, source=Source.PERSON, author=stranger, text="An answer.")
        tasks.open_task(prompt=prompt, kind="ranking", candidates=[person, model], seats=1)
    rows, truth = [], []
    for row in work_through(as_user(annotator), ranked):
        row = {name: value for name, value in row.items() if "text" not in name}  # the texts are what is judged
        rows.append(row)
        seat = Assignment.objects.filter(annotator=annotator).order_by("-claimed_at").first()
        truth.append(Completion.objects.get(pk=seat.shown_order[0]).source == Source.PERSON)
    hits, tries = best_guess(rows, truth)
    assert score("people and models", hits, tries, sum(truth[TASKS // 2 :]) / tries)


@pytest.mark.slow
def test_checks_cannot_be_told_from_work(project: Project, open_ranking_task, annotator, admin, as_user):
    Project.objects.filter(pk=project.pk).update(gold_share=0.25, repeat_share=0.2)
    gold = set(
        random.Random(5).sample(range(TASKS), TASKS * 2 // 5)
    )  # so that no number in a text tells when it was made
    for number in range(TASKS):
        task = open_ranking_task((f"An answer {number:03}.", f"Some words {number:03}."))
        if number in gold:
            tiers = [[pk] for pk in task.candidates.order_by("pk").values_list("pk", flat=True)]
            GoldAnswer.objects.create(task=task, tiers=tiers, marked_by=admin)
            Assignment.objects.filter(task=task).delete()
    rows, truth = [], []
    for row in work_through(as_user(annotator), ranked, look_around=True):
        rows.append({name: value for name, value in row.items() if "text" not in name and "messages" not in name})
        seat = Assignment.objects.filter(annotator=annotator).order_by("-claimed_at").first()
        truth.append(seat.task.purpose != Purpose.WORK)
    assert len(rows) >= TASKS
    assert sum(truth) >= 15
    hits, tries = best_guess(rows, truth)
    assert score("checks and work", hits, tries, sum(truth[len(rows) // 2 :]) / tries)
    assert Task.objects.filter(purpose=Purpose.REPEAT).exists()


@pytest.mark.slow
def test_a_reviewer_who_also_judges_learns_no_vote_before_their_own(
    project: Project, open_ranking_task, annotator, admin, as_user
):
    rita = User.objects.create_user("rita")
    Membership.objects.create(project=project, user=rita, role=Role.REVIEWER)
    chance = random.Random(3)
    bob, client = as_user(annotator), as_user(rita)
    for _ in range(TASKS):
        open_ranking_task(("An answer.", "Some words."), seats=2)
    for assignment in iter(lambda: bob.post(f"{API}/tasks/claim/"), None):
        if assignment.status_code == 204:
            break
        told = assignment.json()
        order = chance.sample([each["id"] for each in told["candidates"]], 2)
        body = {"client_uuid": str(uuid.uuid4()), "tiers": [[each] for each in order]}
        address = f"{API}/assignments/{told['id']}/submit/"
        assert bob.post(address, json.dumps(body), content_type="application/json").status_code == 200
    snapshots.take_snapshot(project=project, by=admin)
    rows, truth = [], []
    while (claimed := client.post(f"{API}/tasks/claim/")).status_code != 204:
        told = claimed.json()
        seat = Assignment.objects.filter(annotator=rita).order_by("-claimed_at").select_related("task").first()
        row = seen(client, told) | surroundings(client)
        for name in ("rankings/", "quality/", "snapshots/1/download/", "snapshots/1/card/"):
            answer = client.get(f"{API}/{name}")
            row[f"{name} status"] = answer.status_code
            row |= dict(numbers_in(answer.content.decode(), name))
        page = client.get(f"/projects/letters/review/{seat.task_id}/")
        row |= dict(numbers_in(NUMBER.findall(RANDOM.sub("", page.content.decode()).split("<main", 1)[1]), "review"))
        rows.append(row)
        votes = Ranking.objects.filter(assignment__task=seat.task, assignment__annotator=annotator)
        truth.append(votes.get().tiers[0][0] == seat.shown_order[0])
        body = {"client_uuid": str(uuid.uuid4()), "tiers": [[each["id"]] for each in told["candidates"]]}
        address = f"{API}/assignments/{told['id']}/submit/"
        assert client.post(address, json.dumps(body), content_type="application/json").status_code == 200
    assert len(rows) == TASKS
    hits, tries = best_guess(rows, truth)
    assert score("others' votes, by a reviewer", hits, tries, sum(truth[len(rows) // 2 :]) / tries)


def test_an_annotator_is_not_told_the_shares_of_checks_and_an_admin_is(project, annotator, admin, as_user):
    Project.objects.filter(pk=project.pk).update(gold_share=0.25)
    assert as_user(annotator).get(f"{API}/").json()["gold_share"] is None
    assert as_user(admin).get(f"{API}/").json()["gold_share"] == 0.25
