from __future__ import annotations

import hashlib
import json

import pytest

from annotation.actions import NotPossible, snapshots
from annotation.models import DatasetSnapshot, Split

pytestmark = pytest.mark.django_db


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
