"""From what a model proposed to what people accepted: how many are left at each step, and what the others went for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.utils.translation import gettext, ngettext

from annotation.exports.pool import ACCEPTED, reviewed
from annotation.models import Project, RejectReason, Verdict
from training.instructions.form import UNPARSED
from training.instructions.heuristics import REASONS
from training.phrases import in_language


@dataclass(frozen=True)
class FunnelStep:
    """A step of the funnel; `lost` counts by reason, in plain words, what was dropped since the step before."""

    name: str
    count: int
    lost: dict[str, int] = field(default_factory=dict)
    note: str = ""


def funnel(project: Project) -> list[FunnelStep]:
    """Return the steps from drawn to accepted; an empty list where nothing was proposed."""
    batches = list(project.proposal_batches.values_list("proposed", "unparsed", "duplicates"))
    proposed = sum(number for number, _, _ in batches)
    unparsed: Counter[str] = Counter()
    for _, reasons, _ in batches:
        unparsed.update(reasons)
    there_already = sum(number for _, _, number in batches)
    if not proposed:
        return []
    found = Counter(
        reviewed(project).order_by().values_list("refused_by", "near_duplicate", "verdict", "reason", "task_id")
    )
    stored = Counter(dict.fromkeys(REASONS, 0))
    near = waiting = asked = 0
    rejected: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    for (refused, is_near, verdict, reason, task), count in found.items():
        if refused:
            stored[refused] += count
        elif task is None:
            near += count * is_near
        else:
            asked += count
            waiting += count * (verdict is None)
            verdicts[verdict or ""] += count
            if verdict == Verdict.REJECT:
                rejected[reason] += count
    read = proposed - unparsed.total()
    fresh = read - there_already
    passed = fresh - stored.total()
    accepted = sum(verdicts[verdict] for verdict in ACCEPTED)
    changed = verdicts[Verdict.EDIT]
    return [
        FunnelStep(gettext("Proposed"), proposed),
        FunnelStep(gettext("Parsed"), read, _in_words(unparsed, UNPARSED)),
        FunnelStep(gettext("New"), fresh, _lost(gettext("exact duplicate"), there_already)),
        FunnelStep(gettext("Passed the rules"), passed, _in_words(stored, REASONS)),
        FunnelStep(gettext("Sent to annotators"), asked, _lost(gettext("near duplicate"), near)),
        FunnelStep(gettext("Reviewed"), asked - waiting, _lost(gettext("waiting in the queue"), waiting)),
        FunnelStep(
            gettext("Accepted"),
            accepted,
            _in_words(rejected, {value: lower(str(label)) for value, label in RejectReason.choices}),
            ngettext("%(count)s of them with changes", "%(count)s of them with changes", changed) % {"count": changed},
        ),
    ]


def lower(label: str) -> str:
    """Return a label as it stands inside a sentence."""
    return label[:1].lower() + label[1:]


def _lost(why: str, count: int) -> dict[str, int]:
    return {why: count} if count else {}


def _in_words(counts: Counter[str], words: Mapping[str, str]) -> dict[str, int]:
    """Return counts by reason in words, most frequent first."""
    return {in_language(words.get(code, code), gettext): count for code, count in counts.most_common() if count}
