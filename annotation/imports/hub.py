"""Data sets of a Hugging Face hub, and folders that look like one: their files, one after the other."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from annotation.imports.refusals import UnreadableFile

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".jsonl.gz", ".json.gz", ".csv.gz", ".txt")
# What lies beside the data in such a folder and holds no rows.
BESIDE = {"dataset_info.json", "dataset_infos.json", "state.json", "dataset_dict.json", "data-card.json"}


def files_in(folder: Path) -> list[Path]:
    """The data files of a folder, by name."""
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name.endswith(SUFFIXES)
        and path.name not in BESIDE
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not found:
        raise UnreadableFile(f"There is no data file in {folder}. Known are {', '.join(SUFFIXES)}.")
    return found


@contextmanager
def downloaded(repo: str, *, endpoint: str | None = None, token: str | None = None) -> Iterator[Path]:
    """The data files of a data set of the hub, in a folder that goes afterwards."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise UnreadableFile("A data set of the hub needs huggingface_hub: pip install 'prefloop[hub]'.") from None
    with tempfile.TemporaryDirectory() as folder:
        try:
            snapshot_download(
                repo,
                repo_type="dataset",
                local_dir=folder,
                allow_patterns=[f"*{suffix}" for suffix in SUFFIXES],
                endpoint=endpoint,
                token=token or False,
            )
        except Exception as problem:  # which errors its HTTP library raises differs between versions
            raise UnreadableFile(f"The data set {repo} could not be fetched: {problem}") from problem
        yield Path(folder)
