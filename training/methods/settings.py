"""What all methods' settings share: help texts, ranges and choices, checked on construction."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

GATES = ("stop", "report")  # what happens behind a gate that is closed: the round stops, or it only says so


def setting(default: Any, help: str, *, least: float | None = None, most: float | None = None) -> Any:
    return field(default=default, metadata={"help": help, "least": least, "most": most})


class InvalidConfig(ValueError):
    """A setting that makes no sense. `errors` maps field name to message."""

    def __init__(self, errors: dict[str, str]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{name}: {message}" for name, message in errors.items()))


@dataclass(frozen=True)
class MethodConfig:
    """What all methods share: types, ranges and choices are checked on construction."""

    choices: ClassVar[dict[str, tuple[str, ...]]] = {}  # settings that take one of a few words

    def __post_init__(self) -> None:
        errors = {}
        for setting in fields(self):
            value, wanted = getattr(self, setting.name), type(setting.default)
            if isinstance(value, int) and not isinstance(value, bool) and wanted is float:
                object.__setattr__(self, setting.name, value := float(value))
            if type(value) is not wanted:
                errors[setting.name] = f"should be {wanted.__name__}, not {value!r}"
                continue
            least, most = setting.metadata.get("least"), setting.metadata.get("most")
            if least is not None and not value >= least:
                errors[setting.name] = f"should be at least {least:g}, not {value}"
            elif most is not None and not value <= most:
                errors[setting.name] = f"should be at most {most:g}, not {value}"
            if setting.name in self.choices and value not in self.choices[setting.name]:
                errors[setting.name] = f"should be one of {', '.join(self.choices[setting.name])}, not {value!r}"
        if errors:
            raise InvalidConfig(errors)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
