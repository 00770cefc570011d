"""What an admin would sensibly do next, as a pure function of what a project has."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext


@dataclass(frozen=True)
class ProjectState:
    """Counts of a project. `round_status` is of the newest round, empty where there was none."""

    prompts: int = 0
    policies: int = 0
    open_seats: int = 0  # empty or held
    judged: bool = False
    new_judgments: int = 0  # since the last training round
    round_number: int = 0
    round_status: str = ""
    round_reason: str = ""
    alarm: bool = False
    autopilot: bool = False
    unproven: str = ""  # the version in use, where people have never compared it with another one


@dataclass(frozen=True)
class NextStep:
    """The next thing to do; `page` names the URL of its button, `style` how urgent it is."""

    title: str
    text: str
    page: str
    button: str
    style: str = ""


def next_step(now: ProjectState) -> NextStep | None:
    """Return the first thing that keeps the pipeline from going on; None while people annotate."""
    return _missing(now) or _of_the_round(now) or _of_the_queue(now)


def _missing(now: ProjectState) -> NextStep | None:
    if not now.prompts:
        return NextStep(
            gettext("Next: import prompts"),
            gettext("From a file: one per line, or CSV, JSONL or Parquet."),
            "prompts",
            gettext("Import prompts"),
        )
    if not now.policies:
        return NextStep(
            gettext("Next: prepare the base model"),
            gettext("It becomes version 0 of the policy."),
            "model",
            gettext("Prepare model"),
        )
    return None


def _of_the_round(now: ProjectState) -> NextStep | None:
    name = gettext("Round %(round_number)s") % {"round_number": now.round_number}
    match now.round_status:
        case "queued" | "running":
            text = gettext("People can go on annotating; new annotations belong to the next round.")
            return NextStep(
                gettext("%(name)s is %(round_status)s") % {"name": name, "round_status": now.round_status},
                text,
                "round",
                gettext("View round"),
            )
        case "paused":
            return NextStep(
                gettext("%(name)s is paused") % {"name": name}, now.round_reason, "round", gettext("View round")
            )
        case "stopped":
            return NextStep(
                gettext("%(name)s stopped at a quality gate") % {"name": name},
                now.round_reason,
                "round",
                gettext("Review gate"),
                "warning",
            )
        case "failed":
            return NextStep(
                gettext("%(name)s failed") % {"name": name}, now.round_reason, "round", gettext("View error"), "error"
            )
    return None


def _of_the_queue(now: ProjectState) -> NextStep | None:
    if not now.open_seats and not now.judged:
        text = gettext("The model responds to the prompts; its responses become tasks.")
        return NextStep(gettext("Next: generate responses"), text, "round_new", gettext("Start a round"))
    if not now.open_seats and now.new_judgments:
        text = gettext(
            "A round trains a reward model on the annotations, then the next policy, and generates new responses."
        )
        if now.autopilot:
            text = gettext("The autopilot starts the next round.")
        return NextStep(gettext("All tasks completed"), text, "round_new", gettext("Start a round"), "success")
    if now.unproven:
        text = gettext("People compare its responses with those of the version it came from, blind.")
        return NextStep(
            gettext("Next: evaluate %(unproven)s") % {"unproven": now.unproven},
            text,
            "evaluations",
            gettext("Start an evaluation"),
        )
    if not now.open_seats:
        return NextStep(
            gettext("No open tasks"), gettext("New responses become tasks."), "round_new", gettext("Generate responses")
        )
    return None
