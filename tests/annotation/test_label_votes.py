"""Labels that several people gave a text in another tool: everybody's is kept, merged, exported and read back."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import User

from annotation.actions import import_jobs, projects
from annotation.actions.prompts import ImportReport, import_prompts
from annotation.actions.round_trip import trip
from annotation.imports import parse_prompts, stored
from annotation.judged.imported_labels import labelled_texts
from annotation.models import ImportedLabel, ImportStatus, Project, PromptUpload, SnapshotType

pytestmark = pytest.mark.django_db
TEXT = "Lovely weather."


def choices(*given: tuple[str, str]) -> dict:
    """A text of Label Studio with the choice of each person."""
    return {
        "id": 1,
        "data": {"text": TEXT},
        "annotations": [
            {
                "completed_by": {"email": who},
                "created_at": "2024-05-01T10:00:00Z",
                "result": [{"from_name": "sentiment", "to_name": "text", "value": {"choices": [label]}}],
            }
            for who, label in given
        ],
    }


def take(project: Project, *rows: dict, upload: PromptUpload | None = None) -> ImportReport:
    parsed = parse_prompts(b"".join(json.dumps(row).encode() + b"\n" for row in rows), "rows.jsonl")
    assert stored.loads(stored.dumps(parsed)) == parsed
    return import_prompts(project=project, parsed=parsed, by=None, upload=upload)


def votes(project: Project) -> list[tuple[str, str]]:
    return [(vote.annotator, vote.label) for text in labelled_texts(project) for vote in text.votes]


SAID = [("u1", "good"), ("u2", "bad"), ("u3", "good")]
ARGILLA = [{"value": label, "user_id": who, "status": "submitted"} for who, label in SAID]
ARGILLA.append({"value": "bad", "user_id": "u4", "status": "discarded"})


@pytest.mark.parametrize(
    "row",
    [
        choices(*SAID),
        {"fields": {"text": TEXT}, "responses": {"sentiment": ARGILLA}},
        {"text": TEXT, "votes": [{"annotator": who, "label": label} for who, label in SAID]},
        {"text": TEXT, "annotations": [{"user_id": who, "value": label} for who, label in SAID], "label": "good"},
    ],
    ids=["Label Studio", "Argilla", "votes", "annotations"],
)
def test_every_persons_label_is_kept_with_its_name(project, row: dict) -> None:
    report = take(project, row)
    assert (report.taken, report.labels, report.votes, report.refused) == (1, 1, 3, [])
    assert votes(project) == SAID
    (text,) = labelled_texts(project)
    assert (text.label, round(text.share, 4)) == ("good", 0.6667)


def test_a_column_for_each_annotator_and_a_row_for_each(project) -> None:
    take(project, {"text": TEXT, "annotator_1": "good", "annotator_2": "bad", "annotator_3": ""})
    assert votes(project) == [("annotator_1", "good"), ("annotator_2", "bad")]
    report = take(project, *({"text": TEXT, "label": label, "annotator": who} for who, label in SAID))
    assert (report.taken, len(votes(project))) == (3, 5)
    report = take(project, *({"text": TEXT, "label": label, "annotator": who} for who, label in SAID))
    assert (report.taken, len(report.duplicates), len(votes(project))) == (0, 3, 5)
    report = take(project, {"text": TEXT, "label": "bad", "annotator": "u1"})
    assert report.refused[0].reason == "'u1' labelled the text 'good' already"


def test_a_tie_is_kept_and_no_class(project, admin, as_user) -> None:
    take(project, choices(("u1", "good"), ("u2", "bad")), {"text": "Fine.", "label": "good"})
    client = as_user(admin)
    client.post(f"/projects/{project.slug}/snapshots/", {"type": SnapshotType.CLASSIFICATION})
    url = f"/projects/{project.slug}/snapshots/1/download/?file=jsonl&rows="
    classes = [json.loads(line) for line in client.get(f"{url}classification").getvalue().splitlines()]
    assert [(row["text"], row["label"]) for row in classes] == [("Fine.", "good")]
    whole = [json.loads(line) for line in client.get(f"{url}label-votes").getvalue().splitlines()]
    assert [(row["text"], row["label"], row["share"]) for row in whole] == [("Fine.", "good", 1.0), (TEXT, None, 0.5)]
    assert whole[1]["votes"] == [
        {"label": label, "annotator": f"imported:{who}", "at": "2024-05-01T10:00:00.000000+00:00", "weight": 1.0}
        for who, label in (("u1", "good"), ("u2", "bad"))
    ]


def test_votes_come_back_out_of_an_export(admin: User) -> None:
    source = projects.create_project(project=Project(name="Source"), by=admin)
    target = projects.create_project(project=Project(name="Target"), by=admin)
    rows = [{"text": f"Text {number}", "label": ["good", "good", "bad"]} for number in range(2)]
    take(source, choices(*SAID), choices(*SAID[:2]) | {"data": {"text": "Tied."}}, *rows)
    outcome = trip(source, target, "label-votes")
    assert (outcome.lost, outcome.invented, outcome.refused) == (set(), set(), [])
    assert sorted(votes(target)) == sorted(votes(source))  # tied texts come last in a file
    other = projects.create_project(project=Project(name="Other"), by=admin)
    outcome = trip(source, other, "classification")
    assert (outcome.lost, outcome.unnamed) == ({"label_votes"}, set())


def test_a_class_by_the_weight_of_votes_comes_back_with_its_votes(admin: User) -> None:
    source = projects.create_project(project=Project(name="Source"), by=admin)
    target = projects.create_project(project=Project(name="Target"), by=admin)
    line = {"tiers": [[0], [1]], "unranked": [], "strength": -1, "margin": -1.0, "ratings": []}
    rankings = [
        line | {"unacceptable": below, "weight": weight, "annotator": f"imported:{who}"}
        for who, below, weight in (("u1", [0, 1], 0.5), ("u2", [1], 1.0))
    ]
    take(source, {"prompt": TEXT, "candidates": [{"text": "So."}, {"text": "No."}], "rankings": rankings})
    outcome = trip(source, target, "label-votes")
    assert (outcome.unnamed, outcome.invented - {"labels"}, outcome.refused) == (set(), set(), [])
    said = {label.text.rpartition(" ")[2]: [] for label in labelled_texts(target)}
    for label in labelled_texts(target):
        said[label.text.rpartition(" ")[2]] += [(vote.annotator, vote.label) for vote in label.votes]
    good, bad = "acceptable", "unacceptable"
    assert said == {"So.": [("u1", bad), ("u2", good)], "No.": [("u1", bad), ("u2", bad)]}


def test_votes_of_a_later_file_are_undone_alone(project, admin) -> None:
    uploads = [
        PromptUpload.objects.create(project=project, uploaded_by=admin, filename="x", status=ImportStatus.TAKEN)
        for _ in range(2)
    ]
    take(project, {"text": TEXT, "label": "bad"}, upload=uploads[0])
    take(project, choices(*SAID), upload=uploads[1])
    assert votes(project) == [("", "bad"), *SAID]
    import_jobs.undo(upload=uploads[0])
    while import_jobs.work_next():
        pass
    assert votes(project) == SAID
    import_jobs.undo(upload=uploads[1])
    while import_jobs.work_next():
        pass
    assert ImportedLabel.objects.count() == 0


def test_several_labels_of_one_person_are_not_votes(project) -> None:
    report = take(project, {"text": TEXT, "label": ["good", "bad"]})
    assert "only one can be kept" in report.refused[0].reason
    report = take(
        project, {"text": TEXT, "votes": [{"annotator": "u", "label": "a"}, {"annotator": "u", "label": "b"}]}
    )
    assert report.refused[0].reason == "'u' gave the text two labels; only one can be kept"
