"""What a module of this package says about its method: `METHOD`, an instance of Method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from training.methods.load import (
    AnswersDrawn,
    Draws,
    Learns,
    answers_of_evaluations,
    draws_for_evaluation,
    learns_nothing,
)
from training.methods.settings import MethodConfig

Work = Callable[[Mapping[str, Any], int], float]


@dataclass(frozen=True)
class Plan:
    """Methods that a round runs one after the other, offered when one is started; `order` is its place in the list.

    The form has the `common` plans as cards at the top and the others below *More plans*.
    """

    methods: str  # separated by commas
    label: str
    order: int
    does: str = ""
    needs: str = ""
    costs: str = ""
    common: bool = False


def passes_over_rows(config: Mapping[str, Any], rows: int) -> float:
    """Return rows times epochs: the work of a method that reads its rows once an epoch."""
    return float(rows * config.get("epochs", 1))


def tokens_of_episodes(config: Mapping[str, Any], rows: int) -> float:
    """Return the tokens of all episodes: drawn once, and learned from in each pass over an update."""
    return float(config["episodes"] * config["max_new_tokens"] * (1 + config["passes"]))


@dataclass(frozen=True)
class Method:
    """What a method is called, what it takes, what it makes, and what forms, forecasts and pages ask about it."""

    name: str  # in URLs, JSON and the database
    label: str
    config: type[MethodConfig]
    recipe: str  # a module under training.recipes, or the whole name of one elsewhere
    data: str  # the rows of data.jsonl: a key of training.products.data.DATA
    makes: str  # a key of training.products.PRODUCTS
    order: int = 1000  # place in lists of methods
    work: Work = passes_over_rows  # what its time grows with, from its settings and its number of rows
    answers: AnswersDrawn = answers_of_evaluations  # how many a run draws in all
    draws: Draws = draws_for_evaluation  # answers that are in memory at once
    learns: Learns = learns_nothing  # rows that are in memory at once for an optimiser step
    uses_trl: bool = False  # its trainer is TRL's, which is in memory then
    keeps_copy: bool = False  # while all weights learn, those from before the last update are kept too
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by name of a preset
    plans: tuple[Plan, ...] = ()
    shows_tokens: bool = False  # it learns from texts that the page of exact tokens can show
    settings_page: tuple[str, str] | None = None  # name of a URL beside its settings, and the text of the link


def unknown(name: str) -> Method:
    """Return a stand-in for the method of an old run whose package is not installed any more."""
    return Method(name, name, MethodConfig, recipe="", data="", makes="")


def module_of(recipe: str) -> str:
    """Return the module that `python -m` runs for a recipe."""
    return recipe if "." in recipe else f"training.recipes.{recipe}"
