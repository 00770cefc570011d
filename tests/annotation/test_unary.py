"""Good or bad, one response at a time: settings, tasks, the work page, the API, quality, review and exports."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from annotation.actions import checks, judgments, projects, prompts, quality, queue, tasks
from annotation.actions.round_trip import trip
from annotation.errors import NotPossible
from annotation.exports import EXPORTS, SnapshotContext
from annotation.exports.card import CardTally
from annotation.exports.formats import FORMATS
from annotation.imports import parse_prompts
from annotation.judged.counted import Filter
from annotation.models import (
    Assignment,
    Completion,
    Membership,
    PracticeRound,
    Project,
    Purpose,
    Ranking,
    Role,
    SeatStatus,
    SnapshotType,
    Source,
    Split,
    Task,
    UnaryJudgment,
)
from annotation.quality.agreement import nominal_alpha

pytestmark = pytest.mark.django_db
BASE = "/projects/letters"
API = "/api/v1/projects/letters"
CAPITAL = "What is the capital of France?"


@pytest.fixture
def unary(project) -> Project:
    project.unary_share, project.reference_share = 1, 0
    project.save()
    return project


@pytest.fixture
def draw(policy, make_prompt) -> Callable[..., list[Task]]:
    """Responses that a run drew to one prompt, and the tasks over them."""

    def make(texts: Sequence[str], prompt: str = CAPITAL, run: str = "run-1", seats: int = 1, **values) -> list[Task]:
        policy.project.seats_per_task = seats
        policy.project.save()
        asked = make_prompt(prompt, **values)
        for index, text in enumerate(texts):
            Completion.objects.create(
                prompt=asked, source=Source.POLICY, policy=policy, origin=run, index=index, text=text
            )
        return tasks.open_tasks_for(policy=policy, origin=run)

    return make


@pytest.fixture
def say(as_user):
    """Claim the next task and submit an answer by the page; return the server's response."""

    def submit(user: User, **answer):
        client = as_user(user)
        client.post(f"{BASE}/annotate/")
        seat = Assignment.objects.get(annotator=user, status=SeatStatus.HELD)
        return client.post(f"{seat.get_absolute_url()}submit/", sent(**answer))

    return submit


def sent(**answer) -> dict:
    return {"client_uuid": str(uuid.uuid4()), "active_ms": 900, **answer}


def text_of(task: Task) -> str:
    return task.candidates.get().text


def rows(project: Project, type: str = SnapshotType.UNPAIRED) -> list[dict]:
    return list(EXPORTS[type](SnapshotContext(project, timezone.now())))


# --- settings and tasks ----------------------------------------------------------------------------------------


def test_a_kind_of_project_and_a_share_of_prompts(as_user, admin, annotator, stranger, project, settings):
    client = as_user(admin)
    settings.PROJECT_CREATORS = "all"
    assert client.post("/projects/new/", {"name": "Thumbs", "preset": "unary"}).status_code == 302
    new = Project.objects.get(name="Thumbs")
    assert (new.unary_share, new.reference_share) == (1, 0)
    page = client.get(f"{BASE}/settings/").content.decode()
    assert "Share judged good or bad" in page
    assert client.post(f"{BASE}/settings/", {"unary_share": "25"}).status_code == 302
    project.refresh_from_db()
    assert project.unary_share == 0.25
    refused = client.post(f"{BASE}/settings/", {"unary_share": "101"}).content.decode()
    assert "Enter a percentage from 0 to 100." in refused
    for user, status in ((annotator, 403), (stranger, 404)):
        assert as_user(user).post(f"{BASE}/settings/", {"unary_share": "50"}).status_code == status
    changed = client.patch(f"{API}/", {"unary_share": 1}, content_type="application/json")
    assert changed.json()["unary_share"] == 1


def test_the_preview_shows_one_response(alice):
    page = alice.post(reverse("project_preview"), {"name": "Thumbs", "preset": "unary"}).content.decode()
    assert "Good or bad?" in page
    assert page.count("Sunlight holds") == 1
    assert "Because it reflects the sea." not in page


