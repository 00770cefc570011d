"""What a module of this package says about its product: `PRODUCT`, an instance of a subclass of Product."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User

from annotation.models import Project
from training.methods import Method
from training.models import TrainingRun
from training.products.data import DATA, Data
from training.products.promotions import current_policy
from training.rundir import Row


@dataclass(frozen=True)
class Planned:
    """A run that may be queued. An empty `config` means the defaults; `with_inputs`, that further inputs are there."""

    project: Project
    method: Method
    config: Mapping[str, Any] = field(default_factory=dict)
    made_before: Sequence[str] = ()  # products of the runs before it in the round
    with_inputs: bool = False


@dataclass(frozen=True)
class Section:
    """A part of a round's page: the template that draws it, and what that finds as `shown`."""

    template: str
    shown: Any
    tab: str = "summary"  # of the page: summary, samples or slices


class Overtaken(Exception):
    """Somebody stored something meanwhile that what was computed does not know."""


@dataclass(frozen=True)
class ProductTable:
    """What `training/products/table.html` draws, for a product without a template of its own."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""


class Product:
    """What a run makes. The attributes tell how rounds treat it; the methods are what differs by product."""

    name: str  # what methods name in `makes`
    order: int = 1000  # place on a round's page
    shown_to_people: bool = False  # people judge it, so none is made while an alarm is open
    fills_queue: bool = False  # it is left out while the queue is full
    in_the_loop: bool = True  # its rounds learn from the judgments that the autopilot counts
    is_training: bool = False  # its time and memory are part of what a policy costs
    chance: float | None = None  # accuracy that guessing reaches, where the run's result has an accuracy
    needs_inputs: str = ""  # why the form cannot start it, for what needs more than settings

    def data(self, method: Method) -> Data:
        """Return the data that a method reads to make this."""
        return DATA[method.data]

    def refusal(self, planned: Planned) -> str:
        """Return why the run could not start, beside missing data; empty where it can."""
        return ""

    def learns_from_scores(self, method: Method) -> bool:
        """Return whether a reward model teaches the method."""
        return False

    def inputs_for(self, run: TrainingRun) -> dict[str, Any]:
        """Return what the recipe starts from, the `inputs` of config.json: folders of models, for the most part."""
        policy = current_policy(run.round.project_id)
        return {"policy": policy.checkpoint, "versions": {"policy": policy.number}}

    def rows_for(self, run: TrainingRun) -> Iterator[Row]:
        """Yield the rows of data.jsonl."""
        return self.data(run.spec).rows(run)

    def before_settling(self, run: TrainingRun, beat: Callable[[], None]) -> Any:
        """Compute what takes long, with nothing locked; `settle` finds it as `run.computed`.

        `beat` is to be called often: it gives a sign of life, so that no other worker takes the run.
        """
        return None

    def settle(self, run: TrainingRun) -> None:
        """Store what the run made. Called inside the transaction of its success.

        Raises Overtaken where what was computed is true no more: all is tried again.
        """

    def override_gate(self, run: TrainingRun, by: User) -> None:
        """Do what an admin's decision to go on past the closed gate of `run` means. Called inside a transaction."""

    def sections(self, project: Project, runs: Sequence[TrainingRun]) -> Iterator[Section]:
        """Yield what the tabs of a round's page show; `runs` are those of the round that make this."""
        yield from ()
