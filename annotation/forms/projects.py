"""Forms of a project, its members and its alarms."""

from __future__ import annotations

from typing import Any

from django import forms

from annotation.characters import JSONDecoder
from annotation.forms.access import User
from annotation.models import (
    Project,
    Role,
)


class CriteriaField(forms.CharField):
    """Names, one per line, as a list."""

    widget = forms.Textarea(attrs={"rows": 3})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:
        return [line.strip() for line in super().clean(value).splitlines() if line.strip()]


class ProjectForm(forms.ModelForm):  # type: ignore[type-arg]
    criteria = CriteriaField(required=False, help_text=Project._meta.get_field("criteria").help_text)
    chat_template_kwargs = forms.JSONField(
        required=False,
        decoder=JSONDecoder,
        label="Chat template settings",
        help_text=Project._meta.get_field("chat_template_kwargs").help_text,
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    labels = CriteriaField(required=False, help_text=Project._meta.get_field("labels").help_text)
    maker_names = CriteriaField(
        required=False,
        label="Further names of models and makers",
        help_text=Project._meta.get_field("maker_names").help_text,
    )

    class Meta:
        model = Project
        fields = Project.SETTINGS
        labels = {"gold_share": "Share of known tasks", "practice_pass": "Pass mark of practice"}
        widgets = {"guidelines": forms.Textarea(attrs={"rows": 6})}

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        if self.is_bound:
            self._complete()

    def clean_chat_template_kwargs(self) -> Any:
        """Return what was given; an empty field is no settings."""
        given = self.cleaned_data["chat_template_kwargs"]
        return {} if given is None else given

    def _complete(self) -> None:
        """Fill in the current value of fields that a request leaves out; a box that is left out is unticked."""
        data = {name: self.data[name] for name in self.data}
        for name, field in self.fields.items():
            if name not in data and not isinstance(field, forms.BooleanField):
                data[name] = field.prepare_value(self.get_initial_for_field(field, name))
        self.data = data


class MemberForm(forms.Form):
    username = forms.CharField(max_length=150)
    role = forms.ChoiceField(choices=Role.choices, initial=Role.ANNOTATOR)

    def clean_username(self) -> Any:
        username = self.cleaned_data["username"]
        user = User.objects.filter(username=username, is_active=True).first()
        if user is None:
            raise forms.ValidationError(f"There is no user called {username!r}. Create the account first.")
        return user


class AlarmForm(forms.Form):
    note = forms.CharField(
        max_length=500,
        error_messages={
            "required": "Say what you saw, so that whoever looks knows what to look for.",
            "max_length": "Please use at most 500 characters.",
        },
    )
