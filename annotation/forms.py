from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib.auth import get_user_model

from annotation.characters import JSONDecoder, cleaned, is_storable
from annotation.exports import Filter
from annotation.exports.files import NotThatWay, Wish
from annotation.exports.formats import STORED, formats_of
from annotation.imports import MAX_FILE_BYTES
from annotation.models import (
    Assignment,
    Completion,
    DatasetSnapshot,
    Event,
    FlagReason,
    Project,
    Role,
    Scope,
    SnapshotType,
    Token,
)
from annotation.outgoing import SECRET_MARK

User = get_user_model()


class CriteriaField(forms.CharField):
    """Names, one per line, as a list."""

    widget = forms.Textarea(attrs={"rows": 3})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:
        return [line.strip() for line in super().clean(value).splitlines() if line.strip()]


class ProjectForm(forms.ModelForm):  # type: ignore[type-arg]
    criteria = CriteriaField(required=False, help_text=Project._meta.get_field("criteria").help_text)
    labels = CriteriaField(required=False, help_text=Project._meta.get_field("labels").help_text)

    class Meta:
        model = Project
        fields = [
            "name", "guidelines", "candidates_per_task", "seats_per_task", "reference_share", "lease_minutes",
            "calibration_share", "early_stop", "conflict_seat", "base_model", "licence", "ranking_form", "top_k",
            "criteria", "criteria_required", "rationale", "write_first", "gold_share", "repeat_share", "use_weights",
            "practice_first", "practice_pass", "labels", "uncertain_first",
        ]  # fmt: skip
        labels = {"gold_share": "Share of known tasks", "practice_pass": "Pass mark of practice"}
        widgets = {"guidelines": forms.Textarea(attrs={"rows": 6})}

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        if self.is_bound:
            self._complete()

    def _complete(self) -> None:
        """A request may send only what changes: what it leaves out keeps its value, but an unticked box says no."""
        data = {name: self.data[name] for name in self.data}
        for name, field in self.fields.items():
            if name not in data and not isinstance(field, forms.BooleanField):
                data[name] = field.prepare_value(self.get_initial_for_field(field, name))
        self.data = data


class UploadForm(forms.Form):
    file = forms.FileField(
        help_text="JSONL, JSON, CSV, Parquet or plain text (one prompt per line), UTF-8 or gzip of it, at most 50 MB.",
        error_messages={"required": "Choose a file first.", "empty": "The file is empty."},
    )
    labels = forms.BooleanField(
        label="It holds labelled texts, no prompts",
        required=False,
        help_text="Each row has a text and a label: for a classifier, not for ranking.",
    )

    def clean_file(self) -> Any:
        """Before anything is read: a large file must not fill the memory."""
        file = self.cleaned_data["file"]
        if file.size > MAX_FILE_BYTES:
            raise forms.ValidationError(f"{file.name} is larger than {MAX_FILE_BYTES // 2**20} MB. Split it.")
        return file


class MappingForm(forms.Form):
    """Which column of a file each field comes from; empty leaves it to the names in the file."""

    FIELDS = {
        "text": "Prompt or text",
        "id": "Id",
        "category": "Category",
        "reference": "Reference answer",
        "completion": "Answer",
        "chosen": "Preferred answer",
        "rejected": "Other answer",
        "margin": "Margin, from 0 to 1",
        "label": "Label",
    }

    def __init__(self, columns: list[str], data: Any = None, initial: Any = None) -> None:
        super().__init__(data, initial=initial)
        choices = [("", "by its name"), *((column, column[:60]) for column in columns)]
        for name, label in self.FIELDS.items():
            self.fields[name] = forms.ChoiceField(label=label, choices=choices, required=False)

    @property
    def mapping(self) -> dict[str, str]:
        return {name: column for name, column in self.cleaned_data.items() if column}


class NumbersField(forms.CharField):
    """Whole numbers with commas or spaces between them."""

    def to_python(self, value: Any) -> list[int]:  # type: ignore[override]
        words = str(value or "").replace(",", " ").split()
        if not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
            raise forms.ValidationError("Write whole numbers with commas between them, such as 1, 2.")
        return [int(word) for word in words]


