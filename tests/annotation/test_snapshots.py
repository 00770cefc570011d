from __future__ import annotations

import hashlib
import json
import uuid

import pytest
from django.contrib.auth.models import User

from annotation.actions import snapshots
from annotation.actions.tasks import open_task
from annotation.errors import NotPossible
from annotation.models import Completion, DatasetSnapshot, Membership, PolicyVersion, Role, Source, Split

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def test_a_ranking_becomes_rows_that_trl_takes(project, ranked_task, make_prompt, admin):
    prompt = make_prompt("Say hello.", split=Split.EVAL)
    task = ranked_task(["Hello!", "Hm."], prompt=prompt)
    snapshot = snapshots.take_snapshot(project=project, by=admin)
    rows = [json.loads(line) for line in snapshot.path.read_text().splitlines()]
    assert rows[-1] == {
        "prompt": [{"role": "user", "content": "Say hello."}],
        "chosen": [{"role": "assistant", "content": "Hello!"}],
        "rejected": [{"role": "assistant", "content": "Hm."}],
        "margin": 1.0,
        "votes_for": 1,
        "votes_against": 0,
        "ties": 0,
        "share": 1.0,
        "weight": 1.0,
        "in_cycle": False,
        "chosen_unacceptable": 0,
        "rejected_unacceptable": 0,
        "prompt_id": prompt.pk,
        "group_id": task.pk,
        "split": "eval",
        "source": "people",
        "chosen_finished": True,
        "rejected_finished": True,
    }
    assert snapshot.rows == len(rows) == 4  # three pairs of the three answers before, one of these two
    assert snapshot.counts["rankings"] == 2


def test_the_name_of_the_file_is_its_hash_and_the_same_judgments_give_the_same_file(project, ranked_task, admin):
    first = snapshots.take_snapshot(project=project, by=admin)
    second = snapshots.take_snapshot(project=project, by=admin)
    assert first.path == second.path
    assert hashlib.sha256(first.path.read_bytes()).hexdigest() == first.sha256
    assert [first.number, second.number] == [1, 2]


def test_without_a_preference_there_is_no_snapshot(project, admin, open_ranking_task):
    open_ranking_task()
    with pytest.raises(NotPossible, match="No ranking"):
        snapshots.take_snapshot(project=project, by=admin)
    assert DatasetSnapshot.objects.count() == 0


def test_download_is_the_file(project, ranked_task, admin, as_user):
    client = as_user(admin)
    client.post(f"/projects/{project.slug}/snapshots/")
    response = client.get(f"/projects/{project.slug}/snapshots/1/download/")
    content = b"".join(response.streaming_content)
    assert hashlib.sha256(content).hexdigest() == DatasetSnapshot.objects.get().sha256
    assert 'filename="letters-preference-1.jsonl"' in response.headers["Content-Disposition"]


API = "/api/v1/projects/letters/snapshots"


def take(client, type: str = "preference", **wanted):
    return client.post(f"{API}/", {"type": type, "filter": wanted}, content_type="application/json")


@pytest.fixture
def two_versions(project, policy, make_prompt, judge_as):
    """Two tasks with answers of v0 and v1, ranked by two people each: they agree on the first, not on the second."""
    newer = PolicyVersion.objects.create(project=project, number=1, checkpoint="/models/v1", parent=policy)
    people = [judge_as(), judge_as()]
    for texts, tiers in [(("Old.", "New!!"), [[1, 0], [1, 0]]), (("Former.", "Latter!!"), [[1, 0], [0, 1]])]:
        prompt = make_prompt(split=Split.TRAIN)
        answers = [
            Completion.objects.create(prompt=prompt, source=Source.POLICY, policy=author, text=text)
            for author, text in zip((policy, newer), texts, strict=True)
        ]
        open_task(prompt=prompt, kind="ranking", candidates=answers, seats=2)
        for (_, say), order in zip(people, tiers, strict=True):
            say([[texts[place]] for place in order])
    return [person for person, _ in people]


@pytest.fixture
def judge_as(project, as_user):
    """A new annotator, and how they answer the next task over the API: with tiers of texts."""

    def make():
        person = User.objects.create_user(f"judge-{User.objects.count()}")
        Membership.objects.create(project=project, user=person, role=Role.ANNOTATOR)
        client = as_user(person)

        def say(tiers):
            seat = client.post("/api/v1/projects/letters/tasks/claim/").json()
            pk = {each["text"]: each["id"] for each in seat["candidates"]}
            body = {
                "client_uuid": str(uuid.uuid4()),
                "active_ms": 3000,
                "tiers": [[pk[text] for text in t] for t in tiers],
            }
            address = f"/api/v1/projects/letters/assignments/{seat['id']}/submit/"
            assert client.post(address, body, content_type="application/json").status_code == 200

        return person, say

    return make


