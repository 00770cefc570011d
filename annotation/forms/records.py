"""Forms of the data browser: bulk actions, saved views, a prompt and its messages."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.forms import BaseFormSet, formset_factory
from django.utils.translation import gettext_lazy

from annotation.models import Project, Prompt, Split

MOST_MESSAGES = 100
MAX_PRIORITY = 1_000_000
ROLES = [("system", gettext_lazy("System")), ("user", gettext_lazy("User")), ("assistant", gettext_lazy("Assistant"))]
# Bulk actions of each list; those of REVIEWERS are also for reviewers.
ACTIONS = {
    "prompts": {
        "split": "Set split",
        "category": "Set category",
        "archive": "Archive",
        "unarchive": "Restore",
    },
    "responses": {"withdraw": "Withdraw", "restore": "Restore"},
    "references": {"withdraw": "Withdraw", "restore": "Restore"},
    "annotations": {"send_back": "Send back"},
    "labels": {},
    "tasks": {
        "priority": "Set priority",
        "assign": "Assign",
        "reopen": "Re-open",
        "close": "Take out of the queue",
    },
}
REVIEWERS = {"send_back"}


def actions_for(records: str, *, is_admin: bool) -> dict[str, str]:
    """Return the bulk actions of a list that a person may use, by name."""
    return {name: label for name, label in ACTIONS[records].items() if is_admin or name in REVIEWERS}


class BulkForm(forms.Form):
    """A selection and what is to be done with it. Only the value of the chosen action is looked at."""

    do = forms.ChoiceField(
        label=gettext_lazy("Do"), error_messages={"required": gettext_lazy("Choose what to do with the selection.")}
    )
    ids = forms.TypedMultipleChoiceField(label=gettext_lazy("Ids"), coerce=int, required=False)
    everything = forms.BooleanField(label=gettext_lazy("Everything"), required=False)
    split = forms.ChoiceField(label=gettext_lazy("Split"), choices=Split.choices, required=False)
    category = forms.CharField(label=gettext_lazy("Category"), max_length=100, required=False)
    priority = forms.IntegerField(
        label=gettext_lazy("Priority"), min_value=-MAX_PRIORITY, max_value=MAX_PRIORITY, required=False
    )
    to = forms.ModelChoiceField(label=gettext_lazy("To"), queryset=User.objects.none(), required=False)
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=2000, required=False)

    def __init__(self, project: Project, records: str, data: Any = None, *, is_admin: bool) -> None:
        super().__init__(data)
        self.fields["do"].choices = list(actions_for(records, is_admin=is_admin).items())  # type: ignore[attr-defined]
        self.fields["to"].queryset = User.objects.filter(  # type: ignore[attr-defined]
            pk__in=project.memberships.values("user")
        ).order_by("username")
        given = data.getlist("ids") if data is not None and hasattr(data, "getlist") else []
        whole = [value for value in given if value.isascii() and value.isdigit() and len(value) < 19]
        self.fields["ids"].choices = [(value, value) for value in whole]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        missing = {"split": "Choose a split.", "priority": "Give a whole number.", "assign": "Choose a member."}
        do = data.get("do", "")
        value = data.get("to" if do == "assign" else do)
        if do in missing and value in (None, "") and not ({do, "to"} & set(self.errors)):
            self.add_error(None, missing[do])
        return data


class SavedViewForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Name"), max_length=60, error_messages={"required": gettext_lazy("Give the view a name.")}
    )
    shared = forms.BooleanField(label=gettext_lazy("Shared"), required=False)
    query = forms.CharField(label=gettext_lazy("Query"), max_length=2000, required=False, strip=False)


class PromptForm(forms.Form):
    """What a prompt has beside its messages. An edited one keeps its split and its id."""

    category = forms.CharField(label=gettext_lazy("Category"), max_length=100, required=False)
    split = forms.ChoiceField(
        label=gettext_lazy("Split"),
        choices=[("", gettext_lazy("By hash, as for imported prompts")), *Split.choices],
        required=False,
        help_text=gettext_lazy("Held-out prompts (eval) are never trained on. By hash, about 20% are held out."),
    )
    external_id = forms.CharField(
        max_length=200,
        required=False,
        label=gettext_lazy("ID"),
        help_text=gettext_lazy("Your own identifier, unique in the project."),
    )
    close_tasks = forms.BooleanField(
        required=False, initial=True, label=gettext_lazy("Take open tasks of the old version out of the queue")
    )

    def __init__(self, data: Any = None, *, prompt: Prompt | None = None) -> None:
        super().__init__(data, initial={"category": prompt.category} if prompt else None)
        for name in ("split", "external_id") if prompt else ("close_tasks",):
            del self.fields[name]


class MessageForm(forms.Form):
    role = forms.ChoiceField(label=gettext_lazy("Role"), choices=ROLES, initial="user")
    content = forms.CharField(
        required=False, strip=False, widget=forms.Textarea(attrs={"rows": 4, "dir": "auto"}), label=gettext_lazy("Text")
    )


MessageFormSet = formset_factory(MessageForm, extra=0, max_num=MOST_MESSAGES, absolute_max=MOST_MESSAGES)


def messages_of(formset: BaseFormSet[Any]) -> list[dict[str, str]]:
    """Return the messages of a valid formset; those without a text are left out."""
    return [
        {"role": row["role"], "content": row["content"]}
        for row in formset.cleaned_data
        if row.get("content", "").strip()
    ]
