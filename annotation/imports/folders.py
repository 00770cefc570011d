"""The data files of a folder, and data sets of a Hugging Face hub as folders."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from annotation.imports.refusals import UnreadableFile

SUFFIXES = (
    *(".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet"),
    *(".jsonl.gz", ".ndjson.gz", ".json.gz", ".csv.gz", ".tsv.gz", ".parquet.gz"),
)
# Text files hold prompts only where nothing else in the folder does: they are mostly licences and notes.
TEXTS = (".txt", ".txt.gz")
# What lies beside the data in such a folder and holds no rows, by the name without its ending.
BESIDE = {
    *("license", "licence", "copying", "notice", "readme", "requirements", "changelog", "authors", "citation"),
    *("contributing", "dataset_info", "dataset_infos", "state", "dataset_dict", "data-card", "meta", "metadata"),
    *(
        "config",
        "settings",
        "package",
        "package-lock",
        "tokenizer",
        "tokenizer_config",
        "special_tokens_map",
        "croissant",
    ),
}


@dataclass(frozen=True)
class Folder:
    """The data files of a folder by name, and what in it is left alone."""

    files: list[Path]
    ignored: list[Path]


def look_into(folder: Path) -> Folder:
    """Return the data files below a folder; an UnreadableFile where there is none."""
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    data = [path for path in found if path.name.lower().endswith(SUFFIXES) and not _is_beside(path)]
    if not data:
        data = [path for path in found if path.name.lower().endswith(TEXTS) and not _is_beside(path)]
    if not data:
        raise UnreadableFile(f"There is no data file in {folder}. Known are {', '.join(SUFFIXES + TEXTS)}.")
    return Folder(data, [path for path in found if path not in data])


def is_data(name: str, suffixes: tuple[str, ...] = SUFFIXES) -> bool:
    """Return whether a file of this name in an archive or a folder holds rows."""
    path = Path(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return not hidden and name.lower().endswith(suffixes) and not _is_beside(path)


def _is_beside(path: Path) -> bool:
    return path.name.lower().split(".")[0] in BESIDE


@contextmanager
def downloaded(repo: str, *, endpoint: str | None = None, token: str | None = None) -> Iterator[Path]:
    """Yield a folder with the data files of a data set of the hub; it goes afterwards."""
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
                allow_patterns=[f"*{suffix}" for suffix in SUFFIXES + TEXTS],
                endpoint=endpoint,
                token=token or False,
            )
        except Exception as problem:  # which errors its HTTP library raises differs between versions
            raise UnreadableFile(f"The data set {repo} could not be fetched: {problem}") from problem
        yield Path(folder)
