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

        scripts = [name for name in paths if name.startswith("scripts/") and name.endswith(".js") and not dry_run]
        for name in scripts:
            with open(self.path(name), "w", encoding="utf-8") as file:
                file.write(bundle(name, source))
        # What is hashed is read from where `paths` says: here, no longer from the sources.
        own = {name: (self, name) for name in scripts}
        yield from super().post_process({**paths, **own}, dry_run, **options)
