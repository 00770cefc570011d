"""Subject and body of the mail about a round that ended or that waits at a gate."""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext, gettext_noop

from annotation import stored
from training.models import RoundStatus, RunStatus, TrainingRound

HEADLINES = {
    "accuracy": gettext_noop("accuracy on held-out pairs"),
    "score_before": gettext_noop("reward before"),
    "score_after": gettext_noop("reward after"),
    "kl": gettext_noop("KL to the base model, nats per response"),
    "completions": gettext_noop("responses"),
}


def subject_of(round: TrainingRound) -> str:
    return f"[{round.project}] {_what_happened(round)}"


def body_of(round: TrainingRound) -> str:
    lines = [gettext("%(sentence)s.") % {"sentence": _what_happened(round)}]
    if round.reason:
        lines.append(stored.translated(round.reason))
    lines.append("")
    for run in round.runs.select_related("policy"):
        came_to = [
            f"{gettext(label)} {_short(run.result[name])}" for name, label in HEADLINES.items() if name in run.result
        ]
        made = [gettext("made %(policy)s") % {"policy": run.policy}] if run.policy else []
        status = RunStatus(run.status).label.lower()
        lines.append(f"- {run.label}: {', '.join([status, *made, *came_to])}")
    lines += ["", f"{settings.PUBLIC_URL}{round.get_absolute_url()}"]
    why = gettext("You asked for this on the page Members of %(project)s, where you can also end it.")
    lines.append(why % {"project": round.project})
    return "\n".join(lines)


def _what_happened(round: TrainingRound) -> str:
    sentence = {
        RoundStatus.SUCCEEDED: gettext("Round %(number)s succeeded"),
        RoundStatus.FAILED: gettext("Round %(number)s failed"),
        RoundStatus.CANCELLED: gettext("Round %(number)s was cancelled"),
        RoundStatus.STOPPED: gettext("Round %(number)s stopped at a quality gate and waits for your decision"),
    }[RoundStatus(round.status)]
    return sentence % {"number": round.number}


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
