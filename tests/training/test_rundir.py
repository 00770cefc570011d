"""The run directory as the worker reads it while a recipe writes."""

from __future__ import annotations

from pathlib import Path

from training.rundir import RunDir


def test_metrics_are_read_on_from_where_the_last_reading_ended(tmp_path: Path):
    run = RunDir(tmp_path)
    assert run.metrics_since(0) == ([], 0)
    run.log_metrics(1, loss=2.0)
    rows, offset = run.metrics_since(0)
    assert rows == [{"step": 1, "loss": 2.0}]
    assert run.metrics_since(offset) == ([], offset)
    with run.metrics_path.open("a") as file:
        file.write('{"step": 2, "lo')  # half a row is left for the next time
    assert run.metrics_since(offset) == ([], offset)


def test_metrics_that_a_resumed_attempt_wrote_again_are_read_anew(tmp_path: Path):
    """The file has grown beyond the place where the reader stopped, and no line begins there any more."""
    run = RunDir(tmp_path)
    for step in (1, 2):
        run.log_metrics(step, seconds=0.123456789)
    _, offset = run.metrics_since(0)
    run.rewind(1)
    for step in (2, 3, 4):
        run.log_metrics(step, seconds=0.5)
    rows, end = run.metrics_since(offset)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert end == run.metrics_path.stat().st_size
    # A file that is shorter than before is read anew as well.
    run.rewind(1)
    assert [row["step"] for row in run.metrics_since(end)[0]] == [1]
