"""A round as a folder that repeats it with another tool: its data, a script with its settings, and a README.

To add a tool: a module here with `TOOL`, one test file.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from annotation.errors import NotPossible
from training.ancestry import is_adapter
from training.archives import FileSource, chunks
from training.exports.readme import readme
from training.exports.stages import Tool, base_name, stages_of, start_of
from training.models import TrainingRound
from training.plugins import Registry
from training.reports.lineage import weights_of

Files = list[tuple[str, FileSource]]
TOOLS = Registry("training.exports", "TOOL", Tool, "prefloop.round_exports")


def files_of_round(round: TrainingRound, name: str) -> Files:
    """Return names and sources. Raises NotPossible where nothing of the round can be repeated with the tool."""
    tool = TOOLS[name]
    stages, left_out = stages_of(round, tool)
    start = start_of(round)
    adapted = is_adapter(start)
    if start.number and not adapted:
        left_out.append(
            f"the weights that the round began with: {start} is a whole model. Download it on the page Policies and "
            "name its folder as the base model"
        )
    base = base_name(round.project)
    found: Files = [(name, text) for name, text in tool.files(stages, base, str(start) if adapted else "").items()]
    for stage in stages:
        found += [(file, partial(stage.lines, split)) for split, file in stage.files.items()]
    if adapted:
        found += [(f"start/{name}", source) for name, source in weights_of(start, Path(start.checkpoint))]
    return [("README.md", readme(round, tool, stages, left_out, start)), *found]


def write_round(round: TrainingRound, name: str, folder: Path) -> None:
    """Write the files into a new or an empty folder. Raises NotPossible with the reason."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise NotPossible(f"{folder} is not empty: name a folder that is new.")
    for file_name, source in files_of_round(round, name):
        path = folder / file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.writelines(chunks(source))
        if path.suffix == ".sh":
            path.chmod(0o755)
