from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from whitenoise.storage import CompressedManifestStaticFilesStorage

from frontend.bundling import bundle


class HashedStaticFiles(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Files by hashed name, so that all of them may be cached for ever; each script with what it imports inside it."""

    def post_process(self, paths: dict[str, tuple[Any, str]], dry_run: bool = False, **options: Any) -> Iterator[Any]:
        def source(name: str) -> str:
            storage, path = paths[name]
            with storage.open(path) as file:
                return str(file.read().decode())

        for name in () if dry_run else paths:
            if name.startswith("scripts/") and name.endswith(".js"):
                with open(self.path(name), "w", encoding="utf-8") as file:
                    file.write(bundle(name, source))
        yield from super().post_process(paths, dry_run, **options)
