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
    """Return the first thing that keeps the circle from going on; None where people are simply at work."""
    return _missing(now) or _of_the_round(now) or _of_the_queue(now)


def _missing(now: ProjectState) -> NextStep | None:
    if not now.prompts:
        return NextStep(
            "Next: prompts", "Upload a file of them, one per line or as JSONL or CSV.", "prompts", "Upload prompts"
        )
    if not now.policies:
        return NextStep("Next: prepare the base model", "It becomes version 0 of the policy.", "model", "Prepare model")
    return None


def _of_the_round(now: ProjectState) -> NextStep | None:
    name = f"Round {now.round_number}"
    match now.round_status:
        case "queued" | "running":
            text = "People can go on annotating; what they judge now belongs to the next round."
            return NextStep(f"{name} is {now.round_status}", text, "round", "Watch it")
        case "paused":
            return NextStep(f"{name} is paused", now.round_reason, "round", "Look at it")
        case "stopped":
            return NextStep(
                f"{name} stopped at a gate", now.round_reason, "round", "Decide whether it goes on", "warning"
            )
        case "failed":
            return NextStep(f"{name} failed", now.round_reason, "round", "See why", "error")
    return None


def _of_the_queue(now: ProjectState) -> NextStep | None:
    if not now.open_seats and not now.judged:
        text = "The model answers the prompts, and its answers fill the queue."
        return NextStep("Next: answers to rank", text, "rounds", "Start a sampling round")
    if not now.open_seats and now.new_judgments:
        text = "The judgments train a reward model, PPO trains the next policy, and its answers fill the queue again."
        if now.autopilot:
            text = "The autopilot starts a round as soon as it has cause."
        return NextStep("The queue is done", text, "rounds", "Start a round", "success")
    if now.unproven:
        text = f"Only people can say whether {now.unproven} is better than what it came from."
        return NextStep(f"Next: proof of {now.unproven}", text, "evaluations", "Start an evaluation")
    if not now.open_seats:
        return NextStep(
            "The queue is empty", "New answers give people something to judge.", "rounds", "Sample new answers"
        )
    return None
