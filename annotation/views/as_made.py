"""An annotation as it was made, for pages: the texts in the order that was shown, and what was said of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_noop

from annotation.judged.preferences import places
from annotation.kinds import KINDS
from annotation.models import (
    Assignment,
    Completion,
    FirstVersion,
    RejectReason,
    Revision,
    UnaryJudgment,
    Verdict,
)
from annotation.rendering import markdown

PARTS = gettext_noop("Instruction"), gettext_noop("Input"), gettext_noop("Output")
PROPOSED = {
    "instruction": gettext_noop("Proposed instruction"),
    "input": gettext_noop("Proposed input"),
    "output": gettext_noop("Proposed output"),
}
STRENGTHS = {0: gettext_noop("Equally good"), 1: gettext_noop("Better"), 2: gettext_noop("Much better")}


@dataclass(frozen=True)
class ResponseAsShown:
    """One response as it was shown. `place` is its rank from 1 on, with `tied` others; None where it has none."""

    number: int
    completion: Completion | None
    html: SafeString
    place: int | None = None
    tied: tuple[int, ...] = ()
    unacceptable: bool = False
    unranked: bool = False
    ratings: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class AsMade:
    """`order` is a ranking by the numbers shown, such as "2 > 1 = 3"; `facts` are further lines of label and value."""

    messages: list[dict[str, Any]]
    responses: list[ResponseAsShown] = field(default_factory=list)
    order: str = ""
    rationale: str = ""
    text: SafeString | str = ""
    facts: list[tuple[str, str]] = field(default_factory=list)
    first_version: str = ""


@dataclass(frozen=True)
class Version:
    """A former version of an annotation: what it said in short, when, and why it was reopened."""

    submitted_at: datetime
    revision: Revision
    order: str
    rationale: str


def as_made(assignment: Assignment) -> AsMade:
    """Return an assignment's annotation as its page shows it; without an order where it has none (yet)."""
    kind = KINDS[assignment.task.kind]
    judgment = kind.judgment._default_manager.filter(assignment=assignment).first()
    answer = kind.stored(judgment) if judgment else {}
    texts = Completion.objects.select_related("policy").in_bulk(assignment.shown_order)
    return AsMade(
        messages=[
            {"role": message["role"], "html": markdown(message["content"])} for message in assignment.task.messages
        ],
        responses=_responses(assignment, answer, texts),
        order=order_of(assignment, answer),
        rationale=answer.get("rationale") or answer.get("comment") or "",
        text=markdown(answer["text"]) if answer.get("text") else "",
        facts=_facts(assignment, answer),
        first_version=FirstVersion.objects.filter(assignment=assignment).values_list("text", flat=True).first() or "",
    )


def versions_of(assignment: Assignment) -> list[Version]:
    """Return the former versions of an annotation, the oldest first."""
    return [
        Version(
            each.submitted_at,
            each,
            order_of(assignment, each.answer) or text_of(each.answer),
            each.answer.get("rationale") or each.answer.get("comment") or "",
        )
        for each in assignment.revisions.select_related("asked_by")
    ]


def order_of(assignment: Assignment, answer: dict[str, Any]) -> str:
    """Return a ranking by the numbers under which the responses were shown: "2 > 1 = 3 | 4", "|" above unacceptable."""
    shown = set(assignment.shown_order)
    below, unranked = set(answer.get("unacceptable") or []), set(answer.get("unranked") or [])
    parts: list[str] = []
    is_below = False
    for tier in answer.get("tiers") or []:
        numbers = sorted(assignment.number_of(pk) for pk in tier if pk in shown)
        if not numbers:
            continue
        sign = "|" if set(tier) <= below and not is_below else ">"
        is_below = is_below or sign == "|"
        if parts or sign == "|":
            parts.append(sign)
        parts.append((", " if set(tier) <= unranked else " = ").join(map(str, numbers)))
    return " ".join(parts)


def text_of(answer: dict[str, Any]) -> str:
    """Return what an annotation that is no ranking says, as one text; empty where there is nothing."""
    if answer.get("verdict"):
        return str(Verdict(answer["verdict"]).label)
    if "good" in answer:
        return UnaryJudgment.verdict_text(answer["good"], answer["reason"])
    return str(answer.get("label") or answer.get("text") or "")


def in_short(assignment: Assignment, answer: dict[str, Any]) -> dict[str, str]:
    """Return an annotation in one line, and its rationale: for lists."""
    return {
        "order": order_of(assignment, answer),
        "text": text_of(answer)[:300],
        "rationale": (answer.get("rationale") or answer.get("comment") or "")[:300],
    }


def _responses(assignment: Assignment, answer: dict[str, Any], texts: dict[int, Completion]) -> list[ResponseAsShown]:
    tiers = [tier for tier in answer.get("tiers") or [] if not set(tier) <= set(answer.get("unranked") or [])]
    place = places(tiers)
    shown = []
    for number, pk in enumerate(assignment.shown_order, start=1):
        with_it: list[int] = next((tier for tier in tiers if pk in tier), [])
        ratings = (answer.get("ratings") or {}).get(str(pk), {})
        shown.append(
            ResponseAsShown(
                number=number,
                completion=texts.get(pk),
                html=markdown(texts[pk].text) if pk in texts else SafeString(""),
                place=place[pk] + 1 if pk in place else None,
                tied=tuple(sorted(assignment.number_of(other) for other in with_it if other != pk)),
                unacceptable=pk in (answer.get("unacceptable") or []),
                unranked=pk in (answer.get("unranked") or []),
                ratings=tuple(ratings.items()),
            )
        )
    return shown


def _facts(assignment: Assignment, answer: dict[str, Any]) -> list[tuple[str, str]]:
    facts = []
    if answer.get("strength") is not None:
        facts.append((gettext("Strength"), gettext(STRENGTHS[answer["strength"]])))
    if answer.get("label"):
        facts.append((gettext("Label"), answer["label"]))
    if "good" in answer:
        facts.append((gettext("Good or bad"), text_of(answer)))
    if answer.get("derived_from") in assignment.shown_order:
        facts.append(
            (
                gettext("Edited from"),
                gettext("response %(number)s") % {"number": assignment.number_of(answer["derived_from"])},
            )
        )
    if answer.get("verdict"):
        facts.append((gettext("Review"), str(Verdict(answer["verdict"]).label)))
        if answer.get("reason"):
            facts.append((gettext("Reason"), str(RejectReason(answer["reason"]).label)))
        facts += [
            (gettext(name.capitalize()), answer[name])
            for name in ("instruction", "input", "output")
            if answer.get(name)
        ]
    if proposal := assignment.task.proposal:
        facts = [
            (gettext(PROPOSED[name]), getattr(proposal, name))
            for name in ("instruction", "input", "output")
            if getattr(proposal, name)
        ] + facts
    return facts