def test_the_data_card_says_who_how_alike_and_what_may_have_swayed_them(project, admin, as_user, two_versions):
    project.licence = "CC BY 4.0"
    project.save()
    client = as_user(admin)
    take(client)
    card = client.get(f"{API}/1/card/").json()
    first, second = (f"annotator-{person.pk}" for person in two_versions)
    assert card["people"] == {first: 2, second: 2}
    # Two people over two pairs: they agree once and disagree once.
    assert card["agreement"] == {"share": 0.5, "compared": 2}
    # One pair is decided, for the longer answer: New!! has 5 characters, Old. has 4.
    assert card["length"] == {"chosen_longer": 1.0, "compared": 1, "mean_chosen": 5.0, "mean_rejected": 4.0}
    assert card["licence"] == "CC BY 4.0"
    assert card["guideline_version"] == hashlib.sha256(b"Prefer *kind* answers.").hexdigest()[:12]
    assert card["mean_seconds"] == 3.0
    assert sum(each["best"] for each in card["position"]) == 4
    assert [each["expected"] for each in card["position"]] == [2.0, 2.0]
    # v1 won three comparisons of four.
    assert card["strengths"]["v1"]["value"] > 0 > card["strengths"]["v0"]["value"]
    page = client.get("/projects/letters/snapshots/1/").content.decode()
    names = [person.get_username() for person in two_versions]
    for words in ("CC BY 4.0", "50.0%", *names, "Bradley–Terry by source"):
        assert words in page
    project.guidelines += " And short ones."
    project.save()
    take(client)
    assert client.get(f"{API}/2/card/").json()["guideline_version"] != card["guideline_version"]


def test_a_filter_is_stored_and_says_what_it_left_out(project, admin, as_user, two_versions):
    client, person = as_user(admin), two_versions[0]
    by_one = take(client, annotators=[person.pk]).json()
    assert by_one["filter"] == {"annotators": [person.pk]}
    assert by_one["rows"] == 2
    assert by_one["counts"]["rankings by other annotators"] == 2
    agreed = take(client, type="ranking", min_agreement=0.9).json()
    assert (agreed["rows"], agreed["counts"]["tasks without enough agreement"]) == (1, 1)
    assert take(client, policies=[1]).json()["rows"] == 1
    nothing = take(client, policies=[0])
    assert nothing.status_code == 409
    assert "the filter excludes everything" in nothing.json()["detail"]
    assert take(client, since="2999-01-01T00:00:00Z").status_code == 409
    assert take(client, until="2999-01-01T00:00:00Z").json()["rows"] == 1
    assert take(client, kinds=["imported"]).status_code == 409
    assert take(client, min_agreement=2).status_code == 400


def test_the_page_takes_the_same_filter(project, admin, as_user, two_versions):
    client = as_user(admin)
    form = {"type": "preference", "annotators": f"{two_versions[0].pk}", "min_agreement": "0.5", "kinds": "ranking"}
    assert (
        "Snapshot 1 created: 2 pairs."
        in client.post("/projects/letters/snapshots/", form, follow=True).content.decode()
    )
    assert DatasetSnapshot.objects.get().filter == {
        "kinds": ["ranking"],
        "annotators": [two_versions[0].pk],
        "min_agreement": 0.5,
    }
    page = client.post("/projects/letters/snapshots/", {**form, "annotators": "me"}).content.decode()
    assert "Write whole numbers" in page


def test_withdrawing_marks_what_holds_a_persons_judgments_and_leaves_them_out(project, admin, as_user, two_versions):
    client, person = as_user(admin), two_versions[1]
    take(client)
    take(client, annotators=[two_versions[0].pk])
    before = DatasetSnapshot.objects.get(number=1).path.read_bytes()
    page = client.post("/projects/letters/snapshots/withdraw/", {"username": person.username}, follow=True)
    assert "1 snapshot marked" in page.content.decode()
    held, other = DatasetSnapshot.objects.order_by("number")
    assert held.withdrawn_at is not None
    assert other.withdrawn_at is None
    assert held.path.read_bytes() == before
    assert "contains annotations withdrawn on" in client.get("/projects/letters/snapshots/1/").content.decode()
    after = take(client).json()
    assert (after["rows"], after["counts"]["rankings"], after["counts"]["rankings that do not count"]) == (2, 2, 2)
    unknown = client.post("/projects/letters/snapshots/withdraw/", {"username": "nobody"})
    assert "There is no user" in unknown.content.decode()


def test_what_somebody_says_after_withdrawing_counts_again(project, admin, as_user, make_prompt, judge_as, policy):
    person, say = judge_as()
    as_user(admin).post(f"{API}/withdraw/", {"username": person.username}, content_type="application/json")
    prompt = make_prompt()
    answers = [
        Completion.objects.create(prompt=prompt, source=Source.POLICY, policy=policy, text=text) for text in "ab"
    ]
    open_task(prompt=prompt, kind="ranking", candidates=answers, seats=1)
    say([["a"], ["b"]])
    assert take(as_user(admin)).json()["rows"] == 1


def test_the_changes_between_two_snapshots(project, admin, as_user, ranked_task, open_ranking_task, judge_as):
    """A task gets a second, contrary ranking and so loses its pair; another one is judged for the first time."""
    client = as_user(admin)
    task = open_ranking_task(["One.", "Two."], seats=3, priority=50)
    (_, say), (_, contradict), (_, join) = judge_as(), judge_as(), judge_as()
    say([["One."], ["Two."]])
    take(client)
    contradict([["Two."], ["One."]])
    added = ranked_task(["Fine.", "Poor."])
    take(client)
    join([["Two."], ["One."]])
    take(client)
    page = client.get("/projects/letters/snapshots/2/changes/1/")
    assert page.context["diff"].totals == {"added": 1, "removed": 1, "changed": 0}
    groups = {group.group: (group.added, group.removed) for group in page.context["shown"]}
    assert groups == {str(task.pk): (0, 1), str(added.pk): (1, 0)}
    turned = client.get("/projects/letters/snapshots/3/changes/1/").context["diff"]
    assert turned.totals == {"added": 1, "removed": 0, "changed": 1}
    assert "Nothing changed" in client.get("/projects/letters/snapshots/3/changes/3/").content.decode()
    take(client, type="ranking")
    assert client.get("/projects/letters/snapshots/4/changes/1/").status_code == 302
