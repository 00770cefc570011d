"""Several processes that train one policy together come to what one comes to. On the CPU they talk through gloo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests import NIGHTLY
from tests.forked import command
from tests.programs import free_port
from tests.recipes import test_distil, test_dpo, test_instruction_tuning, test_kto, test_ppo, test_rloo, test_sft
from tests.recipes.conftest import Prepare, finish, preference_rows, preparing, prompt_rows, ranking_rows
from training.methods import METHODS, InvalidConfig
from training.rundir import Row, RunDir

pytestmark = pytest.mark.recipes

ROOT = Path(__file__).resolve().parents[2]
EQUAL = (
    "ppo",
    "sft",
    "dpo",
    "kto",
    "distil",
    "instruction_tuning",
)  # what they draw does not depend on the number of processes


# Short runs of every method. SFT's last step of an epoch has 3 rows, DPO's 7 pairs: some are left over in each case.
SETTINGS: dict[str, Row] = {
    "ppo": test_ppo.SETTINGS
    | {"episodes": 96, "minibatch_size": 8, "kl_target": 0.05, "kl_horizon": 2.0, "eval_every": 2},
    "sft": test_sft.SETTINGS | {"epochs": 2, "batch_size": 6, "micro_batch": 1},
    "dpo": test_dpo.SETTINGS | {"epochs": 1, "batch_size": 8},
    "kto": test_kto.SETTINGS | {"epochs": 1, "batch_size": 8},
    "distil": test_distil.SETTINGS | {"completions_per_prompt": 32, "epochs": 1},
    "instruction_tuning": test_instruction_tuning.SETTINGS | {"epochs": 1, "shown": 2},
    "rloo": test_rloo.SETTINGS | {"episodes": 64, "eval_every": 1},
    "grpo": test_rloo.SETTINGS | {"episodes": 64, "minibatch_size": 32, "eval_every": 1},  # its KL is that of steps
}


def prepared(prepare: Prepare, name: str, checkpoint: Path, reward_model: Path, count: int) -> dict[str, RunDir]:
    rows = {
        "ppo": prompt_rows(12, held_out=4),
        "rloo": prompt_rows(12, held_out=4),
        "grpo": prompt_rows(12, held_out=4),
        "distil": prompt_rows(12, held_out=4),
        "sft": test_sft.answer_rows(13, held_out=4),
        "dpo": preference_rows(8, held_out=3),
        "kto": ranking_rows(8, held_out=1),
        "instruction_tuning": test_instruction_tuning.rows(),
    }
    inputs = {"policy": str(checkpoint)}
    scored = inputs | {"reward_model": str(reward_model)}
    return {
        method: prepare(
            f"{name}-{method}",
            method,
            given | {"processes": count},
            scored if METHODS[method].data == "prompt-only" else inputs,
            rows[method],
        )
        for method, given in SETTINGS.items()
    }


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, reward_model: Path) -> dict[str, RunDir]:
    """The runs of one process, finished."""
    runs = prepared(preparing(tmp_path_factory.mktemp("alone")), "alone", checkpoint, reward_model, 1)
    for method in EQUAL:
        finish(runs[method])
    return runs


@pytest.mark.parametrize("count", [2, 4])
def test_results_are_as_of_one_process(
    prepare: Prepare, checkpoint: Path, reward_model: Path, tmp_path: Path, alone: dict[str, RunDir], count: int
):
    """All methods by four forked processes; by two that torch's launcher starts PPO and SFT, all of them at night."""
    together = prepared(prepare, "together", checkpoint, reward_model, count)
    if count == 2 and not NIGHTLY:
        together = {method: together[method] for method in ("ppo", "sft")}
    folder = tmp_path / "collectives"
    folder.mkdir()
    arguments = [folder, *(run.path for run in together.values())]
    if count == 2:
        launch(count, arguments)
    else:
        fork(count, arguments, tmp_path)
    check_collectives(folder, count)
    for method, run in together.items():
        if method in EQUAL:
            check_equal(alone[method], run)
        else:
            check_figures(run)


