"""Labels from people: settings, tasks, judgments, and what becomes of them in a snapshot."""

from __future__ import annotations

import json
import uuid

import pytest
from django.contrib.auth.models import User

from annotation.actions import labels, prompts, queue
from annotation.imports import parse_prompts
from annotation.models import Assignment, Label, Membership, Project, Role, SnapshotType, Split, Task

pytestmark = pytest.mark.django_db
SETTINGS = "/projects/letters/settings/"


@pytest.fixture
def labelling(project) -> Project:
    project.labels = ["good", "bad"]
    project.save()
    return project


@pytest.fixture
def give(as_user):
    """Somebody claims the next task and labels it; gives the answer of the server."""

    def submit(user: User, label: str, **more):
        client = as_user(user)
        client.post("/projects/letters/annotate/")
        seat = Assignment.objects.get(annotator=user, status="held")
        fields = {"client_uuid": str(uuid.uuid4()), "label": label, "active_ms": 900, **more}
        return client.post(f"/projects/letters/tasks/{seat.key}/submit/", fields)

    return submit


def people(project: Project, count: int) -> list[User]:
    made = [User.objects.create_user(f"labeller-{number}") for number in range(count)]
    for user in made:
        Membership.objects.create(project=project, user=user, role=Role.ANNOTATOR)
    return made


def snapshot_rows(client, rows: str = "classification") -> list[dict[str, object]]:
    client.post("/projects/letters/snapshots/", {"type": SnapshotType.CLASSIFICATION})
    lines = client.get(f"/projects/letters/snapshots/1/download/?rows={rows}&file=jsonl")
    return [json.loads(line) for line in b"".join(lines.streaming_content).splitlines()]


def test_setting_labels_opens_a_task_for_every_text(as_user, admin, project, make_prompt):
    make_prompt("The sea was calm.")
    make_prompt("The road was long.")
    as_user(admin).post(SETTINGS, {"labels": "good\nbad\n"})
    project.refresh_from_db()
    assert project.labels == ["good", "bad"]
    assert [task.kind for task in project.tasks.all()] == ["label", "label"]
    as_user(admin).post(SETTINGS, {"labels": "good\nbad\nneither\n"})
    assert project.tasks.count() == 2


def test_an_import_into_a_project_with_labels_opens_tasks_at_once(labelling, admin):
    parsed = parse_prompts(b"One text.\nAnother one.\n", "new.txt")
    prompts.import_prompts(project=labelling, parsed=parsed, by=admin)
    assert labelling.tasks.filter(kind="label").count() == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("only", "From 2 to 9 labels, a key for each; these are 1."),
        ("\n".join("abcdefghij"), "these are 10"),
        ("good\ngood", "Each label can be listed once."),
    ],
)
def test_labels_that_make_no_sense_are_refused(as_user, admin, project, given, said):
    assert said in as_user(admin).post(SETTINGS, {"labels": given}).content.decode()
    project.refresh_from_db()
    assert project.labels == []


def test_a_label_that_people_gave_stays(as_user, admin, annotator, labelling, make_prompt, give):
    make_prompt()
    labels.open_label_tasks(project=labelling)
    give(annotator, "good")
    page = as_user(admin).post(SETTINGS, {"labels": "fine\nbad"}).content.decode()
    assert "Annotators have already used the label &#x27;good&#x27;, so it has to stay." in page


def test_without_labels_nobody_is_asked_any_more(as_user, admin, labelling, make_prompt):
    make_prompt()
    labels.open_label_tasks(project=labelling)
    as_user(admin).post(SETTINGS, {"labels": ""})
    assert not Task.objects.exists()


def test_a_text_is_labelled_and_the_next_one_comes(as_user, annotator, labelling, make_prompt, give):
    make_prompt("The sea was calm.")
    make_prompt("The road was long.")
    labels.open_label_tasks(project=labelling)
    response = give(annotator, "good", comment="Clear.")
    assert response.status_code == 302
    label = Label.objects.get()
    assert (label.label, label.comment, label.assignment.active_ms) == ("good", "Clear.", 900)
    page = as_user(annotator).get(response.headers["Location"], follow=True).content.decode()
    assert "Which label fits the text?" in page


@pytest.mark.parametrize(
    ("label", "said"), [("", "Choose a label."), ("ugly", "is not a label of this project: good, bad.")]
)
def test_what_is_no_label_is_refused_and_the_seat_stays(annotator, labelling, make_prompt, give, label, said):
    make_prompt()
    labels.open_label_tasks(project=labelling)
    response = give(annotator, label)
    assert response.status_code == 422
    assert said in response.content.decode()
    assert not Label.objects.exists()


def test_the_same_submit_twice_is_one_label_and_an_undo_brings_it_back(
    as_user, annotator, labelling, make_prompt, give
):
    make_prompt()
    labels.open_label_tasks(project=labelling)
    key = str(uuid.uuid4())
    give(annotator, "good", client_uuid=key)
    seat = Assignment.objects.get(annotator=annotator)
    fields = {"client_uuid": key, "label": "good", "active_ms": 900}
    assert as_user(annotator).post(f"/projects/letters/tasks/{seat.key}/submit/", fields).status_code == 302
    assert Label.objects.count() == 1
    as_user(annotator).post("/projects/letters/undo/")
    seat.refresh_from_db()
    assert (seat.status, seat.draft["label"], Label.objects.count()) == ("held", "good", 0)


