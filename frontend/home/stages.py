"""The pipeline of a project with live numbers, from its prompts to its policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext, ngettext

from annotation import stored
from annotation.actions import alarms, queue
from annotation.judged.rows import rankings_that_count, unary_that_count
from annotation.models import Completion, Membership, Project, Role
from frontend.home.next_step import ProjectState
from training.actions import autopilot
from training.models import Autopilot, TrainingRound, TrainingRun
from training.products.promotions import current_policy
from training.products.reward_model import reward_models


@dataclass(frozen=True)
class Stage:
    """`url` is empty where this person's role does not open the page."""

    label: str
    figure: str
    note: str
    url: str = ""


def stages(project: Project, membership: Membership, in_queue: dict[str, Any]) -> list[Stage]:
    """Return the stages of the pipeline in order; tasks stand between responses and annotations."""

    def page(name: str, role: Role, *arguments: Any) -> str:
        return reverse(name, args=[project.slug, *arguments]) if membership.may_act_as(role) else ""

    prompts = queue.counted(project.prompts.all())
    completions = queue.counted(Completion.objects.filter(project=project))
    is_admin = membership.may_act_as(Role.ADMIN)
    # The exact number grows by work and not by checks, which would tell who is checked.
    said = [rankings_that_count(project), unary_that_count(project)] if is_admin else []
    judgments = sum(queue.counted(each) for each in said) if is_admin else in_queue["done"]
    snapshot = project.snapshots.newest()
    reward = next(iter(reward_models(project)), None)
    accuracy = reward.result.get("accuracy") if reward else None  # none where no unseen pair could be asked
    current = current_policy(project) if project.policies.exists() else None
    versions = project.policies.count()
    seats = in_queue["done"] + in_queue["held"] + in_queue["empty"]
    return [
        Stage(
            gettext("Prompts"),
            queue.in_figures(prompts),
            gettext("in the data set") if prompts else gettext("none yet"),
            page("records", Role.REVIEWER, "prompts"),
        ),
        Stage(
            gettext("Responses"),
            queue.in_figures(completions),
            gettext("of models and people"),
            page("records", Role.REVIEWER, "responses"),
        ),
        Stage(
            gettext("Tasks"),
            queue.in_figures(in_queue["done"]),
            (gettext("of %(seats)s annotations done") if is_admin else gettext("of about %(seats)s annotations done"))
            % {"seats": f"{seats:,}"},
            page("records", Role.REVIEWER, "tasks"),
        ),
        Stage(
            gettext("Annotations"),
            queue.in_figures(judgments),
            gettext("valid annotations") if is_admin else gettext("submitted"),
            page("records", Role.REVIEWER, "annotations"),
        ),
        Stage(
            gettext("Snapshot"),
            str(snapshot.number) if snapshot else "–",
            f"{snapshot.rows:,} {gettext(snapshot.unit)}" if snapshot else gettext("no snapshot yet"),
            page("snapshots", Role.REVIEWER),
        ),
        Stage(
            gettext("Reward model"),
            "–" if accuracy is None else f"{accuracy:.0%}",
            gettext("accuracy on held-out pairs") if reward else gettext("none trained yet"),
            page("round", Role.REVIEWER, reward.round.number) if reward else page("rounds", Role.REVIEWER),
        ),
        Stage(
            gettext("Policy"),
            str(current) if current else "–",
            ngettext("active · %(versions)s version", "active · %(versions)s versions", versions)
            % {"versions": versions}
            if current
            else gettext("no policy version yet"),
            page("policies", Role.REVIEWER),
        ),
    ]


def project_state(project: Project, in_queue: dict[str, Any], newest: TrainingRound | None) -> ProjectState:
    """Return what `next_step` decides by."""
    pilot = Autopilot.objects.filter(project=project).first() or Autopilot(project=project)
    has_policy = project.policies.exists()
    current = current_policy(project) if has_policy else None
    proven = current is None or current.number == 0 or current.evaluations.exists() or current.opposed_in.exists()
    made_here = current is not None and TrainingRun.objects.succeeded().filter(policy=current).exists()
    return ProjectState(
        prompts=int(project.prompts.exists()),
        policies=int(has_policy),
        open_seats=in_queue["empty"] + in_queue["held"],
        judged=bool(in_queue["done"]),
        new_judgments=int(any(each.exists() for each in autopilot.new_judgments(pilot))),
        round_number=newest.number if newest else 0,
        round_status=newest.status if newest else "",
        round_reason=stored.translated(newest.reason) if newest else "",
        alarm=bool(alarms.open_alarm(project)),
        autopilot=pilot.enabled,
        unproven="" if proven or not made_here else str(current),
    )
