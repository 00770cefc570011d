"""Forms for files of prompts and rankings."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext, gettext_lazy

from annotation.forms.access import User
from annotation.imports import shape_choices
from annotation.imports.mapping import COLUMNS, KNOWN, MEANINGS, SEVERAL
from annotation.imports.packed import size_of
from annotation.imports.reading import LARGEST_FILE
from annotation.models import Project


class SeveralFiles(forms.FileInput):
    """A control for several files."""

    allow_multiple_selected = True


class FilesField(forms.FileField):
    """A field of files; its value is the list of them."""

    widget = SeveralFiles

    def clean(self, data: Any, initial: Any = None) -> Any:
        """Return the files. Raises ValidationError for a missing one, or for one that is empty and alone."""
        given = [each for each in data or [] if each]
        if len(given) > 1:
            return given
        return [file for file in (super().clean(given[0] if given else None, initial),) if file]


class UploadForm(forms.Form):
    file = FilesField(
        label=gettext_lazy("Files"),
        required=False,
        help_text=gettext_lazy(
            "JSONL, JSON, CSV, TSV, Parquet or text (one prompt per line), also as .gz or .zip; at most 1 GB together."
        ),
        error_messages={"empty": gettext_lazy("The file is empty.")},
    )
    folder = FilesField(
        label=gettext_lazy("Or a folder"),
        required=False,
        widget=SeveralFiles(attrs={"webkitdirectory": True}),
        help_text=gettext_lazy("Only its data files are read; licences, notes and hidden files stay where they are."),
    )
    labels = forms.BooleanField(
        label=gettext_lazy("This file contains labelled texts"),
        required=False,
        help_text=gettext_lazy("Each row has a text and a label, for a classifier; it has no prompts to rank."),
    )

    def clean(self) -> dict[str, Any]:
        """Return the data, with every chosen file in `files`. Raises ValidationError for none, or for too much."""
        data = super().clean() or {}
        data["files"] = [*data.get("file", []), *data.get("folder", [])]
        if not data["files"] and not self.errors:
            self.add_error("file", gettext("Choose a file first."))
        if sum(file.size for file in data["files"]) > LARGEST_FILE:
            names = ", ".join(file.name for file in data["files"][:3])
            self.add_error(
                "file",
                gettext("%(name)s is larger than %(value)s. Split it.")
                % {"name": names, "value": size_of(LARGEST_FILE)},
            )
        return data


class MappingForm(forms.Form):
    """How a file is to be read: its shape, which columns are what, what is left out; or as it was saved before."""

    saved = forms.ChoiceField(label=gettext_lazy("Saved mapping"), required=False)
    shape = forms.ChoiceField(label=gettext_lazy("Format"), required=False)
    ignore = forms.MultipleChoiceField(
        label=gettext_lazy("Leave out"), required=False, widget=forms.CheckboxSelectMultiple
    )
    save_as = forms.CharField(
        label=gettext_lazy("Save mapping as"),
        required=False,
        max_length=100,
        help_text=gettext_lazy("For later files of this kind, also over the API and the command line."),
    )

    def __init__(
        self, project: Project, columns: list[str], unused: list[str], data: Any = None, initial: Any = None
    ) -> None:
        super().__init__(data, initial=initial)
        names = [("", gettext_lazy("auto-detect")), *((column, column[:60]) for column in columns)]
        for name, label in COLUMNS.items():
            self.fields[name] = forms.ChoiceField(label=gettext(label), choices=names, required=False)
        for name, label in {**SEVERAL, **MEANINGS}.items():
            self.fields[name] = forms.CharField(label=gettext(label), max_length=300, required=False)
        self.fields["better"] = forms.ChoiceField(
            label=gettext_lazy("Better scores"),
            choices=[("", gettext_lazy("higher")), ("lower", gettext_lazy("lower"))],
            required=False,
        )
        ignorable = dict.fromkeys([*unused, *columns, *(initial or {}).get("ignore", [])])
        self._choose(
            "saved", [("", "—"), *((name, name) for name in project.import_mappings.values_list("name", flat=True))]
        )
        self._choose("shape", [("", gettext_lazy("auto-detect")), *shape_choices()])
        self._choose("ignore", [(name, name[:60]) for name in ignorable])

    def _choose(self, name: str, choices: list[tuple[str, Any]]) -> None:
        self.fields[name].choices = choices  # type: ignore[attr-defined]

    @property
    def first(self) -> list[Any]:
        """Return the fields above the columns."""
        return [self[name] for name in ("saved", "shape", "ignore")]

    @property
    def of_columns(self) -> list[Any]:
        """Return the fields that map columns."""
        return [self[name] for name in KNOWN]

    @property
    def mapping(self) -> dict[str, str]:
        """Return the columns that were named."""
        return {name: self.cleaned_data[name] for name in KNOWN if self.cleaned_data.get(name)}


class WithdrawForm(forms.Form):
    """An annotator, by their number, whose judgments are withdrawn."""

    username = forms.CharField(label=gettext_lazy("Username"), max_length=150)

    def clean_username(self) -> Any:
        username = self.cleaned_data["username"]
        user = User.objects.filter(username=username).first()
        if user is None:
            raise forms.ValidationError(gettext("There is no user %(username)s.") % {"username": f"{username!r}"})
        return user
