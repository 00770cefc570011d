"""A model's tokenizer without the model: by the tokenizers library, from the tokenizer.json beside the weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer

from annotation.models import PolicyVersion, Project


@dataclass(frozen=True)
class ModelTokenizer:
    inner: Tokenizer
    masked: bool  # whether its model fills blanks, or goes on with a text

    def encode(self, text: str) -> list[int]:
        """Return token ids without special tokens."""
        ids: list[int] = self.inner.encode(text, add_special_tokens=False).ids
        return ids

    @property
    def unknown(self) -> int | None:
        name = json.loads(self.inner.to_str())["model"].get("unk_token")
        found: int | None = self.inner.token_to_id(name) if name else None
        return found


def tokenizer_of(project: Project) -> ModelTokenizer | None:
    """Return the tokenizer of the project's base model; None where none is prepared or readable here."""
    base = PolicyVersion.objects.filter(project=project, number=0).first()
    if base is None:
        return None
    folder = Path(base.checkpoint)
    path = folder / "tokenizer.json"
    return _read(str(folder), path.stat().st_mtime) if path.exists() else None


@lru_cache(maxsize=4)
def _read(folder: str, changed_at: float) -> ModelTokenizer:
    config = Path(folder) / "config.json"
    architectures = json.loads(config.read_text("utf-8")).get("architectures") or [] if config.exists() else []
    return ModelTokenizer(
        Tokenizer.from_file(str(Path(folder) / "tokenizer.json")), "MaskedLM" in "".join(architectures)
    )
