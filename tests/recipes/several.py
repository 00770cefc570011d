"""A program for several processes, as torch's launcher starts them: `several.py FOLDER RUN_DIR…`.

Calls every collective operation once and writes what each process got into FOLDER, then runs the recipes one after the
other: the libraries are then loaded once for all of them.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.recipes.conftest import execute_run
from training.recipes.process.distributed import Processes
from training.recipes.process.errors import RecipeError
from training.rundir import RunDir


def collectives(folder: Path) -> None:
    """Write what this process gets from each operation on numbers that tell the processes apart."""
    processes = Processes()
    rank, count = processes.rank, processes.count
    first, each = processes.share(3 * count)
    rows = torch.arange(first, first + each).float()
    # Rows as long as the process is far back in the row, and one number for each.
    ragged = rows[:, None].expand(each, rank + 1)
    sums, gradient = torch.tensor([1.0, rank]), torch.full((2, 2), float(rank))
    processes.add_up([sums, gradient])
    try:
        refusal = str(processes.share(count + 1))
    except RecipeError as problem:
        refusal = str(problem)
    if rank == count - 1:
        time.sleep(0.5)  # the others wait for the last one
        (folder / "last").touch()
    processes.wait()
    found = {
        "rank": rank,
        "first": processes.is_first,
        "numbers": processes.gather(rows).tolist(),
        "ragged": processes.gather(ragged).tolist(),
        "objects": processes.gather_objects([{"rank": rank}] * rank),
        "sums": sums.tolist(),
        "gradient": gradient.tolist(),
        "refusal": refusal,
        "waited": (folder / "last").exists(),
    }
    (folder / f"{rank}.json").write_text(json.dumps(found))


def main() -> None:
    torch.set_num_threads(1)
    folder, *runs = map(Path, sys.argv[1:])
    collectives(folder)
    for run in runs:
        execute_run(RunDir(run))
        Processes().wait()


if __name__ == "__main__":
    main()