@pytest.mark.database
def test_each_response_becomes_a_task_of_its_own_once(unary, draw, policy):
    opened = draw(["Paris.", "Lyon.", "Paris.", "I am ChatGPT by OpenAI.", "Nice.", "Lille.", "Metz."])
    assert {task.kind for task in opened} == {"unary"}
    assert [task.place for task in opened] == [
        0,
        1,
        2,
        3,
    ]  # of five that are different and blind, as many as settings say
    assert len({text_of(task) for task in opened} - {"I am ChatGPT by OpenAI."}) == 4
    assert tasks.open_tasks_for(policy=policy, origin="run-1") == []
    with pytest.raises(IntegrityError), transaction.atomic():
        tasks.open_task(prompt=opened[0].prompt, kind="unary", candidates=[], seats=1, origin="run-1", place=3)


def test_the_order_of_tasks_does_not_tell_who_wrote_a_response(unary, policy, make_prompt, settings):
    """A reference answer stands before the model's where candidates are chosen; its task may stand anywhere."""
    settings.SECRET_KEY = "the same in each run of this test"
    for number in range(24):
        prompt = make_prompt(f"Question {number}?")
        Completion.objects.create(prompt=prompt, source=Source.IMPORTED, text=f"A person wrote {number}.")
        for index in range(3):
            Completion.objects.create(
                prompt=prompt, source=Source.POLICY, policy=policy, origin="run-1", index=index, text=f"Model {index}."
            )
    opened = tasks.open_tasks_for(policy=policy, origin="run-1")
    places = [place for place, task in enumerate(opened) if text_of(task).startswith("A person")]
    assert len(places) == 24
    assert {place % 4 for place in places} == {0, 1, 2, 3}  # tasks are in the order of their ids
    assert [task.place for task in opened] == [0, 1, 2, 3] * 24
    assert [task.pk for task in opened] == sorted(task.pk for task in opened)
    repeated = [tasks.divided(unary, "a prompt's digest", ["a", "b", "c", "d"]) for _ in range(2)]
    assert repeated[0] == repeated[1]


@pytest.mark.database
def test_the_database_holds_what_is_always_true(unary, draw, annotator):
    (task,) = draw(["Paris."])
    seat = task.assignments.get()
    wrong = [{"good": True, "reason": "wrong"}, {"good": False, "reason": "boring"}]
    for said in wrong:
        with pytest.raises(IntegrityError), transaction.atomic():
            UnaryJudgment.objects.create(assignment=seat, client_uuid=uuid.uuid4(), **said)
    with pytest.raises(IntegrityError), transaction.atomic():
        Task.objects.filter(pk=task.pk).update(kind="ranking", place=1)
    with pytest.raises(IntegrityError), transaction.atomic():
        Project.objects.filter(pk=unary.pk).update(unary_share=1.5)


def test_a_share_of_prompts_is_ranked_and_the_others_are_judged_one_by_one(project, draw, policy):
    project.unary_share = 0.5
    project.save()
    for number in range(24):
        draw(["Paris.", "Lyon."], prompt=f"Question {number}?", run=f"run-{number}")
    kinds = {}
    for task in Task.objects.exclude(kind="reference"):
        kinds.setdefault(task.prompt_id, []).append(task.kind)
    assert sorted(map(tuple, {tuple(sorted(each)) for each in kinds.values()})) == [("ranking",), ("unary", "unary")]
    assert all(
        tasks.is_unary(project, prompt.digest) == (len(kinds[prompt.pk]) == 2) for prompt in project.prompts.all()
    )


def test_an_import_of_single_responses_opens_tasks(unary, admin):
    file = json.dumps({"prompt": CAPITAL, "completions": ["Paris.", "Lyon."]}) + "\n"
    file += json.dumps({"prompt": "And of Spain?", "completions": ["Madrid."]}) + "\n"
    report = prompts.import_prompts(project=unary, parsed=parse_prompts(file.encode(), "new.jsonl"), by=admin)
    assert report.tasks == 3
    assert sorted(text_of(task) for task in unary.tasks.filter(kind="unary")) == ["Lyon.", "Madrid.", "Paris."]
    prompts.import_prompts(project=unary, parsed=parse_prompts(file.encode(), "again.jsonl"), by=admin)
    assert unary.tasks.count() == 3


