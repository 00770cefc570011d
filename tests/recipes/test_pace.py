"""How often a run saves: by hand and by a clock that the test moves."""

from __future__ import annotations

import pytest

from training.recipes.process.pace import SavingPace

pytestmark = pytest.mark.recipes


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def states(step_seconds: float, save_seconds: float, steps: int, every: int = 0) -> tuple[list[int], float]:
    """Return after which steps a state was saved, and which share of the time that took."""
    clock = Clock()
    pace, saved = SavingPace(every, clock), []
    for step in range(1, steps + 1):
        clock.now += step_seconds
        if pace.is_due(step):
            with pace.saving():
                clock.now += save_seconds
            saved.append(step)
    return saved, len(saved) * save_seconds / (clock.now - 100)


@pytest.mark.parametrize(("step", "save"), [(1.0, 0.01), (1.0, 1.0), (60.0, 30.0), (2.0, 300.0)])
def test_saving_takes_less_than_a_twentieth_of_a_long_run(step: float, save: float):
    saved, share = states(step, save, 20_000)
    assert saved[0] == 1  # what it takes is not known yet
    assert len(saved) > 5
    assert share <= 0.05 + 1e-9 + save / (20_000 * step)  # the first one came at once


def test_what_costs_nothing_is_saved_after_every_step_and_what_is_dear_seldom():
    assert states(1.0, 0.01, 5)[0] == [1, 2, 3, 4, 5]
    assert states(1.0, 1.0, 45)[0] == [1, 21, 41]  # more than 19 seconds between two


def test_a_number_of_steps_is_taken_as_it_is():
    assert states(1.0, 100.0, 9, every=4)[0] == [4, 8]


def test_what_was_done_before_the_folder_was_written_counts():
    clock = Clock()
    pace = SavingPace(0, clock)
    began = clock.now
    clock.now += 5  # copies of the weights
    with pace.saving(began):
        clock.now += 1
    assert pace.seconds == 6
