"""What all methods' settings share: help texts, ranges and choices, checked on construction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from training.phrases import Phrase, in_language, phrase

GATES = ("stop", "report")  # what happens behind a gate that is closed: the round stops, or it only says so


def setting(
    default: Any,
    help: str,
    *,
    least: float | None = None,
    most: float | None = None,
    inherits: str = "",
    label: str = "",
    unit: str = "",
) -> Any:
    """Return a field of a method's dataclass; `inherits` names the project's setting whose value it has where unset.

    A number has a range, so that no round asks for more than a machine can do. Raises TypeError for one without.
    `label` and `unit` are for methods of other packages; those of this one stand in `training.methods.labels`.
    """
    if is_number(default) and (least is None or most is None):
        raise TypeError(f"A setting that is a number needs `least` and `most`; this one does not: {help}")
    about = {"help": help, "least": least, "most": most, "inherits": inherits, "label": label, "unit": unit}
    return field(default=default, metadata=about)


def is_number(value: Any) -> bool:
    """Return whether the value is a number; yes and no are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class InvalidConfig(ValueError):
    """A setting that makes no sense. `errors` maps field name to message."""

    def __init__(self, errors: dict[str, str]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{name}: {message}" for name, message in errors.items()))

    def errors_in(self, translate: Callable[[str], str]) -> dict[str, str]:
        """Return the errors in another language; `translate` translates one text, such as Django's gettext."""
        return {name: in_language(message, translate) for name, message in self.errors.items()}


@dataclass(frozen=True)
class MethodConfig:
    """What all methods share: types, ranges and choices are checked on construction."""

    choices: ClassVar[dict[str, tuple[str, ...]]] = {}  # settings that take one of a few words

    def __post_init__(self) -> None:
        errors: dict[str, str] = {}
        for setting in fields(self):
            value, wanted = getattr(self, setting.name), type(setting.default)
            if isinstance(value, int) and not isinstance(value, bool) and wanted is float:
                object.__setattr__(self, setting.name, value := float(value))
            if type(value) is not wanted:
                errors[setting.name] = phrase(
                    "should be %(type)s, not %(value)s", type=wanted.__name__, value=repr(value)
                )
                continue
            least, most = setting.metadata.get("least"), setting.metadata.get("most")
            if least is not None and not value >= least:
                errors[setting.name] = phrase(
                    "should be at least %(least)s, not %(value)s", least=format(least, "g"), value=value
                )
            elif most is not None and not value <= most:
                errors[setting.name] = phrase(
                    "should be at most %(most)s, not %(value)s", most=format(most, "g"), value=value
                )
            if setting.name in self.choices and value not in self.choices[setting.name]:
                words = ", ".join(self.choices[setting.name])
                errors[setting.name] = phrase(
                    "should be one of %(words)s, not %(value)s", words=words, value=repr(value)
                )
        if errors:
            raise InvalidConfig(errors)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def without_effect(self) -> Iterator[tuple[str, str]]:
        """Yield the settings that would do nothing beside the others: their name, and why with what to do.

        Only those that differ from their default count: `check_effective` refuses them.
        """
        yield from ()

    def needed_heads(self) -> dict[str, int]:
        """Return how many heads, the judge among them, a reward model must have for a setting to have an effect."""
        return {}


def idle(names: str, why: Phrase) -> Iterator[tuple[str, str]]:
    """Yield settings, separated by spaces, that all do nothing for the same reason."""
    for name in names.split():
        yield name, why


def idle_settings(config: MethodConfig) -> dict[str, str]:
    """Return the settings that differ from their default and would do nothing beside the others, each with why."""
    defaults = {each.name: each.default for each in fields(config)}
    return {name: why for name, why in config.without_effect() if getattr(config, name) != defaults[name]}


def check_effective(*configs: MethodConfig) -> None:
    """Raise InvalidConfig for settings that would do nothing in any of the runs that share them.

    Only of new runs: the settings of earlier ones stay readable.
    """
    found = [idle_settings(config) for config in configs]
    if errors := {name: why for name, why in found[0].items() if all(name in other for other in found)}:
        raise InvalidConfig(errors)