def test_open_tasks_follow_the_number_of_annotators(unary, draw, alice):
    (task,) = draw(["Paris."])
    alice.post(f"{BASE}/settings/", {"seats_per_task": 3})
    assert task.assignments.count() == 3


# --- the work page and the API ---------------------------------------------------------------------------------


def test_a_response_is_judged_and_the_next_one_comes(bob, annotator, unary, draw, say):
    draw(["Paris.", "Lyon."])
    page = bob.post(f"{BASE}/annotate/", follow=True).content.decode()
    assert "Good or bad?" in page
    assert "v0" not in page.split('id="task"')[1].split("</main>")[0]  # who wrote it stays blind
    response = say(annotator, good="false", reason="wrong", comment="Paris is.")
    said = UnaryJudgment.objects.get()
    assert (said.good, said.reason, said.comment, said.assignment.active_ms) == (False, "wrong", "Paris is.", 900)
    assert str(said) == "Bad: Incorrect"
    assert "Good or bad?" in bob.get(response.headers["Location"], follow=True).content.decode()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({}, "Choose good or bad."),
        ({"good": "perhaps"}, "Choose good or bad."),
        ({"good": "true", "reason": "wrong"}, "Only a bad response has a reason."),
        ({"good": "false", "reason": "boring"}, "boring is not one of the available choices."),
    ],
)
def test_what_is_no_answer_is_refused_and_the_seat_stays(annotator, unary, draw, say, answer, said):
    draw(["Paris."])
    response = say(annotator, **answer)
    assert response.status_code == 422
    assert said in response.content.decode()
    assert not UnaryJudgment.objects.exists()


def test_the_same_submit_twice_is_one_judgment_and_an_undo_brings_it_back(bob, annotator, unary, draw):
    draw(["Paris."])
    bob.post(f"{BASE}/annotate/")
    seat = Assignment.objects.get(annotator=annotator)
    answer = sent(good="false", reason="style")
    for _ in range(2):
        assert bob.post(f"{seat.get_absolute_url()}submit/", answer).status_code == 302
    refused = bob.post(f"{seat.get_absolute_url()}submit/", {**answer, "good": "true", "reason": ""})
    assert "good, reason differ" in refused.content.decode()
    assert UnaryJudgment.objects.count() == 1
    page = bob.post(f"{BASE}/undo/", follow=True).content.decode()
    seat.refresh_from_db()
    assert (seat.status, seat.draft["good"], UnaryJudgment.objects.count()) == ("held", "false", 0)
    assert 'name="good" value="false" checked' in page
    assert 'name="reason" value="style" checked' in page
    redone = bob.post(f"{API}/assignments/{seat.key}/redo/")
    assert redone.status_code == 200
    assert UnaryJudgment.objects.get().reason == "style"


def test_a_task_that_is_skipped_goes_to_another_annotator(bob, annotator, unary, draw):
    (task,) = draw(["Paris."])
    bob.post(f"{BASE}/annotate/")
    seat = Assignment.objects.get(annotator=annotator)
    bob.post(f"{seat.get_absolute_url()}skip/", {"reason": "Outside my expertise"})
    assert task.assignments.empty().count() == 1


def test_by_the_api(as_user, admin, reviewer, annotator, stranger, unary, draw):
    (task,) = draw(["Paris."], seats=2)
    client = as_user(annotator)
    seat = client.post(f"{API}/tasks/claim/").json()
    assert (seat["kind"], seat["asked"]) == ("unary", None)
    assert seat["candidates"] == [{"id": 1, "text": "Paris."}]
    address = f"{API}/assignments/{seat['id']}/submit/"
    refused = client.post(address, sent(good=None), content_type="application/json")
    assert (refused.status_code, refused.json()["errors"]["good"]) == (400, ["Choose good or bad."])
    assert client.post(address, sent(good=True), content_type="application/json").status_code == 200
    listed = as_user(admin).get(f"{API}/unary/").json()["results"]
    assert [(row["good"], row["reason"], row["task_id"]) for row in listed] == [(True, "", task.pk)]
    assert listed[0]["completion_id"] == task.candidates.get().pk
    assert as_user(reviewer).get(f"{API}/unary/").json()["results"] == []  # they may yet judge it
    assert as_user(annotator).get(f"{API}/unary/").status_code == 403
    assert as_user(stranger).get(f"{API}/unary/").status_code == 404


