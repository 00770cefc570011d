"""Where stages run: what a round asks for, what its project has set, and what the executor takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext

from annotation import audit
from annotation.errors import NotPossible
from annotation.models import AuditAction, Project
from training.executors import EXECUTORS, RESOURCES, Executor, configured_executor
from training.methods import METHODS
from training.models import StageCompute

ALL_STAGES = ""  # stands for the method where all stages are meant
ASKED = ("executor", *RESOURCES)
ComputeRequest = Mapping[str, Any]


def executor_named(name: str) -> Executor:
    """Return an executor; that of the settings where `name` is empty. Raises NotPossible with the known names."""
    if name and name not in EXECUTORS:
        raise NotPossible(
            gettext("There is no executor %(name)s; these are installed: %(known)s.")
            % {"name": name, "known": ", ".join(EXECUTORS)}
        )
    return EXECUTORS[name] if name else configured_executor()


def not_taken(executor: Executor, asked: ComputeRequest) -> list[str]:
    """Return the resources that are asked for and that the executor does not know."""
    return [name for name in RESOURCES if asked.get(name) and name not in executor.takes]


def refused_image(asked: ComputeRequest) -> str:
    """Return why a container image may not be used; empty where it may, or none is asked for."""
    image = asked.get("image") or ""
    if not image or image in settings.EXECUTOR_IMAGES:
        return ""
    return gettext("The image %(image)s is not among those that the server's operator allows: %(known)s.") % {
        "image": image,
        "known": ", ".join(settings.EXECUTOR_IMAGES) or gettext("none"),
    }


def resolved(
    method: str, *, of_project: Mapping[str, ComputeRequest], of_round: Mapping[str, ComputeRequest]
) -> tuple[str, dict[str, Any]]:
    """Return executor and resources of a stage: the round's wish before the project's, the stage's before all stages'.

    Resources belong to the executor that they were set with: where a stronger wish names another one, they go.
    """
    levels = [of_project.get(ALL_STAGES), of_project.get(method), of_round.get(ALL_STAGES), of_round.get(method)]
    executor: str = ""
    resources: dict[str, Any] = {}
    for level in levels:
        if not level:
            continue
        if level.get("executor") and level["executor"] != executor:
            executor, resources = level["executor"], {}
        resources |= {name: level[name] for name in RESOURCES if level.get(name) not in (None, "")}
    return executor, {name: value for name, value in resources.items() if value}


def placement(
    project: Project, method: str, config: Mapping[str, Any], of_round: Mapping[str, ComputeRequest]
) -> tuple[str, dict[str, Any]]:
    """Return executor and resources of a stage of a new round. Raises NotPossible where they do not fit together."""
    name, resources = resolved(method, of_project=rows_of(project), of_round=of_round)
    if not name and not resources:
        return "", {}
    executor = executor_named(name)
    if unknown := not_taken(executor, resources):
        raise NotPossible(
            gettext("%(stage)s: the executor %(executor)s does not take %(names)s.")
            % {"stage": method, "executor": executor.name, "names": ", ".join(unknown)}
        )
    if refused := refused_image(resources):
        raise NotPossible(f"{method}: {refused}")
    processes, gpus = int(config.get("processes", 1)), resources.get("gpus", 0)
    if gpus and gpus < processes:
        raise NotPossible(
            gettext("%(stage)s: %(processes)s processes need a GPU each, and %(gpus)s are asked for.")
            % {"stage": method, "processes": processes, "gpus": gpus}
        )
    return name, resources


def checked(of_round: Mapping[str, ComputeRequest]) -> dict[str, dict[str, Any]]:
    """Return what a round asks for, by method, each value as a number or a text as its field stores it.

    Raises NotPossible, which names the stage and the field.
    """
    converted: dict[str, dict[str, Any]] = {}
    for method, asked in of_round.items():
        stage = method or gettext("all stages")
        if method and method not in METHODS:
            raise NotPossible(
                gettext("There is no method %(name)s; there are %(known)s.")
                % {"name": method, "known": ", ".join(METHODS)}
            )
        if unknown := [name for name in asked if name not in ASKED]:
            raise NotPossible(
                gettext("Compute of %(stage)s: %(names)s is not known; there are %(known)s.")
                % {"stage": stage, "names": ", ".join(unknown), "known": ", ".join(ASKED)}
            )
        try:
            converted[method] = dict(_set_in(_row(method, asked)))
        except ValidationError as invalid:
            problems = "; ".join(f"{name}: {' '.join(said)}" for name, said in invalid.message_dict.items())
            raise NotPossible(
                gettext("Compute of %(stage)s: %(problems)s") % {"stage": stage, "problems": problems}
            ) from invalid
    return converted


def _row(method: str, asked: ComputeRequest) -> StageCompute:
    """Return an unsaved row whose values have the types of their fields. Raises ValidationError by field."""
    infinite = [name for name, value in asked.items() if isinstance(value, float) and not math.isfinite(value)]
    if infinite:  # 1e999 is such a number in JSON
        raise ValidationError({name: [gettext("Enter a number.")] for name in infinite})
    row = StageCompute(method=method, **asked)
    row.clean_fields(exclude=["project", "method", "id"])
    if row.memory_gb is not None and not math.isfinite(row.memory_gb):  # no comparison refuses "nan"
        raise ValidationError({"memory_gb": [gettext("Enter a number.")]})
    return row


def rows_of(project: Project) -> dict[str, dict[str, Any]]:
    """Return what a project has set, by method; only what is set."""
    return {row.method: dict(_set_in(row)) for row in project.compute.all()}


def _set_in(row: StageCompute) -> Iterator[tuple[str, Any]]:
    for name in ASKED:
        if (value := getattr(row, name)) not in (None, ""):
            yield name, value


def save_compute(*, rows: list[StageCompute], project: Project, by: User) -> None:
    """Store where stages of a project run; a row in which nothing is set is deleted."""
    with transaction.atomic():
        for row in rows:
            if dict(_set_in(row)):
                row.save()
            elif row.pk:
                row.delete()
        audit.record(AuditAction.COMPUTE, by=by, project=project, what=", ".join(row.method or "all" for row in rows))
