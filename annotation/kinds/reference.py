"""Write the answer you would have wanted, from scratch or from one of the candidates."""

from __future__ import annotations

import unicodedata
from statistics import median
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.utils.translation import gettext, gettext_lazy, gettext_noop

from annotation.errors import NotPossible
from annotation.kinds.base import MOST_RESPONSES, TaskKind
from annotation.models import Assignment, Candidate, Completion, FirstVersion, ReferenceAnswer, Source
from annotation.models.judgment import Judgment

MAX_CHARACTERS = 20_000
NOT_HERE = gettext_noop("derived_from should be a response of this task.")


class ReferenceForm(forms.Form):
    text = forms.CharField(
        max_length=MAX_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 8}),
        error_messages={"required": gettext_lazy("Write a response.")},
    )
    derived_from = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MOST_RESPONSES,
        error_messages=dict.fromkeys(("min_value", "max_value"), gettext_lazy(NOT_HERE)),
        widget=forms.HiddenInput,
        help_text=gettext_lazy("Number of the response that the text was edited from."),
    )

    def __init__(self, assignment: Assignment, data: Any = None) -> None:
        super().__init__(data)
        self.assignment, is_open = assignment, shows_candidates(assignment)
        self.candidates = dict(assignment.task.candidates.values_list("pk", "text")) if is_open else {}

    def clean_text(self) -> str:
        return unicodedata.normalize("NFC", self.cleaned_data["text"]).replace("\r\n", "\n").strip()

    def clean_derived_from(self) -> int | None:
        number: int | None = self.cleaned_data["derived_from"]
        pk = None if number is None else self.assignment.completion_of(number)
        if number is not None and pk not in self.candidates:
            raise forms.ValidationError(gettext(NOT_HERE))
        return pk

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        origin = data.get("derived_from")
        if origin is not None and data.get("text") == self.candidates[origin].strip():
            self.add_error(
                "text", gettext("This is the unchanged response. Edit it before submitting, or skip the task.")
            )
        return data


def shows_candidates(assignment: Assignment) -> bool:
    """Return whether to show the candidates: at once, or after a first version where the project asks for one."""
    return not assignment.project.write_first or FirstVersion.objects.filter(assignment=assignment).exists()


class ReferenceKind(TaskKind):
    label: ClassVar[str] = gettext_noop("Reference response")
    asks: ClassVar[str] = gettext_noop("Write an ideal response.")
    template: ClassVar[str] = "annotation/kinds/reference.html"
    judgment: ClassVar[type[Judgment]] = ReferenceAnswer

    def form(self, assignment: Assignment, data: Any = None) -> ReferenceForm:
        return ReferenceForm(assignment, data)

    def shows_candidates(self, assignment: Assignment) -> bool:
        return shows_candidates(assignment)

    def page(self, assignment: Assignment) -> dict[str, Any]:
        texts = list(assignment.task.candidates.values_list("text", flat=True))
        return {
            "asks": gettext(self.asks),
            "is_blind": not shows_candidates(assignment),
            "max_characters": MAX_CHARACTERS,
            "typical_words": round(median(len(text.split()) for text in texts)) if texts else 0,
            "typical_characters": round(median(map(len, texts))) if texts else 0,
        }

    def said(self, *, assignment: Assignment, answer: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        return {"text": answer["text"], "derived_from": answer["derived_from"]}

    def save(self, *, assignment: Assignment, client_uuid: UUID, answer: dict[str, Any]) -> ReferenceAnswer:
        prompt = assignment.task.prompt
        assert prompt is not None  # the database's own rule for this kind
        completion = Completion.objects.create(
            prompt=prompt,
            source=Source.PERSON,
            author_id=assignment.annotator_id,
            text=answer["text"],
        )
        return ReferenceAnswer.objects.create(
            assignment=assignment,
            client_uuid=client_uuid,
            completion=completion,
            derived_from_id=answer["derived_from"],
        )

    def stored(self, judgment: Judgment) -> dict[str, Any]:
        assert isinstance(judgment, ReferenceAnswer)
        return {"text": judgment.completion.text, "derived_from": judgment.derived_from_id}

    def draft(self, judgment: Judgment) -> dict[str, Any]:
        draft = self.stored(judgment)
        if draft["derived_from"]:
            draft["derived_from"] = judgment.assignment.number_of(draft["derived_from"])
        return draft

    def take_back(self, judgment: Judgment) -> None:
        assert isinstance(judgment, ReferenceAnswer)
        if Candidate.objects.filter(completion_id=judgment.completion_id).exists():
            raise NotPossible(
                gettext(
                    "Other annotators already rank the response that was written here, so it can no longer be reopened."
                )
            )
        judgment.delete()
        Completion.objects.filter(pk=judgment.completion_id).delete()