def test_labels_by_the_api(as_user, annotator, labelling, make_prompt):
    make_prompt("The sea was calm.")
    labels.open_label_tasks(project=labelling)
    client, base = as_user(annotator), "/api/v1/projects/letters"
    seat = client.post(f"{base}/tasks/claim/").json()
    assert (seat["kind"], seat["candidates"]) == ("label", [])
    answer = {"client_uuid": str(uuid.uuid4()), "label": "bad"}
    stored = client.post(f"{base}/assignments/{seat['id']}/submit/", answer, content_type="application/json")
    assert stored.status_code == 200
    assert Label.objects.get().label == "bad"


def test_the_majority_is_the_label_and_a_tie_is_none(as_user, admin, labelling, make_prompt, give):
    labelling.seats_per_task = 3
    labelling.save()
    make_prompt("Agreed.", Split.EVAL)
    labels.open_label_tasks(project=labelling)
    first, second, third = people(labelling, 3)
    give(first, "good")
    give(second, "good")
    give(third, "bad")
    make_prompt("Contested.", Split.TRAIN)
    labels.open_label_tasks(project=labelling)
    give(first, "good")
    give(second, "bad")
    assert snapshot_rows(as_user(admin)) == [
        {"text": "Agreed.", "label": "good", "split": "eval", "source": "annotators", "share": 0.6667}
    ]
    agreed, contested = snapshot_rows(as_user(admin), "label-votes")
    assert [vote["label"] for vote in agreed["votes"]] == ["good", "good", "bad"]
    assert len({vote["annotator"] for vote in agreed["votes"]}) == 3
    assert (contested["text"], contested["label"], contested["share"]) == ("Contested.", None, 0.5)
    counts = labelling.snapshots.get(number=1).counts
    assert (counts["labelled texts"], counts["texts whose labels are tied"]) == (1, 1)


def test_excluded_people_have_no_vote(as_user, admin, labelling, make_prompt, give):
    labelling.seats_per_task = 2
    labelling.save()
    make_prompt("Contested.")
    labels.open_label_tasks(project=labelling)
    first, second = people(labelling, 2)
    give(first, "good")
    give(second, "bad")
    as_user(admin).post(f"/projects/letters/quality/annotators/{second.pk}/exclude/", {"reason": "Asleep."})
    [row] = snapshot_rows(as_user(admin))
    assert (row["label"], row["share"]) == ("good", 1.0)


def test_agreement_on_labels_and_what_is_confused(as_user, admin, labelling, make_prompt, give):
    labelling.seats_per_task = 2
    labelling.labels = ["good", "bad", "odd"]
    labelling.save()
    first, second = people(labelling, 2)
    for number, (one, other) in enumerate([("good", "good"), ("good", "bad"), ("bad", "bad"), ("bad", "odd")]):
        make_prompt(f"Text {number}.")
        labels.open_label_tasks(project=labelling)
        give(first, one, active_ms=2000)
        give(second, other, active_ms=4000)
    report = as_user(admin).get("/api/v1/projects/letters/quality/").json()["labels"]
    assert (report["labels"], report["texts"], report["median_seconds"]) == (8, 4, 3.0)
    assert report["agreement"]["value"] == 0.5
    # Three good, four bad, one odd of eight: by chance (9 + 16 + 1) / 64 = .40625; (.5 - .40625) / (1 - .40625)
    assert report["kappa"]["value"] == pytest.approx(0.157895, abs=1e-6)
    assert report["confusions"] == [
        {"first": "bad", "second": "good", "count": 1},
        {"first": "bad", "second": "odd", "count": 1},
    ]
    page = as_user(admin).get("/projects/letters/quality/").content.decode()
    assert "Pairwise label agreement" in page
    assert "No agreement data yet" not in page


def test_what_a_model_is_least_sure_of_comes_first_but_for_a_control_share(annotator, labelling, make_prompt):
    sure, torn = make_prompt("Sure."), make_prompt("Torn.")
    begun = make_prompt("Begun.")
    labels.open_label_tasks(project=labelling, prompts=labelling.prompts.filter(pk=begun.pk))
    assert queue.claim_next(project=labelling, by=annotator).task.prompt == begun
    labels.open_label_tasks(project=labelling)
    margins = {sure.pk: 0.9, torn.pk: 0.05, begun.pk: 0.0}
    assert labels.prioritise(project=labelling, margins=margins, control_share=0) == []
    priority = dict(Task.objects.values_list("prompt_id", "priority"))
    assert priority == {sure.pk: 10, torn.pk: 95, begun.pk: 0}
    [other] = people(labelling, 1)
    assert queue.claim_next(project=labelling, by=other).task.prompt == torn
    control = labels.prioritise(project=labelling, margins=margins, control_share=1)
    assert control == [Task.objects.get(prompt=sure).pk]
