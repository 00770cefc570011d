"""Does instruction tuning help with wordings, and with tasks, that were never trained on? (FLAN, 2109.01652)

    python benchmarks/instructions.py --model PATH [--held-out CLUSTERS] [--per-task 32] [--test-per-task 16]
                                      [--unseen-per-task 50] [--train lora|full] [--seed 0] [--out DIR]

Trains on the rule-made tasks and the seed tasks of all clusters but those held out, and asks before and after: other
examples of the trained tasks in a wording that training never showed, and the tasks of the held-out clusters. A run is
kept under --out and resumed. Prints one JSON line, and a table by cluster on stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from training.instructions.recast import TRAIN, UNSEEN_TASKS, UNSEEN_TEMPLATES, recast, seed_rows
from training.instructions.seeds import seed_tasks
from training.instructions.tasks import TASKS
from training.methods import InstructionTuningConfig
from training.rundir import Row, RunDir

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a prepared checkpoint")
    parser.add_argument("--held-out", default=InstructionTuningConfig().held_out)
    parser.add_argument("--per-task", type=int, default=32)
    parser.add_argument("--test-per-task", type=int, default=16, help="of trained tasks, in an unseen wording")
    parser.add_argument("--unseen-per-task", type=int, default=50, help="of tasks that are held out")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--train", choices=["lora", "full"], default="lora")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "instructions")
    options = parser.parse_args()
    settings = {
        "held_out": options.held_out,
        "epochs": options.epochs,
        "train": options.train,
        "seed": options.seed,
    }
    rows = rows_of(options, InstructionTuningConfig(**settings).clusters_held_out)
    result = run_recipe(options, settings, rows)
    print_table(result)
    trained = {row["task"] for row in rows if row["split"] == TRAIN and row["source"] == "rule"}
    print(
        json.dumps(
            {
                "benchmark": "instructions",
                "trained_tasks": sorted(trained),
                "unseen_tasks_are": sorted({row["task"] for row in rows if row["split"] == UNSEEN_TASKS}),
                "instructions": result["instructions"],
                **{split: result[split] for split in (UNSEEN_TEMPLATES, UNSEEN_TASKS)},
                "in_words": result["in_words"],
                **{name: result[name] for name in ("kl", "seconds", "seconds_by_stage", "peak_rss_mb")},
                **settings,
            }
        )
    )


def rows_of(options: argparse.Namespace, held_out: list[str]) -> list[Row]:
    """Held-out tasks are asked more often: they are few, and it is about them."""
    trained = [task for task in TASKS if task.cluster not in held_out]
    unseen = [task for task in TASKS if task.cluster in held_out]
    common = {"held_out": held_out, "per_task": options.per_task, "seed": options.seed}
    return [
        *recast(trained, **common, test_per_task=options.test_per_task),
        *recast(unseen, **common, test_per_task=options.unseen_per_task),
        *seed_rows(seed_tasks(), held_out),
    ]


def run_recipe(options: argparse.Namespace, settings: Row, rows: list[Row]) -> Row:
    run = RunDir(options.out / f"{options.train}-{options.seed}")
    if run.result() is None:
        config = {"method": "instruction_tuning", "settings": settings, "inputs": {"policy": options.model}}
        run.prepare(config=config, rows=rows)
        with run.log_path.open("ab") as log:
            command = [sys.executable, "-m", "training.recipes.instruction_tuning", str(run.path.resolve())]
            ended = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=False)
        if run.result() is None:
            raise SystemExit(f"The run ended with {ended.returncode}; see {run.log_path}\n{run.log_tail(1500)}")
    result = run.result()
    assert result is not None
    return result


def print_table(result: Row) -> None:
    say(f"{'cluster':<20}{'rows':>6}{'before':>8}{'after':>8}   {'difference':<26}mentioned before, after")
    for split in (UNSEEN_TEMPLATES, UNSEEN_TASKS):
        for line in [{"cluster": split.upper(), **result[split]}, *result[split]["clusters"]]:
            low, high = line["difference_ci95"]
            change = f"{line['difference']:+.3f} [{low:+.3f}, {high:+.3f}]"
            shares = [line[name] for name in ("before", "after", "mentioned_before", "mentioned_after")]
            before, after, *mentioned = (f"{value:.3f}" for value in shares)
            say(f"{line['cluster']:<20}{line['n']:>6}{before:>8}{after:>8}   {change:<26}{', '.join(mentioned)}")
    for said in result["in_words"]:
        say(said)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
