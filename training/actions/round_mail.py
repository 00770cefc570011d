"""Subject and body of the mail about a round that ended or that waits at a gate."""

from __future__ import annotations

from django.conf import settings

from training.models import RoundStatus, RunStatus, TrainingRound

HEADLINES = {
    "accuracy": "accuracy on held-out pairs",
    "score_before": "reward before",
    "score_after": "reward after",
    "kl": "KL to the base model, nats per response",
    "completions": "answers",
}


def subject_of(round: TrainingRound) -> str:
    what = {
        RoundStatus.SUCCEEDED: "succeeded",
        RoundStatus.FAILED: "failed",
        RoundStatus.CANCELLED: "was cancelled",
        RoundStatus.STOPPED: "stopped at a quality gate and waits for your decision",
    }
    return f"[{round.project}] Round {round.number} {what[RoundStatus(round.status)]}"


def body_of(round: TrainingRound) -> str:
    lines = [f"{subject_of(round).partition('] ')[2]}."]
    if round.reason:
        lines.append(round.reason)
    lines.append("")
    for run in round.runs.select_related("policy"):
        came_to = [f"{label} {_short(run.result[name])}" for name, label in HEADLINES.items() if name in run.result]
        made = [f"made {run.policy}"] if run.policy else []
        status = RunStatus(run.status).label.lower()
        lines.append(f"- {run.label}: {', '.join([status, *made, *came_to])}")
    lines += ["", f"{settings.PUBLIC_URL}{round.get_absolute_url()}"]
    lines.append(f"You asked for this on the page Members of {round.project}, where you can also end it.")
    return "\n".join(lines)


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
