"""DPO, RLOO, SFT and instruction tuning, killed and resumed: they end with the weights of an unbroken run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests import NIGHTLY
from tests.recipes import test_dpo, test_instruction_tuning, test_rloo, test_sft
from tests.recipes.conftest import Prepare, finish, preference_rows, prompt_rows
from tests.recipes.killing import POINTS, kill_at
from tests.recipes.test_ppo import adapter_digest
from training.rundir import Row, RunDir

pytestmark = pytest.mark.recipes


@pytest.fixture
def prepare_method(prepare: Prepare, checkpoint: Path, request: pytest.FixtureRequest):
    def prepare_run(name: str, method: str) -> RunDir:
        inputs: Row = {"policy": str(checkpoint)}
        settings: Row
        rows: Iterable[Row]
        match method:
            case "sft":  # beyond its first epoch, so that the order of the answers must be found again, too
                settings, rows = test_sft.SETTINGS, test_sft.answer_rows(16, held_out=4)
            case "dpo":
                settings, rows = test_dpo.SETTINGS | {"epochs": 4}, preference_rows(12, held_out=4)
            case "instruction_tuning":
                settings, rows = test_instruction_tuning.SETTINGS | {"epochs": 4}, test_instruction_tuning.rows()
            case "rloo":  # two passes over each update's answers, which TRL's own state does not hold
                settings = test_rloo.SETTINGS | {"passes": 2, "episodes": 192}
                rows = prompt_rows(12, held_out=4)
                inputs["reward_model"] = str(request.getfixturevalue("reward_model"))
        return prepare(name, method, settings, inputs, rows)

    return prepare_run


KILLS = [("sft", 7, "progress"), ("dpo", 5, "half"), ("rloo", 3, "metrics"), ("instruction_tuning", 7, "swap")]
AT_NIGHT = [(method, step, point) for method, step, _ in KILLS for point in POINTS]


@pytest.mark.parametrize(("method", "step", "point"), AT_NIGHT if NIGHTLY else KILLS)
def test_a_killed_run_ends_up_with_the_same_policy_and_figures(prepare_method, method: str, step: int, point: str):
    whole: RunDir = prepare_method("whole", method)
    finish(whole)
    killed: RunDir = prepare_method("killed", method)
    kill_at(killed, step, point)
    assert killed.load_state() is not None
    finish(killed)
    assert adapter_digest(killed) == adapter_digest(whole)
    assert list(killed.metrics()) == list(whole.metrics())
    assert list(killed.samples()) == list(whole.samples())
    ours, theirs = killed.result(), whole.result()
    for name in ("unseen_templates", "unseen_tasks", "frontier", "accuracy"):
        assert ours.get(name) == theirs.get(name)