# --- quality and review ----------------------------------------------------------------------------------------


@pytest.fixture
def judged_twice(unary, draw, say, annotator, judge) -> list[Task]:
    """Four responses that two people judged: both good, one each way, both bad, both good."""
    opened = draw(["Paris.", "Lyon.", "Rome.", "Paris, in France."], seats=2, split=Split.TRAIN)
    votes = {"Paris.": (1, 1), "Lyon.": (1, 0), "Rome.": (0, 0), "Paris, in France.": (1, 1)}
    for place, user in enumerate((annotator, judge)):
        for _ in opened:
            seat = claim(unary, user)
            good = bool(votes[text_of(seat.task)][place])
            submit(seat, good=good, reason="" if good else "wrong", comment="" if good else "Not in France.")
    return opened


def claim(project: Project, user: User) -> Assignment:
    seat = queue.claim_next(project=project, by=user)
    assert seat is not None
    return seat


def submit(seat: Assignment, **answer) -> None:
    said = {"good": True, "reason": "", "comment": "", **answer}
    judgments.submit(assignment=seat, client_uuid=uuid.uuid4(), answer=said, active_ms=2000)


def test_agreement_by_hand(judged_twice, alice):
    """Of 8 values 5 are good, and of 4 responses one is disputed.

    α = 1 − 7·1 / (5·3) = 8/15; κ = (3/4 − 34/64) / (1 − 34/64) = 7/15.
    """
    found = alice.get(f"{API}/quality/").json()
    unary = found["unary"]
    assert (unary["judgments"], unary["responses"], unary["agreement"]["value"]) == (8, 4, 0.75)
    assert unary["alpha"]["value"] == pytest.approx(8 / 15)
    assert unary["kappa"]["value"] == pytest.approx(7 / 15)
    assert unary["good"]["value"] == 5 / 8
    assert unary["reasons"] == [{"reason": "wrong", "count": 3}]
    assert unary["median_seconds"] == 2.0
    assert [(each["username"], each["judgments"], each["agreement"]["value"]) for each in found["annotators"]] == [
        ("bob", 4, 0.75),
        ("judge", 4, 0.75),
    ]
    assert found["rankings"] == 0
    page = alice.get(f"{BASE}/quality/").content.decode()
    assert "Agreement on good or bad" in page
    assert "0.53" in page
    assert "Position bias" not in page


def test_alpha_is_that_of_its_package():
    import krippendorff

    units = [[1, 1, 0], [0, 0], [1], [1, 0], [1, 1, 1], [0, 0, 1]]
    counts = [[unit.count(0), unit.count(1)] for unit in units]
    expected = krippendorff.alpha(value_counts=counts, value_domain=[0, 1], level_of_measurement="nominal")
    assert nominal_alpha(units).value == pytest.approx(expected)
    assert nominal_alpha([[1, 1], [1, 1]]).value is None


def test_a_reviewer_decides_and_the_decision_replaces_the_votes(judged_twice, rita, bob, as_user, stranger, unary):
    listed = rita.get(f"{BASE}/review/").content.decode()
    assert all(f"{BASE}/review/{task.pk}/" in listed for task in judged_twice)
    disputed = next(task for task in judged_twice if text_of(task) == "Lyon.")
    address = f"{BASE}/review/{disputed.pk}/"
    page = rita.get(address).content.decode()
    assert "Bad: Incorrect" in page
    assert "Not in France." in page
    assert rita.post(address, {"note": "?"}).status_code == 422
    assert all(row["completion"][0]["content"] != "Lyon." for row in rows(unary))  # as often good as bad
    assert rita.post(address, {"good": "false", "note": "Lyon is no capital."}).status_code == 302
    (decided,) = [row for row in rows(unary) if row["completion"][0]["content"] == "Lyon."]
    assert (decided["label"], decided["votes_good"], decided["votes_bad"]) == (False, 0, 1)
    assert bob.get(address).status_code == 403
    assert as_user(stranger).get(address).status_code == 404


