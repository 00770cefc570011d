"""How many annotations are still needed before the quality gate of a reward model can pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from django.utils.translation import gettext, ngettext

from annotation.models import Assignment, Project, Purpose, RankingMode, SeatStatus, Split
from annotation.models.task import COUNTED_OPEN
from annotation.quality.held_out import held_out
from training.methods import METHODS
from training.methods.gates import FEWEST_PAIRS, FEWEST_PROMPTS

REWARD_MODEL = "reward_model"  # the product whose gate counts held-out pairs


@dataclass(frozen=True)
class EnoughData:
    """Held-out pairs and prompts so far, and how many more annotations the gate needs.

    `annotations` is an estimate over all open tasks, of which only some are held out; `problem` says what else is
    missing where the open tasks cannot bring enough.
    """

    pairs: int
    prompts: int
    annotations: int
    problem: str = ""
    pairs_needed: int = FEWEST_PAIRS
    prompts_needed: int = FEWEST_PROMPTS

    @property
    def is_enough(self) -> bool:
        return self.pairs >= self.pairs_needed and self.prompts >= self.prompts_needed

    @property
    def percent(self) -> int:
        """Return how much of what the gate needs is there, for a meter."""
        return int(100 * min(1.0, self.pairs / self.pairs_needed, self.prompts / self.prompts_needed))

    @property
    def sentence(self) -> str:
        """Return the state in words."""
        if self.is_enough:
            return gettext("The quality gate has enough held-out data: %(pairs)s preference pairs.") % {
                "pairs": self.pairs
            }
        have = gettext(
            "The quality gate needs %(pairs_needed)s preference pairs on %(prompts_needed)s held-out prompts and has "
            "%(pairs)s on %(prompts)s"
        ) % {
            "pairs_needed": self.pairs_needed,
            "prompts_needed": self.prompts_needed,
            "pairs": self.pairs,
            "prompts": self.prompts,
        }
        if self.problem:
            return gettext("%(have)s. %(problem)s") % {"have": have, "problem": self.problem}
        return ngettext(
            "%(have)s: about %(annotations)s more annotation needed.",
            "%(have)s: about %(annotations)s more annotations needed.",
            self.annotations,
        ) % {"have": have, "annotations": self.annotations}


def enough_data(project: Project) -> EnoughData:
    """Return how far a project is from what the gate of a reward model needs, from its rankings, tasks and prompts."""
    found = held_out(project)
    lacking_pairs = max(FEWEST_PAIRS - found.pairs, 0)
    lacking_prompts = max(FEWEST_PROMPTS - found.prompts, 0)
    if not lacking_pairs and not lacking_prompts:
        return EnoughData(found.pairs, found.prompts, 0)
    each = found.pairs_of_a_ranking or pairs_of_settings(project)
    held_out_ones = max(ceil(lacking_pairs / max(each, 0.5)), lacking_prompts)
    waiting, waiting_held_out, waiting_prompts = _open(project)
    share = waiting_held_out / waiting if waiting_held_out else _share_of_prompts(project)
    annotations = ceil(held_out_ones / share) if share else 0
    problem = _problem(project, held_out_ones, lacking_prompts, waiting_held_out, waiting_prompts)
    if not problem:
        annotations = min(annotations, waiting)
    return EnoughData(found.pairs, found.prompts, annotations, problem)


def warning(project: Project, methods: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> str:
    """Return why a round would stop at the gate of its reward model for want of data; empty where it may pass."""
    stops = any(
        METHODS[method].makes == REWARD_MODEL and config.get("gate") == "stop"
        for method, config in zip(methods, configs, strict=True)
    )
    found = enough_data(project) if stops else None
    if found is None or found.is_enough:
        return ""
    return gettext("This round would stop at its quality gate for lack of data. %(sentence)s") % {
        "sentence": found.sentence
    }


def pairs_of_settings(project: Project) -> float:
    """Return the pairs that one ranking brings at most, as the project asks for it."""
    shown = project.candidates_per_task
    everything = shown * (shown - 1) / 2
    left = shown - project.top_k
    return {
        RankingMode.BEST.value: float(shown - 1),
        RankingMode.TOP_K.value: everything - max(left, 0) * max(left - 1, 0) / 2,
    }.get(project.ranking_form, everything)


def _open(project: Project) -> tuple[int, int, int]:
    """Return open assignments of ranking tasks, those on held-out prompts, and how many such prompts, up to a limit."""
    waiting = Assignment.objects.filter(
        project=project,
        status__in=[SeatStatus.EMPTY, SeatStatus.HELD],
        task__kind="ranking",
        task__purpose=Purpose.WORK,
    )
    rows = list(waiting.order_by().values_list("task__prompt__split", "task__prompt_id")[:COUNTED_OPEN])
    prompts = [prompt for split, prompt in rows if split == Split.EVAL]
    return len(rows), len(prompts), len(set(prompts))


def _share_of_prompts(project: Project) -> float:
    everything = project.prompts.count()
    return project.prompts.filter(split=Split.EVAL).count() / everything if everything else 0.0


def _problem(project: Project, needed: int, lacking_prompts: int, waiting: int, waiting_prompts: int) -> str:
    """Return what is missing where the open tasks cannot bring what is needed; empty where they can."""
    of_project = project.prompts.filter(split=Split.EVAL).count()
    if not of_project:
        return gettext("No prompt is held out yet: import prompts; about 20% of them are held out.")
    if of_project < FEWEST_PROMPTS:
        return ngettext(
            "Only %(count)s of the prompts is held out: import more prompts.",
            "Only %(count)s of the prompts are held out: import more prompts.",
            of_project,
        ) % {"count": of_project}
    if waiting < needed or waiting_prompts < lacking_prompts:
        return ngettext(
            "Only %(count)s open task is held out: generate more responses.",
            "Only %(count)s open tasks are held out: generate more responses.",
            waiting,
        ) % {"count": waiting}
    return ""
