"""Give a text one of the project's labels."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext, gettext_lazy, gettext_noop

from annotation.kinds.base import TaskKind
from annotation.models import Assignment, Label
from annotation.models.judgment import Judgment


class LabelForm(forms.Form):
    label = forms.CharField(error_messages={"required": gettext_lazy("Choose a label.")})
    comment = forms.CharField(required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 2}))

    def __init__(self, assignment: Assignment, data: Any = None) -> None:
        super().__init__(data)
        self.labels: list[str] = assignment.project.labels

    def clean_label(self) -> str:
        label = str(self.cleaned_data["label"])
        if label not in self.labels:
            raise forms.ValidationError(
                gettext("%(label)s is not a label of this project: %(names)s.")
                % {"label": f"{label!r}", "names": ", ".join(self.labels)}
            )
        return label


class LabelKind(TaskKind):
    label: ClassVar[str] = gettext_noop("Label")
    asks: ClassVar[str] = gettext_noop("Which label fits the text?")
    template: ClassVar[str] = "annotation/kinds/label.html"
    judgment: ClassVar[type[Judgment]] = Label

    def form(self, assignment: Assignment, data: Any = None) -> LabelForm:
        return LabelForm(assignment, data)

    def page(self, assignment: Assignment) -> dict[str, Any]:
        return {"asks": gettext(self.asks), "labels": assignment.project.labels}

    def said(self, *, assignment: Assignment, answer: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        return {"label": answer["label"], "comment": answer["comment"]}
