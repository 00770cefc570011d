"""What an admin is told to do next, from nothing to a proven policy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frontend.home.next_step import ProjectState, next_step

RUNNING_LOOP = ProjectState(prompts=9, policies=1, open_seats=4, judged=True, round_number=2, round_status="succeeded")


@pytest.mark.parametrize(
    ("now", "title", "page"),
    [
        (ProjectState(), "Next: import prompts", "prompts"),
        (ProjectState(prompts=9), "Next: prepare the base model", "model"),
        (ProjectState(prompts=9, policies=1), "Next: generate responses", "round_new"),
        (replace(RUNNING_LOOP, round_status="running"), "Round 2 is running", "round"),
        (replace(RUNNING_LOOP, round_status="queued", open_seats=0), "Round 2 is queued", "round"),
        (replace(RUNNING_LOOP, round_status="paused"), "Round 2 is paused", "round"),
        (replace(RUNNING_LOOP, round_status="stopped"), "Round 2 stopped at a quality gate", "round"),
        (replace(RUNNING_LOOP, round_status="failed"), "Round 2 failed", "round"),
        (replace(RUNNING_LOOP, open_seats=0, new_judgments=5), "All tasks completed", "round_new"),
        (replace(RUNNING_LOOP, unproven="v1"), "Next: evaluate v1", "evaluations"),
        (replace(RUNNING_LOOP, open_seats=0), "No open tasks", "round_new"),
    ],
)
def test_one_thing_at_a_time(now, title, page):
    step = next_step(now)
    assert (step.title, step.page) == (title, page)


def test_nothing_while_people_are_at_work():
    assert next_step(RUNNING_LOOP) is None


def test_where_the_autopilot_is_on_it_starts_the_round():
    step = next_step(replace(RUNNING_LOOP, open_seats=0, new_judgments=5, autopilot=True))
    assert "autopilot" in step.text