class TakeSnapshotForm(forms.Form):
    """The type of the rows, and which judgments: whatever is left empty leaves nothing out."""

    type = forms.ChoiceField(choices=SnapshotType.choices, required=False, initial=SnapshotType.PREFERENCE)
    kinds = forms.MultipleChoiceField(
        label="Made from",
        choices=[
            ("ranking", "Rankings"),
            ("reference", "Reference answers"),
            ("label", "Labels"),
            ("imported", "Imported data"),
        ],
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    policies = NumbersField(label="Policy versions", required=False, help_text="Numbers such as 0, 2.")
    annotators = NumbersField(label="Annotators", required=False, help_text="By number, as on the data card.")
    min_agreement = forms.FloatField(
        label="Least agreement",
        required=False,
        min_value=0,
        max_value=1,
        help_text="Share of the votes on a pair, from 0 to 1.",
        widget=forms.NumberInput(attrs={"step": "0.05"}),
    )
    since = forms.DateTimeField(
        label="Since (UTC)", required=False, widget=forms.DateTimeInput(attrs={"type": "datetime-local"})
    )
    until = forms.DateTimeField(
        label="Until (UTC)", required=False, widget=forms.DateTimeInput(attrs={"type": "datetime-local"})
    )

    def clean_type(self) -> SnapshotType:
        return SnapshotType(self.cleaned_data["type"] or SnapshotType.PREFERENCE)

    @property
    def wanted(self) -> Filter:
        given = {name: value for name, value in self.cleaned_data.items() if name != "type" and value}
        return Filter(**given)


class DownloadForm(forms.Form):
    """Which file of a snapshot; nothing chosen is the file as it is stored."""

    rows = forms.ChoiceField(label="Format", required=False)
    file = forms.ChoiceField(
        label="File", choices=[("jsonl", "JSONL"), ("csv", "CSV"), ("parquet", "Parquet")], required=False
    )
    split = forms.ChoiceField(
        choices=[("", "Train and eval"), ("train", "Train only"), ("eval", "Eval only")], required=False
    )
    gzip = forms.BooleanField(label="Compressed (gzip)", required=False)

    def __init__(self, snapshot: DatasetSnapshot, data: Any = None) -> None:
        super().__init__(data)
        choices = [(name, each.label) for name, each in formats_of(snapshot.type).items()]
        self.fields["rows"].choices = choices  # type: ignore[attr-defined]
        self.stored = STORED[SnapshotType(snapshot.type)]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if self.errors:
            return data
        try:
            rows, file = data["rows"] or self.stored, data["file"] or "jsonl"
            data["wish"] = Wish(rows, file, gzip=data["gzip"], split=data["split"])
        except NotThatWay as why:
            self.add_error("file", str(why))
        return data


class WithdrawForm(forms.Form):
    """Somebody who judged here; the page shows their number."""

    username = forms.CharField(max_length=150)

    def clean_username(self) -> Any:
        username = self.cleaned_data["username"]
        user = User.objects.filter(username=username).first()
        if user is None:
            raise forms.ValidationError(f"There is no user called {username!r}.")
        return user


class MemberForm(forms.Form):
    username = forms.CharField(max_length=150)
    role = forms.ChoiceField(choices=Role.choices, initial=Role.ANNOTATOR)

    def clean_username(self) -> Any:
        username = self.cleaned_data["username"]
        user = User.objects.filter(username=username, is_active=True).first()
        if user is None:
            raise forms.ValidationError(f"There is no user called {username!r}. Create the account first.")
        return user


class DraftForm(forms.Form):
    """What the page saves while somebody works; the kind's own form judges it only on submit."""

    draft = forms.JSONField(required=False, decoder=JSONDecoder)
    active_ms = forms.IntegerField(min_value=0, max_value=2**31 - 1)

    def clean_draft(self) -> dict[str, Any]:
        draft = self.cleaned_data["draft"]
        if draft is None and self.data.get("draft") in ({}, "{}"):
            return {}  # forms take it for nothing given, but an empty draft is what starting over leaves
        if not isinstance(draft, dict):
            raise forms.ValidationError("draft should be a JSON object.")
        if len(str(draft)) > 100_000:
            raise forms.ValidationError("draft is longer than 100,000 characters.")
        if not is_storable(draft):
            raise forms.ValidationError("draft has a number that JSON does not know.")
        cleaned_draft: dict[str, Any] = cleaned(draft)
        return cleaned_draft


class AlarmForm(forms.Form):
    note = forms.CharField(
        max_length=500,
        error_messages={
            "required": "Say what you saw, so that whoever looks knows what to look for.",
            "max_length": "Please use at most 500 characters.",
        },
    )


class FlagForm(forms.Form):
    """Bound to one assignment: it knows its answers, and no answer means its prompt."""

    answer = forms.IntegerField(required=False, help_text="Id of the answer; without it the prompt is meant.")
    reason = forms.ChoiceField(choices=FlagReason.choices, error_messages={"required": "Say what is wrong with it."})
    note = forms.CharField(required=False, max_length=500)

    def __init__(self, assignment: Assignment, data: Any = None) -> None:
        super().__init__(data)
        self.assignment = assignment

    def clean_answer(self) -> Completion | None:
        pk = self.cleaned_data["answer"]
        if pk is None:
            return None
        if pk not in self.assignment.shown_order:
            raise forms.ValidationError("answer should be an answer of this task.")
        return self.assignment.task.candidates.get(pk=pk)

    def clean_reason(self) -> FlagReason:
        return FlagReason(self.cleaned_data["reason"])


class SubmitForm(forms.Form):
    """What every kind's submit carries beside its answer."""

    client_uuid = forms.UUIDField(error_messages={"required": "client_uuid is missing: reload the page."})
    active_ms = forms.IntegerField(min_value=0, max_value=2**31 - 1, required=False)

    def clean_active_ms(self) -> int:
        return self.cleaned_data["active_ms"] or 0


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]
    scopes = forms.MultipleChoiceField(
        label="It may",
        choices=Scope.choices,
        initial=[Scope.READ],
        widget=forms.CheckboxSelectMultiple,
        help_text="At most: in each project it can do no more than you can.",
        error_messages={"required": "Choose at least one: a token that may do nothing is of no use."},
    )
    days = forms.IntegerField(
        label="Days until it is over",
        required=False,
        min_value=1,
        max_value=3650,
        initial=90,
        help_text="Empty: it is valid until you revoke it.",
    )

    class Meta:
        model = Token
        fields = ["name"]

    def clean_scopes(self) -> list[Scope]:
        return [Scope(name) for name in self.cleaned_data["scopes"]]


