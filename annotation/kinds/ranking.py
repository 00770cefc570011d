"""Put the candidates in order: tiers, best first, ties allowed, and a line below which nothing is acceptable."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django import forms

from annotation.characters import JSONDecoder
from annotation.models import Assignment, Ranking
from annotation.models.judgment import Judgment


class RankingForm(forms.Form):
    tiers = forms.JSONField(
        decoder=JSONDecoder,
        help_text="Lists of completion ids, best first. Ids in one list are tied.",
        error_messages={"required": "Rank the answers first: every answer needs a place."},
    )
    unacceptable = forms.JSONField(required=False, decoder=JSONDecoder, help_text="Ids of the answers below the line.")
    rationale = forms.CharField(required=False, max_length=5000, widget=forms.Textarea(attrs={"rows": 2}))

    def __init__(self, assignment: Assignment, data: Any = None) -> None:
        super().__init__(data)
        self.candidates = set(assignment.shown_order)

    def clean_tiers(self) -> list[list[int]]:
        tiers = self.cleaned_data["tiers"]
        if not isinstance(tiers, list) or not all(_is_id_list(tier) and tier for tier in tiers):
            raise forms.ValidationError("tiers should be lists of completion ids, best first, none of them empty.")
        placed = [pk for tier in tiers for pk in tier]
        if strangers := sorted(set(placed) - self.candidates):
            raise forms.ValidationError(f"tiers has answers that are not in this task: {strangers}.")
        if len(placed) != len(set(placed)):
            raise forms.ValidationError("tiers has an answer in two places.")
        if missing := self.candidates - set(placed):
            count = len(missing)
            raise forms.ValidationError(f"{count} answer{'s' if count > 1 else ''} still without a place.")
        return [list(tier) for tier in tiers]

    def clean_unacceptable(self) -> list[int]:
        unacceptable = self.cleaned_data["unacceptable"] or []
        if not _is_id_list(unacceptable) or set(unacceptable) - self.candidates:
            raise forms.ValidationError("unacceptable should be a list of completion ids of this task.")
        return sorted(set(unacceptable))

    def clean(self) -> dict[str, Any]:
        """The unacceptable ones are the lowest tiers, whole: a line through the order, not a second order."""
        data = super().clean() or self.cleaned_data
        tiers, below = data.get("tiers"), set(data.get("unacceptable") or [])
        if tiers and below:
            flags = [set(tier) <= below for tier in tiers]
            cut = [bool(set(tier) & below) and not set(tier) <= below for tier in tiers]
            if any(cut):
                self.add_error("unacceptable", "Tied answers are either all acceptable or all unacceptable.")
            elif flags != sorted(flags):
                self.add_error("unacceptable", "An unacceptable answer cannot stand above an acceptable one.")
        return data


def _is_id_list(value: Any) -> bool:
    return isinstance(value, list) and all(type(pk) is int for pk in value)


class RankingKind:
    label: ClassVar[str] = "Ranking"
    asks: ClassVar[str] = "Put the answers in order, best first."
    template: ClassVar[str] = "annotation/kinds/ranking.html"
    judgment: ClassVar[type[Judgment]] = Ranking

    def form(self, assignment: Assignment, data: Any = None) -> RankingForm:
        return RankingForm(assignment, data)

    def save(self, *, assignment: Assignment, client_uuid: UUID, answer: dict[str, Any]) -> Ranking:
        return Ranking.objects.create(
            assignment=assignment,
            client_uuid=client_uuid,
            tiers=answer["tiers"],
            unacceptable=answer["unacceptable"],
            rationale=answer["rationale"],
        )
