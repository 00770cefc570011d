"""What the README of an exported round says."""

from __future__ import annotations

from annotation.models import PolicyVersion
from training.exports import openrlhf, trl
from training.exports.stages import Stage, snapshot_facts
from training.models import TrainingRound

HOW = {
    "TRL": """\
```
python3 -m venv .venv && .venv/bin/pip install -r requirements.txt
.venv/bin/python train.py --try     # two steps of each stage on a few rows
.venv/bin/python train.py
```

`train.py` reads the settings from `round.json`. Each stage goes on from what the one before it made, and leaves a whole
model in `out/<stage>/model`; `--only` repeats some of them, `--model` names another base model.""",
    "OpenRLHF": f"""\
On a machine with GPUs and OpenRLHF {openrlhf.VERSION}:

```
GPUS=1 ./run.sh
```

Each stage goes on from what the one before it made, and leaves its model in `out/<stage>`. `MODEL` names another base
model, `OUT` another folder, `MICRO` how many rows one card takes at a time. The options were checked against the
programs of that version; nothing of it was run on GPUs by whoever wrote this export.""",
}


def readme(round: TrainingRound, tool: str, stages: list[Stage], left_out: list[str], start: PolicyVersion) -> str:
    project = round.project
    lines = [
        f"# {project}, {str(round).removeprefix(f'{project} ')}, for {tool}",
        "",
        f"Exported from Prefloop. The round began with {start}; the base model is `{project.base_model}`.",
        "",
        "## Run it",
        "",
        HOW[tool],
        "",
        "## Stages",
        "",
        "| stage | rows to train on | rows to measure on | data |",
        "|---|---|---|---|",
    ]
    lines += [_row(stage) for stage in stages]
    said = (
        openrlhf.differences(stages)
        if tool == "OpenRLHF"
        else trl.differences(stages, str(start) if start.number else "")
    )
    lines += ["", "## What is different from Prefloop", "", *(f"- {each}" for each in said)]
    if left_out:
        lines += ["", "## Left out", "", *(f"- {each}." for each in left_out)]
    if project.licence:
        lines += ["", f"Licence of the data: {project.licence}"]
    return "\n".join(lines) + "\n"


def _row(stage: Stage) -> str:
    counts = [str(stage.count(split)) if split in stage.files else "–" for split in ("train", "eval")]
    facts = snapshot_facts(stage)
    data = f"snapshot {facts['number']}, SHA-256 `{facts['sha256']}`" if facts else "prompts"
    return f"| {stage.name} | {counts[0]} | {counts[1]} | {data} |"
