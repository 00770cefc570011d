"""JSON as the API takes it: without what no text needs and a database refuses."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from annotation.characters import cleaned


class CleanedJSON(JSONParser):
    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            return cleaned(super().parse(stream, media_type, parser_context))
        except RecursionError:
            raise ParseError("The JSON is nested too deeply.") from None
