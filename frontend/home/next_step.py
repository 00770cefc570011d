"""What an admin would sensibly do next, as a pure function of what a project has."""

from __future__ import annotations

from dataclasses import dataclass


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
            "Next: import prompts", "From a file: one per line, or CSV, JSONL or Parquet.", "prompts", "Import prompts"
        )
    if not now.policies:
        return NextStep("Next: prepare the base model", "It becomes version 0 of the policy.", "model", "Prepare model")
    return None


def _of_the_round(now: ProjectState) -> NextStep | None:
    name = f"Round {now.round_number}"
    match now.round_status:
        case "queued" | "running":
            text = "People can go on annotating; new annotations belong to the next round."
            return NextStep(f"{name} is {now.round_status}", text, "round", "View round")
        case "paused":
            return NextStep(f"{name} is paused", now.round_reason, "round", "View round")
        case "stopped":
            return NextStep(f"{name} stopped at a quality gate", now.round_reason, "round", "Review gate", "warning")
        case "failed":
            return NextStep(f"{name} failed", now.round_reason, "round", "View error", "error")
    return None


def _of_the_queue(now: ProjectState) -> NextStep | None:
    if not now.open_seats and not now.judged:
        text = "The model responds to the prompts; its responses become tasks."
        return NextStep("Next: generate responses", text, "round_new", "Start a round")
    if not now.open_seats and now.new_judgments:
        text = "A round trains a reward model on the annotations, then the next policy, and generates new responses."
        if now.autopilot:
            text = "The autopilot starts the next round."
        return NextStep("All tasks completed", text, "round_new", "Start a round", "success")
    if now.unproven:
        text = "People compare its responses with those of the version it came from, blind."
        return NextStep(f"Next: evaluate {now.unproven}", text, "evaluations", "Start an evaluation")
    if not now.open_seats:
        return NextStep("No open tasks", "New responses become tasks.", "round_new", "Generate responses")
    return None