def launch(count: int, arguments: list[Path]) -> None:
    """Run several.py in processes that torch's launcher starts."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}"]
    done = subprocess.run(
        [*launcher, str(ROOT / "tests" / "recipes" / "several.py"), *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=900,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def fork(count: int, arguments: list[Path], logs: Path) -> None:
    """Run several.py in forked processes, told what torch's launcher tells them: five seconds less for each."""
    port = free_port()
    processes = []
    for rank in range(count):
        told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
        told |= {"RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": 1}
        with (logs / f"{rank}.log").open("wb") as log:
            processes.append(
                subprocess.Popen(
                    command("tests.recipes.several", *arguments),
                    cwd=ROOT,
                    env={**os.environ, **{name: str(value) for name, value in told.items()}},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
    try:
        ended = [process.wait(900) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert ended == [0] * count, (logs / "0.log").read_text()[-3000:]


def check_collectives(folder: Path, count: int) -> None:
    """Every process got the same from each: by hand from the numbers that the processes put in."""
    everyone = range(count)
    for rank in everyone:
        found = json.loads((folder / f"{rank}.json").read_text())
        assert (found["rank"], found["first"]) == (rank, rank == 0)
        assert found["numbers"] == list(range(3 * count))
        assert found["ragged"] == [
            [number if place <= number // 3 else 0 for place in everyone] for number in range(3 * count)
        ]
        assert found["objects"] == [{"rank": other} for other in everyone for _ in range(other)]
        assert found["sums"] == [count, sum(everyone)]
        assert found["gradient"] == [[sum(everyone)] * 2] * 2
        assert found["refusal"] == f"{count + 1} prompts per update cannot be shared evenly by {count} processes"
        assert found["waited"]


def check_equal(alone: RunDir, together: RunDir) -> None:
    """Weights, answers and figures of both runs agree up to the order in which numbers are added up."""
    expected, found = (test_ppo.without_times(run.metrics()) for run in (alone, together))
    assert len(found) == len(expected) > 0
    for one, two in zip(expected, found, strict=True):
        assert one.keys() == two.keys()
        compared = [name for name in one if name.startswith("ppo/") or name.endswith(("loss", "lr", "step"))]
        assert [two[name] for name in compared] == pytest.approx([one[name] for name in compared], abs=1e-3, rel=1e-3)
    ours, theirs = alone.result(), together.result()
    assert ours is not None
    assert theirs is not None
    assert theirs["selected"]["step"] == ours["selected"]["step"]
    assert theirs["kl"] == pytest.approx(ours["kl"], abs=1e-3)
    assert theirs["gate"] == ours["gate"]
    assert [row["after"] for row in together.samples()] == [row["after"] for row in alone.samples()]
    assert alone.checkpoint_path.exists() == together.checkpoint_path.exists()
    if alone.checkpoint_path.exists():
        weights = [load_file(run.checkpoint_path / "adapter_model.safetensors") for run in (alone, together)]
        for name, tensor in weights[0].items():
            torch.testing.assert_close(tensor, weights[1][name], atol=1e-3, rtol=1e-2)


def check_figures(run: RunDir) -> None:
    """TRL draws other answers in each process; the figures are those of all of them."""
    result = run.result()
    assert result is not None
    assert (result["episodes"], result["updates"]) == (64, 2)
    rows = list(run.metrics())
    assert [row["step"] for row in rows] == [1, 2]
    assert rows[0]["objective/kl"] == pytest.approx(0, abs=1e-3)
    assert not (run.path / "trl").exists()


@pytest.mark.parametrize(
    ("method", "given", "words"),
    [
        ("ppo", {"batch_size": 32, "minibatch_size": 32}, "the prompts of an update (8), not 3"),
        (
            "rloo",
            {"batch_size": 24, "minibatch_size": 8, "episodes": 24},
            "the episodes of an optimiser step (8), not 3",
        ),
    ],
)
def test_batches_that_the_processes_cannot_share_are_refused(method: str, given: Row, words: str):
    with pytest.raises(InvalidConfig, match="should divide") as refused:
        METHODS[method].config(**given, processes=3)
    assert words in str(refused.value)