@pytest.fixture
def known_bad(judged_twice, reviewer) -> Task:
    """A response that is known to be bad."""
    task = next(task for task in judged_twice if text_of(task) == "Rome.")
    pk = task.candidates.get().pk
    quality.adjudicate(task=task, tiers=[[pk]], unacceptable=[pk], note="", by=reviewer)
    quality.mark_gold(task=task, by=reviewer, note="Rome is in Italy.", practice=True)
    return task


def test_a_known_response_checks_annotators_unmarked(known_bad, unary, alice):
    new = User.objects.create_user("nora")
    Membership.objects.create(project=unary, user=new, role=Role.ANNOTATOR)
    with transaction.atomic():
        seat = checks.open_check(task=known_bad, purpose=Purpose.GOLD, by=new)
    submit(seat, good=True)
    found = alice.get(f"{API}/quality/").json()
    (nora,) = [each for each in found["annotators"] if each["username"] == "nora"]
    assert (nora["gold"]["value"], nora["gold"]["n"], nora["judgments"]) == (0.0, 1, 0)
    assert found["unary"]["judgments"] == 8  # a check is no vote


def test_a_response_that_comes_again_shows_how_consistent_an_annotator_is(unary, draw, annotator, alice, monkeypatch):
    monkeypatch.setattr(checks, "REPEAT_AFTER", 2)
    unary.repeat_share = 0.5
    for number in range(40):
        draw([f"Answer {number}."], prompt=f"Question {number}?", run=f"run-{number}")
    while (seat := claim(unary, annotator)).task.purpose == Purpose.WORK:
        submit(seat, good=True)
    assert seat.task.purpose == Purpose.REPEAT
    submit(seat, good=False, reason="other")
    (bob,) = alice.get(f"{API}/quality/").json()["annotators"]
    assert (bob["self_consistency"]["value"], bob["self_consistency"]["n"]) == (0.0, 1)


def test_new_annotators_practise_on_it(known_bad, unary, as_user):
    unary.practice_first, unary.practice_pass = True, 1.0
    unary.save()
    new = User.objects.create_user("nora")
    Membership.objects.create(project=unary, user=new, role=Role.ANNOTATOR)
    client, page = as_user(new), f"{BASE}/practice/"
    for good, shown in (("true", "Your last answer differs"), ("false", "Your last answer matches")):
        client.post(page)
        seat = Assignment.objects.get(annotator=new, status=SeatStatus.HELD)
        client.post(f"{seat.get_absolute_url()}submit/", sent(good=good))
        feedback = client.get(page).content.decode()
        assert shown in feedback
        assert "Rome is in Italy." in feedback
    results = PracticeRound.objects.order_by("pk").values_list("agreed", "pairs", "passed")
    assert list(results) == [(0, 1, False), (1, 1, True)]


# --- records, snapshots, exports -------------------------------------------------------------------------------


def test_pages_of_records_and_of_own_work(judged_twice, alice, bob, annotator):
    seat = Assignment.objects.get(annotator=annotator, unaryjudgment__good=False)
    assert "Good or bad" in alice.get(f"{BASE}/records/annotations/?kind=unary").content.decode()
    page = alice.get(f"{BASE}/records/annotations/{seat.pk}/").content.decode()
    assert "Bad: Incorrect" in page
    assert "Not in France." in page
    own = bob.get(reverse("own_annotation", args=["letters", seat.key])).content.decode()
    assert "Bad: Incorrect" in own


