"""A project's say in how conversations with its models are written. Nothing but the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OFF, HIDDEN, SHOWN = "off", "hidden", "shown"
THOUGHTS = {
    OFF: "The model answers without thinking: a thinking block that its template opens is closed at once",
    HIDDEN: "The model may think; people see and rank the answer only",
    SHOWN: "The model may think; its thoughts are part of the answer that people see and rank",
}
REFUSE, DROP_OLDEST = "refuse", "drop_oldest"
LONG_PROMPTS = {
    REFUSE: "Prompts that are too long are left out and counted",
    DROP_OLDEST: "Prompts that are too long lose their oldest turns, which is kept with the answers",
}


@dataclass(frozen=True)
class ChatSettings:
    """`template_kwargs` go to the chat template as they are; the others are keys of the tables above."""

    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    thoughts: str = OFF
    long_prompts: str = REFUSE

    @property
    def tools(self) -> list[Any]:
        """Return the tools that the model may call, which a server takes as a field of their own."""
        return list(self.template_kwargs.get("tools") or [])

    @property
    def other_kwargs(self) -> dict[str, Any]:
        """Return what else the chat template gets."""
        return {name: value for name, value in self.template_kwargs.items() if name != "tools"}

    @classmethod
    def of(cls, given: Mapping[str, Any] | None) -> ChatSettings:
        """Return the settings out of a run's inputs; what is missing has its default."""
        names = set(cls.__dataclass_fields__)
        return cls(**{name: value for name, value in (given or {}).items() if name in names})
