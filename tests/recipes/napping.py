"""A recipe that reports that it runs, and then takes its time: `python -m tests.recipes.napping RUN_DIR`."""

from __future__ import annotations

import time

from training.methods import SampleConfig
from training.recipes.process.errors import RecipeError
from training.recipes.process.run import run_recipe
from training.rundir import Row, RunDir


def recipe(run: RunDir, config: SampleConfig, inputs: Row) -> Row:
    run.report_progress(1, 2, "naps")
    if inputs.get("refuse"):
        raise RecipeError("not today")
    time.sleep(60)
    return {}


if __name__ == "__main__":
    run_recipe(recipe, SampleConfig)
