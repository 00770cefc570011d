from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext, gettext_lazy

from annotation.errors import NotPossible
from annotation.forms.ranges import field_with_range
from annotation.models import Project
from training.actions.compute import ALL_STAGES, ASKED, executor_named, not_taken, refused_image, rows_of
from training.executors import EXECUTORS, configured_executor
from training.methods import METHODS
from training.models import StageCompute


class StageComputeForm(forms.ModelForm):  # type: ignore[type-arg]
    """Executor and resources of one stage; what is empty is as for all stages, or as the executor decides."""

    class Meta:
        model = StageCompute
        formfield_callback = field_with_range
        fields = ASKED

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        empty = self.default_in_words()
        known = [(name, executor.title) for name, executor in EXECUTORS.items()]
        self.fields["executor"] = forms.ChoiceField(
            choices=[("", gettext("Default (%(which)s)") % {"which": empty}), *known],
            required=False,
            label=gettext_lazy("Executor"),
        )
        self.fields["memory_gb"].widget.attrs["step"] = "any"
        self.fields["image"].help_text = gettext("One that the server's operator allows: %(known)s.") % {
            "known": ", ".join(settings.EXECUTOR_IMAGES) or gettext("none")
        }

    def default_in_words(self) -> str:
        """Return which executor it is where none is chosen."""
        if self.instance.method == ALL_STAGES:
            return configured_executor().title
        return gettext("as for all stages")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if refused := refused_image(data):
            self.add_error("image", refused)
        if self.instance.method != ALL_STAGES and not data.get("executor"):
            return data  # checked with the executor of all stages, by `compute_forms_are_valid`
        self.refuse_what_is_not_taken(str(data.get("executor") or ""))
        return data

    def refuse_what_is_not_taken(self, name: str) -> None:
        """Add an error to each resource that the executor of this name does not know."""
        try:
            executor = executor_named(name)
        except NotPossible as why:
            self.add_error("executor", str(why))
            return
        for field in not_taken(executor, self.cleaned_data):
            message = gettext("The executor %(executor)s does not take this. Leave it empty, or choose another one.")
            self.add_error(field, message % {"executor": executor.title})


class RoundComputeForm(StageComputeForm):
    """What one round asks for in place of what its project has set; it is checked with that when the round starts."""

    def __init__(self, project: Project, data: Any = None) -> None:
        super().__init__(data, prefix="compute", instance=StageCompute(project=project, method=ALL_STAGES))

    def default_in_words(self) -> str:
        return gettext("as the project has set")

    def refuse_what_is_not_taken(self, name: str) -> None:
        """Leave it to `placement`, which knows what the project has set."""

    @property
    def asked(self) -> dict[str, Any]:
        """Return what is filled in."""
        return {name: value for name, value in self.cleaned_data.items() if value not in (None, "")}


def compute_forms(project: Project, data: Any = None) -> list[StageComputeForm]:
    """Return the form of all stages and that of each method, filled in with what the project has set."""
    rows = {row.method: row for row in project.compute.all()}
    return [
        StageComputeForm(
            data, prefix=method or "all", instance=rows.get(method) or StageCompute(project=project, method=method)
        )
        for method in (ALL_STAGES, *METHODS)
    ]


def compute_forms_are_valid(forms_of_stages: list[StageComputeForm]) -> bool:
    """Return whether all are valid, a stage without an executor of its own being checked with that of all stages."""
    valid = [form.is_valid() for form in forms_of_stages]
    first, *others = forms_of_stages
    for form in others:
        if form.is_valid() and not form.cleaned_data.get("executor"):
            form.refuse_what_is_not_taken(str(first.cleaned_data.get("executor") or ""))
    return all(valid) and not any(form.errors for form in forms_of_stages)


def form_of_stage(project: Project, method: str, given: Mapping[str, Any]) -> StageComputeForm:
    """Return the form of one stage, as the API fills it in: what is left out stays as it is."""
    row = StageCompute.objects.filter(project=project, method=method).first()
    as_it_is = rows_of(project).get(method, {})
    instance = row or StageCompute(project=project, method=method)
    return StageComputeForm({**as_it_is, **given}, instance=instance)
