"""The steps from a new project to its first trained policy, for its admins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop, ngettext

from annotation.actions import queue
from annotation.models import Project, Split
from training.models import Preparation, PreparationStatus, TrainingRound
from training.reports.enough_data import EnoughData, enough_data


class StepState(StrEnum):
    """LATER: something that comes before it is missing."""

    DONE = gettext_noop("done")
    DOING = gettext_noop("doing")
    TO_DO = gettext_noop("to do")
    LATER = gettext_noop("later")


@dataclass(frozen=True)
class Step:
    """One line of the checklist. `url` is where it is done; `posts` says that its button sends a form there."""

    title: str
    text: str
    state: StepState
    url: str
    button: str
    posts: bool = False
    percent: int | None = None  # of a meter; None for none
    is_problem: bool = False
    is_next: bool = False


@dataclass(frozen=True)
class Checklist:
    steps: list[Step]

    @property
    def done(self) -> int:
        return sum(step.state == StepState.DONE for step in self.steps)


def checklist(project: Project, in_queue: dict[str, Any], newest: TrainingRound | None) -> Checklist | None:
    """Return the checklist; None once a policy was trained, or where the project is closed."""
    if project.closed_at or project.policies.filter(number__gt=0).exists():
        return None
    steps = list(_steps(project, in_queue, newest))
    first = next((place for place, step in enumerate(steps) if step.state == StepState.TO_DO), None)
    return Checklist([replace(step, is_next=place == first) for place, step in enumerate(steps)])


def _steps(project: Project, in_queue: dict[str, Any], newest: TrainingRound | None) -> Iterator[Step]:
    prompts = queue.counted(project.prompts.all())
    has_model = project.policies.exists()
    has_tasks = bool(in_queue["done"] or in_queue["held"] or in_queue["empty"])
    is_active = bool(newest and newest.is_active)
    yield _prompts(project, prompts)
    yield _model(project, has_model)
    yield _people(project)
    yield _responses(project, bool(prompts and has_model), has_tasks, is_active)
    data = enough_data(project)
    yield _annotations(project, data, in_queue)
    yield _training(project, data, is_active and has_tasks)


def _page(name: str, project: Project) -> str:
    return reverse(name, args=[project.slug])


def _prompts(project: Project, prompts: int) -> Step:
    text = gettext("A file with one prompt per line, or CSV, JSONL or Parquet. You can review it before importing.")
    if prompts:
        held_out = queue.counted(project.prompts.filter(split=Split.EVAL))
        text = ngettext(
            "%(prompts)s prompt, of which %(held_out)s are held out.",
            "%(prompts)s prompts, of which %(held_out)s are held out.",
            prompts,
        ) % {"prompts": queue.in_figures(prompts), "held_out": queue.in_figures(held_out)}
    return Step(
        gettext("Import prompts"),
        text,
        StepState.DONE if prompts else StepState.TO_DO,
        _page("prompts", project),
        gettext("Import prompts"),
    )


def _model(project: Project, has_model: bool) -> Step:
    title, url = gettext("Prepare the base model"), _page("model", project)
    if has_model:
        return Step(
            title,
            gettext("%(base_model)s is v0.") % {"base_model": project.base_model},
            StepState.DONE,
            url,
            gettext("View model"),
        )
    preparation = Preparation.objects.filter(project=project).first()
    if preparation is None:
        return Step(
            title,
            gettext("%(base_model)s becomes v0.") % {"base_model": project.base_model},
            StepState.TO_DO,
            url,
            gettext("Prepare model"),
            posts=True,
        )
    if preparation.status == PreparationStatus.FAILED:
        return Step(title, preparation.error, StepState.TO_DO, url, gettext("View error"), is_problem=True)
    text = preparation.phase or gettext("Waiting for a worker")
    return Step(title, f"{text}.", StepState.DOING, url, gettext("View progress"), percent=preparation.percent)


def _people(project: Project) -> Step:
    members, pending = project.memberships.count(), project.invitations.open(timezone.now()).count()
    text = gettext("Annotators, by link or mail. You can also annotate alone.")
    if members > 1 or pending:
        text = ngettext("%(members)s member", "%(members)s members", members) % {"members": members}
        if pending:
            invited = ngettext("%(pending)s pending invitation", "%(pending)s pending invitations", pending)
            text = gettext("%(members)s, %(invited)s") % {"members": text, "invited": invited % {"pending": pending}}
        text = gettext("%(sentence)s.") % {"sentence": text}
    state = StepState.DONE if members > 1 or pending else StepState.TO_DO
    return Step(gettext("Invite people"), text, state, _page("invitations", project), gettext("Invite people"))


def _responses(project: Project, is_possible: bool, has_tasks: bool, is_active: bool) -> Step:
    title, url = gettext("Generate responses"), _page("rounds", project)
    text = gettext("The base model responds to every prompt; the responses become tasks.")
    if has_tasks:
        return Step(title, gettext("There are tasks."), StepState.DONE, url, gettext("View rounds"))
    if is_active:
        return Step(title, gettext("The round is under way."), StepState.DOING, url, gettext("View rounds"))
    if not is_possible:
        return Step(
            title,
            gettext("%(text)s It needs prompts and the model.") % {"text": text},
            StepState.LATER,
            url,
            gettext("View rounds"),
        )
    return Step(title, text, StepState.TO_DO, _page("generate", project), gettext("Generate responses"), posts=True)


def _annotations(project: Project, data: EnoughData, in_queue: dict[str, Any]) -> Step:
    title, url = gettext("Annotate"), _page("annotate", project)
    if data.is_enough:
        return Step(title, data.sentence, StepState.DONE, url, gettext("Start annotating"), posts=True, percent=100)
    if not in_queue["empty"] and not in_queue["held"]:
        return Step(
            title, data.sentence, StepState.LATER, url, gettext("Start annotating"), posts=True, percent=data.percent
        )
    return Step(
        title, data.sentence, StepState.TO_DO, url, gettext("Start annotating"), posts=True, percent=data.percent
    )


def _training(project: Project, data: EnoughData, is_active: bool) -> Step:
    title, url = gettext("Train the first policy"), _page("rounds", project)
    text = gettext("A round trains a reward model on the annotations, then the policy, and generates new responses.")
    if is_active:
        return Step(title, gettext("The round is under way."), StepState.DOING, url, gettext("View rounds"))
    state = StepState.TO_DO if data.is_enough else StepState.LATER
    return Step(title, text, state, _page("round_new", project), gettext("Start a round"))
