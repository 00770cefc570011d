"""A round as a folder that repeats it with another tool: its data, a script with its settings, and a README."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from annotation.errors import NotPossible
from training.archives import Source, chunks
from training.exports import openrlhf, trl
from training.exports.readme import readme
from training.exports.stages import Stage, base_name, stages_of, start_of
from training.models import TrainingRound
from training.reports.lineage import is_adapter, weights_of

Files = list[tuple[str, Source]]
TOOLS: dict[str, Callable[[list[Stage], str, str], dict[str, str]]] = {"trl": trl.files, "openrlhf": openrlhf.files}
NAMES = {"trl": "TRL", "openrlhf": "OpenRLHF"}


def files_of_round(round: TrainingRound, tool: str) -> Files:
    """Names and sources. Raises NotPossible where nothing of the round can be repeated elsewhere."""
    stages, left_out = stages_of(round)
    if tool == "openrlhf":
        left_out += [f"{stage.name}: OpenRLHF has no program that only samples" for stage in stages if _samples(stage)]
        stages = [stage for stage in stages if not _samples(stage)]
        if not stages:
            raise NotPossible(f"Nothing of this round can be repeated with OpenRLHF: {'; '.join(left_out)}.")
    start = start_of(round)
    adapted = is_adapter(start)
    if start.number and not adapted:
        left_out.append(
            f"the weights that the round began with: {start} is a whole model. Download it on the page Policies and "
            "name its folder as the base model"
        )
    base = base_name(round.project)
    found: Files = [(name, text) for name, text in TOOLS[tool](stages, base, str(start) if adapted else "").items()]
    for stage in stages:
        found += [(file, partial(stage.lines, split)) for split, file in stage.files.items()]
    if adapted:
        found += [(f"start/{name}", source) for name, source in weights_of(start, Path(start.checkpoint))]
    return [("README.md", readme(round, NAMES[tool], stages, left_out, start)), *found]


def write_round(round: TrainingRound, tool: str, folder: Path) -> None:
    """Into a new or an empty folder. Raises NotPossible with the reason."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise NotPossible(f"{folder} is not empty: name a folder that is new.")
    for name, source in files_of_round(round, tool):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.writelines(chunks(source))
        if path.suffix == ".sh":
            path.chmod(0o755)


def _samples(stage: Stage) -> bool:
    return stage.method == "sample"
