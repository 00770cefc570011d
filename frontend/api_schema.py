"""What every operation of the API has in common, for its OpenAPI description."""

from __future__ import annotations

from drf_spectacular.openapi import AutoSchema

from annotation.authentication import scope_of


class Described(AutoSchema):
    def get_description(self) -> str:  # type: ignore[override]  # the stubs know the one of DRF itself
        scope = scope_of(self.view)
        text = str(super().get_description() or "")
        return f"{text}\n\nScope of a token: `{scope.value}`.".strip() if scope else text