def test_unpaired_rows(judged_twice, unary, rita):
    found = {row["completion"][0]["content"]: row for row in rows(unary)}
    assert {text: (row["label"], row["votes_good"], row["votes_bad"]) for text, row in found.items()} == {
        "Paris.": (True, 2, 0),
        "Paris, in France.": (True, 2, 0),
        "Rome.": (False, 0, 2),
    }
    assert found["Paris."]["prompt"] == [{"role": "user", "content": CAPITAL}]
    assert found["Paris."]["source"] == "unary"
    context = SnapshotContext(unary, timezone.now())
    list(EXPORTS[SnapshotType.UNPAIRED](context))
    counted = ("unary annotations", "good responses", "bad responses", "responses as often good as bad")
    assert [context.counts[name] for name in counted] == [8, 2, 1, 1]
    rita.post(f"{BASE}/snapshots/", {"type": "unpaired-preference", "kinds": ["unary"], "min_agreement": "0.9"})
    taken = unary.snapshots.get()
    assert (taken.rows, taken.card["agreement"]) == (3, {"share": 0.75, "compared": 4})
    lines = rita.get(f"{BASE}/snapshots/1/download/?rows=unpaired-text&file=jsonl")
    first = json.loads(b"".join(lines.streaming_content).splitlines()[0])
    assert (first["prompt"], type(first["label"])) == (CAPITAL, bool)


def test_who_only_rates_an_imported_response_calls_it_neither_good_nor_bad(project, admin):
    """Two who rate it 5 and 1 do not agree on anything; of three thumbs, up, up and down, one pair of three does."""
    rated = [{"prompt": CAPITAL, "response": "Paris.", "helpfulness": at, "annotator": f"a{at}"} for at in (5, 1)]
    thumbs = [
        {"prompt": "Two plus two?", "response": "Four.", "thumbs": said, "annotator": f"a{at}"}
        for at, said in enumerate(("up", "up", "down"))
    ]
    lines = "\n".join(map(json.dumps, [*rated, *thumbs])).encode()
    prompts.import_prompts(project=project, parsed=parse_prompts(lines, "rated.jsonl"), by=admin)
    for least, left_out in ((0.0, 0), (0.6, 1), (0.7, 2)):
        context = SnapshotContext(project, timezone.now(), Filter(min_agreement=least), tally=CardTally())
        made = list(EXPORTS[SnapshotType.RANKING](context)) if left_out < 2 else []
        if left_out == 2:
            with pytest.raises(NotPossible):
                list(EXPORTS[SnapshotType.RANKING](context))
        assert (len(made), context.counts["tasks without enough agreement"]) == (2 - left_out, left_out)
        assert context.tally.as_json(project)["agreement"] == {"share": 0.3333, "compared": 3}


def test_the_rows_of_llama_factory(judged_twice, unary):
    paris = next(row for row in rows(unary) if row["completion"][0]["content"] == "Paris.")
    turns = [{"from": "human", "value": CAPITAL}, {"from": "gpt", "value": "Paris."}]
    assert list(FORMATS["sharegpt-kto"].rows(paris)) == [{"conversations": turns, "kto_tag": True, "system": ""}]


def test_a_ranking_is_beside_it_in_one_file(judged_twice, unary, ranked_task):
    assert Ranking.objects.count() == 1
    assert sorted(row["source"] for row in rows(unary)) == ["ranking", "ranking", "unary", "unary", "unary"]
    assert len(rows(unary, SnapshotType.PREFERENCE)) == 3
    labelled = {row["text"].rpartition(": ")[2]: row["label"] for row in rows(unary, SnapshotType.CLASSIFICATION)}
    assert labelled == {"Paris.": "acceptable", "Paris, in France.": "acceptable", "Rome.": "unacceptable"}


@pytest.mark.slow
def test_every_format_names_what_it_loses(judged_twice, unary, admin):
    for name in FORMATS:
        target = projects.create_project(project=Project(name=f"Target {name}"), by=admin)
        outcome = trip(unary, target, name, "csv" if FORMATS[name].flat else "jsonl")
        assert (outcome.unnamed, outcome.invented, outcome.refused) == (set(), set(), []), name
        if name == "judgments":
            assert (outcome.kind, outcome.problem) == ("whole", "")


def test_an_annotator_who_is_excluded_or_withdraws_counts_no_more(judged_twice, unary, alice, annotator, judge, admin):
    quality.exclude(project=unary, annotator=annotator, reason="Haste.", by=admin)
    assert {row["votes_good"] + row["votes_bad"] for row in rows(unary)} == {1}
    alice.post(f"{API}/snapshots/withdraw/", {"username": "judge"}, content_type="application/json")
    with pytest.raises(NotPossible):
        rows(unary)
