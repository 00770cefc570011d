"""Proposing tasks: with a toy policy, and with a server that writes what the test wants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.recipes.conftest import Prepare, finish
from tests.recipes.test_served import FakeServer, Handler, server  # noqa: F401 - a fixture
from training.methods import InvalidConfig, SelfInstructConfig
from training.recipes.process.errors import RecipeError
from training.rundir import Row

pytestmark = pytest.mark.recipes

TOY = {"proposals": 5, "seed_examples": 1, "pool_examples": 0, "max_new_tokens": 8, "batch_size": 2}


def examples(seeds: int, accepted: int = 0) -> list[Row]:
    kinds = [("seed", seeds), ("proposal", accepted)]
    return [
        {"id": f"{kind}:{number}", "instruction": f"Add {number}.", "input": "", "output": str(number)}
        for kind, count in kinds
        for number in range(count)
    ]


def test_a_policy_is_asked_and_what_cannot_be_read_is_counted(prepare: Prepare, checkpoint: Path, monkeypatch):
    """The toy model was never trained: it writes no tasks, and that is what the run should say."""
    monkeypatch.setattr("training.instructions.form.OPENING", "Write one.")  # its context holds 256 bytes
    run = prepare("propose", "self_instruct", TOY, {"policy": str(checkpoint)}, examples(3))
    result = finish(run)
    assert (result["proposed"], result["parsed"], result["refused"]) == (5, 0, [])
    assert sum(result["unparsed"].values()) == 5
    assert run.progress() == {"done": 5, "total": 5, "unit": "proposals"}
    assert all(len(row["examples"]) == 1 and row["prompt"][1]["role"] == "assistant" for row in run.samples())


class WritingHandler(Handler):
    def choice(self, body: dict[str, Any], number: int) -> dict[str, Any]:
        """Answers in turn: a task, no task, one that is cut."""
        at = len(self.server.asked) - 1
        texts = [
            "Instruction: Name a big animal.\nInput: (none)\nOutput: Whale",
            "I am sorry, I cannot.",
            "Instruction: Tell a story.\nOutput: Once upon a",
        ]
        return {
            "message": {"role": "assistant", "content": texts[at % 3]},
            "finish_reason": "length" if at % 3 == 2 else "stop",
        }


@pytest.fixture
def writer(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> FakeServer:  # noqa: F811
    monkeypatch.setattr("training.recipes.text.served.PARALLEL", 1)  # so that the turns are in order
    server.RequestHandlerClass = WritingHandler
    return server


def test_a_server_writes_tasks_after_the_examples(prepare: Prepare, writer: FakeServer):
    settings = {"proposals": 6, "server": writer.url, "seed_examples": 6, "pool_examples": 2, "temperature": 0.5}
    run = prepare("served", "self_instruct", settings, {}, examples(9, accepted=4))
    result = finish(run)
    assert (result["proposed"], result["parsed"], result["model"]) == (6, 4, "small")
    assert result["unparsed"] == {"no_output": 2}
    rows = sorted(run.samples(), key=lambda row: row["prompt_id"])
    assert [(row["instruction"], row["output"], row["finished"]) for row in rows[:3]] == [
        ("Name a big animal.", "Whale", True),
        ("", "", True),
        ("Tell a story.", "Once upon a", False),
    ]
    for row, asked in zip(rows, writer.asked, strict=True):
        assert row["prompt"] == asked["messages"]
        kinds = [id.split(":")[0] for id in row["examples"]]
        assert (kinds.count("seed"), kinds.count("proposal")) == (6, 2)
        assert [message["role"] for message in row["prompt"]] == ["user", "assistant"] * 8 + ["user"]
    assert len({json.dumps(row["examples"]) for row in rows}) > 1
    assert writer.asked[0]["temperature"] == 0.5
    assert len({asked["seed"] for asked in writer.asked}) == 6
    # One batch of six: 4 of 6 could be read.
    assert [row["self_instruct/parsed"] for row in run.metrics()] == [pytest.approx(4 / 6)]


def test_a_run_that_was_killed_asks_only_for_the_rest(prepare: Prepare, writer: FakeServer):
    settings = {"proposals": 6, "server": writer.url, "batch_size": 3}
    whole = prepare("whole", "self_instruct", settings, {}, examples(9))
    finish(whole)
    killed = prepare("killed", "self_instruct", settings, {}, examples(9))
    lines = whole.samples_path.read_text().splitlines(keepends=True)
    killed.samples_path.write_text("".join(lines[:4]))
    writer.asked.clear()
    assert finish(killed)["proposed"] == 6
    assert len(writer.asked) == 3


def test_without_examples_there_is_nothing_to_show(prepare: Prepare, writer: FakeServer):
    run = prepare("none", "self_instruct", {"server": writer.url}, {}, [])
    with pytest.raises(RecipeError, match="no examples to show"):
        finish(run)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"near_duplicates": "drop"}, "near_duplicates"),
        ({"similarity": 1.5}, "similarity"),
        ({"server": "http://me:secret@host/v1"}, "server"),
    ],
)
def test_settings_that_make_no_sense(given, field):
    with pytest.raises(InvalidConfig) as problem:
        SelfInstructConfig(**given)
    assert set(problem.value.errors) == {field}
