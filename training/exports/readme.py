"""What the README of an exported round says."""

from __future__ import annotations

from annotation.models import PolicyVersion
from training.exports.stages import ExportedStage, Tool, snapshot_facts
from training.models import TrainingRound


def readme(
    round: TrainingRound, tool: Tool, stages: list[ExportedStage], left_out: list[str], start: PolicyVersion
) -> str:
    project = round.project
    lines = [
        f"# {project}, {str(round).removeprefix(f'{project} ')}, for {tool.label}",
        "",
        f"Exported from Prefloop. The round began with {start}; the base model is `{project.base_model}`.",
        "",
        "## Run it",
        "",
        tool.how_to_run,
        "",
        "## Stages",
        "",
        "| stage | rows to train on | rows to measure on | data |",
        "|---|---|---|---|",
    ]
    lines += [_row(stage) for stage in stages]
    said = tool.differences(stages, str(start) if start.number else "")
    lines += ["", "## What is different from Prefloop", "", *(f"- {each}" for each in said)]
    if left_out:
        lines += ["", "## Left out", "", *(f"- {each}." for each in left_out)]
    if project.licence:
        lines += ["", f"Licence of the data: {project.licence}"]
    return "\n".join(lines) + "\n"


def _row(stage: ExportedStage) -> str:
    counts = [str(stage.count(split)) if split in stage.files else "–" for split in ("train", "eval")]
    facts = snapshot_facts(stage)
    data = f"snapshot {facts['number']}, SHA-256 `{facts['sha256']}`" if facts else "prompts"
    return f"| {stage.name} | {counts[0]} | {counts[1]} | {data} |"
