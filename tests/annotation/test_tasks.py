"""Opening tasks over what a policy answered, with people's answers mixed in."""

from __future__ import annotations

import pytest

from annotation.actions import tasks
from annotation.models import Assignment, Completion, Source, Task

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def draw(policy, prompt, texts, origin="run-1"):
    return [
        Completion.objects.create(
            prompt=prompt, source=Source.POLICY, policy=policy, text=text, origin=origin, index=number
        )
        for number, text in enumerate(texts)
    ]


def test_a_task_for_each_prompt_with_distinct_answers_only(project, policy, make_prompt):
    draw(policy, make_prompt(), ["a", "b", "b ", "c", "d", "e"])
    draw(policy, make_prompt(), ["same", "same"])  # one distinct answer: nothing to compare
    project.reference_share = 0
    project.save()
    (task,) = tasks.open_tasks_for(policy=policy, origin="run-1")
    texts = [text.strip() for text in task.candidates.values_list("text", flat=True)]
    assert (len(texts), len(set(texts))) == (4, 4)  # of five; which one is left out is chance


def test_opening_again_opens_nothing_twice(project, policy, make_prompt):
    draw(policy, make_prompt(), ["a", "b"])
    tasks.open_tasks_for(policy=policy, origin="run-1")
    before = Task.objects.count()
    tasks.open_tasks_for(policy=policy, origin="run-1")
    assert Task.objects.count() == before


def test_a_reference_answer_joins_later_tasks_as_one_of_the_candidates(project, policy, make_prompt, annotator):
    prompt = make_prompt()
    written = Completion.objects.create(prompt=prompt, source=Source.PERSON, author=annotator, text="by a person")
    draw(policy, prompt, ["a", "b", "c", "d"])
    task = next(t for t in tasks.open_tasks_for(policy=policy, origin="run-1") if t.kind == "ranking")
    assert written in task.candidates.all()
    assert task.candidates.count() == 4


def test_seats_and_share_follow_the_project(project, policy, make_prompt):
    project.seats_per_task, project.reference_share = 3, 1
    project.save()
    draw(policy, make_prompt(), ["a", "b"])
    opened = tasks.open_tasks_for(policy=policy, origin="run-1")
    assert [(task.kind, task.seats) for task in opened] == [("ranking", 3), ("reference", 1)]
    assert Assignment.objects.filter(task=opened[0]).count() == 3
