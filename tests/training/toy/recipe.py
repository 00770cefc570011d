"""A recipe as an installed package would bring it: `python -m prefloop_toy.recipe RUN_DIR`."""

from __future__ import annotations

import sys

from prefloop_toy.method import CountWordsConfig

from training.rundir import RunDir

run = RunDir(sys.argv[1])
config = CountWordsConfig(**run.config()["settings"])
separator = run.config()["inputs"]["separator"]
for row in run.rows():
    words = len(row["messages"][-1]["content"].split(separator))
    if words >= config.least:
        run.log_sample({"prompt_id": row["prompt_id"], "words": words})
        run.log_metrics(row["prompt_id"], words=words)
run.finish({"seconds": 0.5})
