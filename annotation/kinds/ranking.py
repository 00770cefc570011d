"""Put the candidates in order: tiers, best first, ties allowed, and a line below which nothing is acceptable.

A project may ask for less than a whole order: the first k places, the one best answer, or of two answers by how much
one is better. What got no place is the last tier, and `unranked` says that no order is known inside it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext, gettext_lazy, gettext_noop, ngettext

from annotation.characters import JSONDecoder
from annotation.kinds.base import TaskKind
from annotation.models import Assignment, Purpose, Ranking, RankingMode, RationaleRule
from annotation.models.judgment import Judgment

RATINGS = range(1, 6)


class RankingForm(forms.Form):
    tiers = forms.JSONField(
        decoder=JSONDecoder,
        help_text=gettext_lazy("Lists of response IDs, best first. IDs in one list are tied."),
        error_messages={"required": gettext_lazy("Rank all responses.")},
    )
    unacceptable = forms.JSONField(
        required=False, decoder=JSONDecoder, help_text=gettext_lazy("IDs of the unacceptable responses.")
    )
    strength = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=2,
        help_text=gettext_lazy("Of a graded comparison: 0 equally good, 1 better, 2 much better."),
    )
    ratings = forms.JSONField(
        required=False,
        decoder=JSONDecoder,
        help_text=gettext_lazy("Response ID to criterion to a number from 1 to 5."),
    )
    rationale = forms.CharField(required=False, max_length=5000, widget=forms.Textarea(attrs={"rows": 2}))

    def __init__(self, assignment: Assignment, data: Any = None) -> None:
        super().__init__(data)
        self.assignment = assignment
        self.candidates = set(range(1, len(assignment.shown_order) + 1))
        self.project = assignment.project
        self.mode = mode_for(assignment)
        self.criteria = criteria_for(assignment)
        if self.mode != RankingMode.FULL:
            self.fields["tiers"].error_messages["required"] = gettext("Nothing is selected yet. %(ASKS)s") % {
                "ASKS": gettext(ASKS[self.mode])
            }

    def clean_tiers(self) -> list[list[int]]:
        """Return the given tiers; candidates that need no place follow as one more tier."""
        tiers = self.cleaned_data["tiers"]
        if not isinstance(tiers, list) or not all(_is_id_list(tier) and tier for tier in tiers):
            raise forms.ValidationError(
                gettext("tiers should be lists of response IDs, best first, none of them empty.")
            )
        placed = [pk for tier in tiers for pk in tier]
        if strangers := sorted(set(placed) - self.candidates):
            raise forms.ValidationError(
                gettext("tiers has responses that are not in this task: %(strangers)s.") % {"strangers": strangers}
            )
        if len(placed) != len(set(placed)):
            raise forms.ValidationError(gettext("tiers has a response twice."))
        rest = sorted(self.candidates - set(placed))
        self._check_count(tiers, placed, rest)
        self.unranked = rest
        return [list(tier) for tier in tiers] + ([rest] if rest else [])

    def _check_count(self, tiers: list[list[int]], placed: list[int], rest: list[int]) -> None:
        if self.mode == RankingMode.BEST and len(placed) != 1:
            raise forms.ValidationError(
                gettext("Choose one response as the best; %(count)s are chosen.") % {"count": len(placed)}
            )
        if self.mode == RankingMode.TOP_K:
            wanted = self.project.top_k
            if len(placed) < wanted:
                raise forms.ValidationError(
                    gettext("Rank the top %(wanted)s responses; %(count)s are ranked.")
                    % {"wanted": wanted, "count": len(placed)}
                )
            # Ties may make it more than k, but then the last of them would not all be needed.
            if sum(map(len, tiers[:-1])) >= wanted:
                raise forms.ValidationError(
                    gettext("Rank only the top %(wanted)s responses; %(count)s are ranked.")
                    % {"wanted": wanted, "count": len(placed)}
                )
        if self.mode in (RankingMode.FULL, RankingMode.GRADED) and rest:
            count = len(rest)
            raise forms.ValidationError(
                ngettext("%(count)s response not ranked yet.", "%(count)s responses not ranked yet.", count)
                % {"count": count}
            )

    def clean_unacceptable(self) -> list[int]:
        unacceptable = self.cleaned_data["unacceptable"] or []
        if not _is_id_list(unacceptable) or set(unacceptable) - self.candidates:
            raise forms.ValidationError(gettext("unacceptable should be a list of response IDs of this task."))
        return sorted(set(unacceptable))

    def clean_ratings(self) -> dict[str, dict[str, int]]:
        given = self.cleaned_data["ratings"] or {}
        if not isinstance(given, dict) or not all(isinstance(rated, dict) for rated in given.values()):
            raise forms.ValidationError(gettext("ratings should give each completion id a number for each criterion."))
        criteria = self.criteria
        if strangers := sorted(set(given) - {str(pk) for pk in self.candidates}):
            raise forms.ValidationError(
                gettext("ratings has responses that are not in this task: %(names)s.") % {"names": ", ".join(strangers)}
            )
        for rated in given.values():
            if unknown := sorted(set(rated) - set(criteria)):
                raise forms.ValidationError(
                    gettext("%(unknown)s is not a criterion of this project.") % {"unknown": f"{unknown[0]!r}"}
                )
            if wrong := [name for name, value in rated.items() if type(value) is not int or value not in RATINGS]:
                raise forms.ValidationError(
                    gettext("%(wrong)s: a rating is a whole number from 1 to 5.") % {"wrong": wrong[0]}
                )
        missing = len(self.candidates) * len(criteria) - sum(map(len, given.values()))
        if self.project.criteria_required and missing:
            raise forms.ValidationError(
                ngettext("%(missing)s rating is missing.", "%(missing)s ratings are missing.", missing)
                % {"missing": missing}
            )
        return {pk: rated for pk, rated in given.items() if rated}

    def clean_rationale(self) -> str:
        rationale: str = self.cleaned_data["rationale"]
        if self.project.rationale == RationaleRule.REQUIRED and not rationale.strip():
            raise forms.ValidationError(gettext("Explanation required."))
        return rationale

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("tiers"):
            data["unranked"] = self.unranked
            self._check_line(data["tiers"], set(data.get("unacceptable") or []))
            self._check_strength(data["tiers"], data.get("strength"))
            self._name_completions(data)
        return data

    def _name_completions(self, data: dict[str, Any]) -> None:
        """Put the ids of the completions where the answer has the numbers by which they were shown."""
        order = self.assignment.shown_order
        data["tiers"] = [[order[number - 1] for number in tier] for tier in data["tiers"]]
        data["unranked"] = sorted(order[number - 1] for number in data["unranked"])
        if data["unranked"]:
            data["tiers"][-1] = data["unranked"]
        data["unacceptable"] = sorted(order[number - 1] for number in data.get("unacceptable") or [])
        data["ratings"] = {str(order[int(number) - 1]): rated for number, rated in data.get("ratings", {}).items()}

    def _check_line(self, tiers: list[list[int]], below: set[int]) -> None:
        """Refuse unacceptable answers that are not the lowest tiers, whole."""
        flags = [set(tier) <= below for tier in tiers]
        if any(set(tier) & below and not set(tier) <= below for tier in tiers):
            self.add_error("unacceptable", gettext("Tied responses are either all acceptable or all unacceptable."))
        elif flags != sorted(flags):
            self.add_error(
                "unacceptable", gettext("An unacceptable response cannot be ranked above an acceptable one.")
            )

    def _check_strength(self, tiers: list[list[int]], strength: int | None) -> None:
        if "strength" in self.errors:
            return
        if self.mode != RankingMode.GRADED:
            if strength is not None:
                self.add_error("strength", gettext("Only a graded comparison has a strength."))
        elif strength is None:
            self.add_error("strength", gettext("Give the strength: 0 equally good, 1 better, 2 much better."))
        elif (strength == 0) != (len(tiers) == 1):
            self.add_error("strength", gettext("Strength 0 means that both are tied, and the other way round."))


def _is_id_list(value: Any) -> bool:
    return isinstance(value, list) and all(type(pk) is int for pk in value)


ASKS = {
    RankingMode.FULL: gettext_noop("Rank the responses from best to worst."),
    RankingMode.TOP_K: gettext_noop("Rank the best responses."),
    RankingMode.BEST: gettext_noop("Choose the best response."),
    RankingMode.GRADED: gettext_noop("Which response is better, and by how much?"),
}
GRADES = [
    {"key": 1, "first": 0, "strength": 2, "sign": "A ≫ B", "words": gettext_noop("A is much better")},
    {"key": 2, "first": 0, "strength": 1, "sign": "A > B", "words": gettext_noop("A is better")},
    {"key": 3, "first": None, "strength": 0, "sign": "A = B", "words": gettext_noop("Equally good")},
    {"key": 4, "first": 1, "strength": 1, "sign": "B > A", "words": gettext_noop("B is better")},
    {"key": 5, "first": 1, "strength": 2, "sign": "B ≫ A", "words": gettext_noop("B is much better")},
]


def mode_for(assignment: Assignment) -> RankingMode:
    """Return the mode that the project asks for, as far as the task's answers allow it; else the whole order.

    Two authors are compared by one key, ties allowed, whatever the project asks for.
    """
    if assignment.task.purpose == Purpose.EVALUATION:
        return RankingMode.GRADED
    project, count = assignment.project, len(assignment.shown_order)
    mode = RankingMode(project.ranking_form)
    is_possible = {RankingMode.GRADED: count == 2, RankingMode.TOP_K: project.top_k < count}
    return mode if is_possible.get(mode, True) else RankingMode.FULL


def criteria_for(assignment: Assignment) -> list[str]:
    """Return the criteria to rate each answer by; none where two authors are compared."""
    return [] if assignment.task.purpose == Purpose.EVALUATION else list(assignment.project.criteria)


class RankingKind(TaskKind):
    label: ClassVar[str] = gettext_noop("Ranking")
    asks: ClassVar[str] = ASKS[RankingMode.FULL]
    template: ClassVar[str] = "annotation/kinds/ranking.html"
    judgment: ClassVar[type[Judgment]] = Ranking

    def form(self, assignment: Assignment, data: Any = None) -> RankingForm:
        return RankingForm(assignment, data)

    def page(self, assignment: Assignment) -> dict[str, Any]:
        project, count = assignment.project, len(assignment.shown_order)
        mode = mode_for(assignment)
        places = {RankingMode.TOP_K: project.top_k, RankingMode.BEST: 1}.get(mode, count)
        asks = gettext(ASKS[mode])
        if mode == RankingMode.TOP_K:
            asks = (
                gettext("Rank the top %(places)s responses.") % {"places": places}
                if places > 1
                else gettext(ASKS[RankingMode.BEST])
            )
        return {
            "asks": asks,
            "mode": mode,
            "places": places,
            "criteria": criteria_for(assignment),
            "ratings": RATINGS,
            "grades": GRADES,
        }

    def said(self, *, assignment: Assignment, answer: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        return {
            "tiers": answer["tiers"],
            "unacceptable": answer["unacceptable"],
            "unranked": answer.get("unranked", []),
            "strength": answer.get("strength"),
            "ratings": answer.get("ratings", {}),
            "rationale": answer["rationale"],
        }

    def draft(self, judgment: Judgment) -> dict[str, Any]:
        draft, number_of = self.stored(judgment), judgment.assignment.number_of
        draft["tiers"] = [[number_of(pk) for pk in tier] for tier in draft["tiers"]]
        for name in ("unacceptable", "unranked"):
            draft[name] = [number_of(pk) for pk in draft[name]]
        draft["ratings"] = {str(number_of(int(pk))): rated for pk, rated in draft["ratings"].items()}
        return draft