class WebhookForm(forms.Form):
    url = forms.URLField(
        label="Address",
        max_length=500,
        assume_scheme="https",
        help_text="Takes a POST with JSON. Not inside our own network.",
    )
    events = forms.MultipleChoiceField(
        label="Tell it when",
        choices=[(event.value, event.label) for event in Event if event != Event.TEST],
        initial=[Event.JUDGMENT, Event.SNAPSHOT, Event.ROUND],
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one event."},
    )
    secret = forms.CharField(
        label="Signing secret",
        required=False,
        max_length=100,
        help_text=f"{SECRET_MARK} and base64 of 24 to 64 bytes. Empty: one is made.",
    )

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise forms.ValidationError("The address should begin with https:// or http://.")
        if parts.username is not None:
            raise forms.ValidationError("No user name in the address: the signature tells who it is from.")
        return url

    def clean_events(self) -> list[Event]:
        return [Event(name) for name in self.cleaned_data["events"]]

    def clean_secret(self) -> str:
        secret: str = self.cleaned_data["secret"]
        if not secret:
            return ""
        try:
            key = base64.b64decode(secret.removeprefix(SECRET_MARK), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not secret.startswith(SECRET_MARK) or not 24 <= len(key) <= 64:
            raise forms.ValidationError(f"Write {SECRET_MARK} and base64 of 24 to 64 bytes, or nothing.")
        return secret
