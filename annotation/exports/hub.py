"""A snapshot as a data set on a Hugging Face hub: its rows by split, its data card, and a README that names both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotation.exports.files import DownloadOptions, UnsupportedFormat, rendered
from annotation.models import DatasetSnapshot


class NotPushed(RuntimeError):
    """Raised where the hub refuses an upload; the message gives the reason."""


def push(
    snapshot: DatasetSnapshot,
    card: dict[str, Any],
    *,
    rows: str,
    repo: str,
    token: str,
    endpoint: str | None = None,
    private: bool = True,
) -> str:
    """Upload a snapshot and return the address of the commit; the repository is created where it is missing."""
    try:
        from huggingface_hub import CommitOperationAdd, HfApi
    except ImportError:
        raise NotPushed("Pushing needs huggingface_hub: pip install 'prefloop[hub]'.") from None
    if not token:
        raise NotPushed("Pushing needs a token that may write: set HF_TOKEN.")
    paths = dict(_files(snapshot, rows))
    content: list[tuple[str, Path | bytes]] = [
        *paths.items(),
        ("data-card.json", json.dumps(card, indent=2, sort_keys=True).encode()),
        ("README.md", readme(card, rows, list(paths)).encode()),
    ]
    api = HfApi(endpoint=endpoint, token=token)
    try:
        api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        commit = api.create_commit(
            repo,
            [CommitOperationAdd(path_in_repo=name, path_or_fileobj=data) for name, data in content],
            commit_message=f"Snapshot {snapshot.number} of {snapshot.project.slug}, sha256 {snapshot.sha256[:12]}",
            repo_type="dataset",
        )
    except Exception as problem:  # which errors its HTTP library raises differs between versions
        raise NotPushed(f"The hub refused: {problem}") from problem
    return str(commit.commit_url)


def readme(card: dict[str, Any], rows: str, paths: list[str]) -> str:
    """Return the README: YAML that maps files to splits, followed by the data card."""
    splits = "".join(f'  - split: {Path(path).stem}\n    path: "{path}"\n' for path in paths)
    licence = f"license_name: {json.dumps(card['licence'])}\n" if card.get("licence") else ""
    agreement = card.get("agreement", {}).get("share")
    machine = card.get("machine", {}).get("share") or 0.0
    lines = [
        f"# {card['project']}, snapshot {card['number']}",
        f"{card['rows']} {card['unit']} as `{rows}`, from annotations until {card['cutoff']}.",
        f"- SHA-256 of the snapshot: `{card['sha256']}`",
        f"- Licence: {card.get('licence') or 'not set'}",
        f"- Guidelines: version `{card.get('guideline_version', '')}`",
        f"- People: {len(card.get('people', {}))}, by number in `data-card.json`",
        f"- Machine-made: {machine:.1%} of the judgments",
        f"- Agreement of two people over the same two answers: {'–' if agreement is None else f'{agreement:.1%}'}",
    ]
    return f"---\n{licence}configs:\n- config_name: default\n  data_files:\n{splits}---\n" + "\n".join(lines) + "\n"


def _files(snapshot: DatasetSnapshot, rows: str) -> Iterator[tuple[str, Path]]:
    """Yield a file for each split with rows; eval is named test on the hub."""
    found = False
    for split, name in (("train", "train"), ("eval", "test")):
        path = rendered(snapshot, DownloadOptions(rows, split=split))
        if path.stat().st_size:
            found = True
            yield f"data/{name}.jsonl", path
    if not found:
        raise UnsupportedFormat("The snapshot has no rows in this format.")
