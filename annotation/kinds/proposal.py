"""Review a task that a model proposed: accept it, change it, or reject it for a reason."""

from __future__ import annotations

import unicodedata
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext, gettext_lazy, gettext_noop

from annotation.kinds.base import TaskKind
from annotation.models import Assignment, Proposal, ProposalReview, RejectReason, Verdict
from annotation.models.judgment import Judgment

MAX_CHARACTERS = 20_000
TEXTS = {"instruction": 3, "input": 3, "output": 6}  # and the lines of their text boxes
LABELS = {"instruction": gettext_noop("Instruction"), "input": gettext_noop("Input"), "output": gettext_noop("Output")}


class ProposalForm(forms.Form):
    verdict = forms.ChoiceField(
        choices=Verdict.choices,
        error_messages={"required": gettext_lazy("Accept, edit or reject the task.")},
    )
    reason = forms.ChoiceField(choices=[("", "—"), *RejectReason.choices], required=False)
    instruction = forms.CharField(required=False, max_length=MAX_CHARACTERS)
    input = forms.CharField(required=False, max_length=MAX_CHARACTERS)
    output = forms.CharField(required=False, max_length=MAX_CHARACTERS)

    def __init__(self, assignment: Assignment, data: Any = None) -> None:
        super().__init__(data)
        self.proposal = proposal_of(assignment)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        verdict = data.get("verdict")
        texts = {name: _normal(data.get(name, "")) for name in TEXTS}
        if verdict != Verdict.REJECT:
            data["reason"] = ""
        elif not data.get("reason") and "reason" not in self.errors:
            self.add_error("reason", gettext("Choose a reason for the rejection."))
        if verdict == Verdict.EDIT:
            self._check_edit(texts)
        data.update(texts if verdict == Verdict.EDIT else dict.fromkeys(TEXTS, ""))
        return data

    def _check_edit(self, texts: dict[str, str]) -> None:
        for name in ("instruction", "output"):
            if not texts[name] and name not in self.errors:
                self.add_error(name, gettext("%(name)s is empty.") % {"name": gettext(LABELS[name])})
        if texts == {name: _normal(getattr(self.proposal, name)) for name in TEXTS}:
            self.add_error("verdict", gettext("Nothing is changed. Accept the task unchanged, or edit it."))


def proposal_of(assignment: Assignment) -> Proposal:
    proposal = assignment.task.proposal
    assert proposal is not None  # the database's own rule for this kind
    return proposal


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text).replace("\r\n", "\n").strip()


class ProposalKind(TaskKind):
    label: ClassVar[str] = gettext_noop("Proposed task")
    asks: ClassVar[str] = gettext_noop("Review this proposed task.")
    template: ClassVar[str] = "annotation/kinds/proposal.html"
    judgment: ClassVar[type[Judgment]] = ProposalReview

    def form(self, assignment: Assignment, data: Any = None) -> ProposalForm:
        return ProposalForm(assignment, data)

    def page(self, assignment: Assignment) -> dict[str, Any]:
        proposal = proposal_of(assignment)
        return {
            "asks": gettext(self.asks),
            "proposal": proposal,
            "parts": [
                {
                    "name": name,
                    "label": gettext(LABELS[name]),
                    "text": getattr(proposal, name),
                    "rows": rows,
                }
                for name, rows in TEXTS.items()
            ],
            "reject_reasons": [
                {"key": str(key), "value": value, "label": label}
                for key, (value, label) in enumerate(RejectReason.choices, start=1)
            ],
            "max_characters": MAX_CHARACTERS,
        }

    def said(self, *, assignment: Assignment, answer: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        return {name: answer[name] for name in ("verdict", "reason", *TEXTS)}
