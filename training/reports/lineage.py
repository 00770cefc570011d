"""Where a version comes from: its run, the data behind it, its family; and its model card, made of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annotation.models import DatasetSnapshot, PolicyVersion, Project
from annotation.quality.comparisons import Rung
from training.ancestry import ancestors, hub_name
from training.archives import FileSource
from training.models import RunStatus, TrainingRun

NOT_SENT = {"value_head.safetensors", "README.md"}  # the one is of use for PPO alone; of the other we send our own


@dataclass
class Branch:
    """A version with what was made from it."""

    policy: PolicyVersion
    run: TrainingRun | None
    rung: Rung | None = None
    children: list[Branch] = field(default_factory=list)


def family(project: Project, rungs: Iterable[Rung] = ()) -> Branch | None:
    """Return the tree of versions from version 0 on; None where there is no version yet."""
    policies = list(project.policies.order_by("number").select_related("made_by__round"))
    elo = {rung.name: rung for rung in rungs}
    branches = {
        policy.pk: Branch(policy, getattr(policy, "made_by", None), elo.get(str(policy))) for policy in policies
    }
    for policy in policies[1:]:
        assert policy.parent_id is not None  # only v0 has none
        branches[policy.parent_id].children.append(branches[policy.pk])
    return branches[policies[0].pk] if policies else None


def snapshots_behind(policy: PolicyVersion) -> list[DatasetSnapshot]:
    """Return the snapshots its round had used when it was made, newest first; not those of its ancestors."""
    run = made_by(policy)
    if run is None:
        return []
    before = run.round.runs.filter(position__lte=run.position, status=RunStatus.SUCCEEDED, snapshot__isnull=False)
    found = {other.snapshot_id: other.snapshot for other in before.select_related("snapshot", "snapshot__project")}
    return sorted((each for each in found.values() if each), key=lambda each: each.number, reverse=True)


def made_by(policy: PolicyVersion) -> TrainingRun | None:
    return TrainingRun.objects.filter(policy=policy).select_related("round__project", "snapshot").first()


def files_of(policy: PolicyVersion, folder: Path) -> list[tuple[str, FileSource]]:
    """Return the names and sources of the files to download: the model card and the model's files."""
    prefix = f"{policy.project.slug}-{policy}"
    card: list[tuple[str, FileSource]] = [(f"{prefix}/README.md", model_card(policy))]
    return card + [(f"{prefix}/{name}", source) for name, source in weights_of(policy, folder)]


def weights_of(policy: PolicyVersion, folder: Path) -> list[tuple[str, FileSource]]:
    """Return names and sources of the model's files, with the base model by its id on the hub."""
    found: list[tuple[str, FileSource]] = []
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.name in NOT_SENT:
            continue
        if path.name == "adapter_config.json":
            # It names the base by its path on this machine, which means nothing on another.
            config = json.loads(path.read_text("utf-8")) | {"base_model_name_or_path": hub_name(policy)}
            found.append((path.name, json.dumps(config, indent=2)))
        else:
            found.append((path.name, path))
    return found


def model_card(policy: PolicyVersion) -> str:
    """Return the model card: Markdown with the front matter that a model hub reads."""
    project, run = policy.project, made_by(policy)
    result = run.result if run else {}
    front = ["---", f"base_model: {json.dumps(hub_name(policy))}", "library_name: transformers"]
    if project.licence:
        front += ["license: other", f"license_name: {json.dumps(project.licence)}"]
    lines = [*front, "tags:", "- rlhf", "---", f"# {project}, {policy}", ""]
    if run is None:
        lines.append(f"The base model, `{project.base_model}`, as it was prepared.")
    else:
        line = " from ".join(str(each) for each in ancestors(policy))
        lines.append(f"Made by {run.label} in {run.round} of the project {project}: {line}, the base model being")
        lines.append(f"`{project.base_model}`.")
    lines += ["", "## Measured", *(_measured(result) or ["Nothing was measured."])]
    lines += ["", "## Data", *(_data(snapshots_behind(policy)) or ["None: it was trained on nobody's judgments."])]
    if project.licence:
        lines.append(f"- Licence of the data: {project.licence}")
    if run is not None:
        lines += ["", "## Settings", "```json", json.dumps(run.config, indent=2), "```"]
    return "\n".join(lines) + "\n"


MEASURED = {
    "score_before": "Reward model's score before, on held-out prompts",
    "score_after": "Reward model's score after",
    "judge_before": "Held-out judge's score before",
    "judge_after": "Held-out judge's score after",
    "kl": "KL to the base model, nats per response",
    "episodes": "Episodes",
}


def _measured(result: dict[str, Any]) -> list[str]:
    return [f"- {label}: {result[name]}" for name, label in MEASURED.items() if result.get(name) is not None]


def _data(snapshots: Sequence[DatasetSnapshot]) -> list[str]:
    return [
        f"- Snapshot {each.number}: {each.rows} {each.unit} until {each.cutoff:%Y-%m-%d %H:%M} UTC, "
        f"SHA-256 `{each.sha256}`"
        for each in snapshots
    ]
