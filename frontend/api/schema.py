"""What every operation of the API has in common, for its OpenAPI description."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema

from annotation.api.authentication import scope_of

REFUSALS = {
    "400": ("What is wrong with the request, by field.", "Errors"),
    "401": ("Not signed in, or the token is not valid.", "Refusal"),
    "403": ("The role in the project does not permit this, or the token lacks the scope.", "Refusal"),
    "404": ("Not found, or not visible to the caller.", "Refusal"),
    "409": ("Not possible in the current state; the detail gives the reason.", "Refusal"),
    "415": ("Unsupported media type of the body.", "Refusal"),
}
SCHEMAS = {
    "Refusal": {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]},
    "Errors": {
        "type": "object",
        "description": "Messages by field, in an object of their own called errors where a form found them; or detail.",
        "additionalProperties": {},
    },
}


class Described(AutoSchema):
    def get_description(self) -> str:  # type: ignore[override]  # the stubs know the one of DRF itself
        scope = scope_of(self.view)
        text = str(super().get_description() or "")
        return f"{text}\n\nScope of a token: `{scope.value}`.".strip() if scope else text

    def map_parsers(self) -> list[str]:
        """Return the media types to document; forms are accepted for curl's sake, but their types are less exact."""
        return ["application/json"]


def with_refusals(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Add the responses of refusals to every operation."""
    result["components"]["schemas"] |= SCHEMAS
    for operations in result["paths"].values():
        for method, operation in operations.items():
            asks = any(each["in"] == "query" for each in operation.get("parameters", []))
            codes = {"401", "403", "404"}
            if method != "get":
                codes |= {"400", "409", "415"}
            elif asks:
                codes |= {"400"}
            for code in sorted(codes):
                description, schema = REFUSALS[code]
                content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
                operation["responses"].setdefault(code, {"description": description, "content": content})
    return result
