"""What a person chooses for their own account."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone, translation
from django.utils.translation import gettext, gettext_lazy

from annotation.delivery.mail import mail_is_on
from annotation.http import UserRequest
from annotation.models import NotificationKind, Preferences, Theme
from frontend.accounts import preferences

# Admins choose mail about rounds for each project.
BY_MAIL = [(kind, label) for kind, label in NotificationKind.choices if kind != NotificationKind.ROUND]


class ProfileForm(forms.Form):
    language = forms.ChoiceField(
        label=gettext_lazy("Language"), required=False, help_text=gettext_lazy("Of all pages and mails.")
    )
    time_zone = forms.ChoiceField(
        label=gettext_lazy("Time zone"),
        required=False,
        help_text=gettext_lazy("In which pages show times."),
        widget=forms.Select(attrs={"class": "as-written"}),  # names of places, the same in all languages
    )
    theme = forms.ChoiceField(
        label=gettext_lazy("Theme"), required=False, choices=Theme.choices, widget=forms.RadioSelect
    )

    wanted = forms.MultipleChoiceField(
        label=gettext_lazy("Notifications"),
        required=False,
        choices=NotificationKind.choices,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("What the bell tells you."),
    )
    mailed = forms.MultipleChoiceField(
        label=gettext_lazy("By mail"),
        required=False,
        choices=BY_MAIL,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy(
            "Sent to the address of your account. Mail about rounds is set on the Members page of a project."
        ),
    )

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        as_browser = ("", gettext("As in the browser"))
        for name, choices in (("language", settings.LANGUAGES), ("time_zone", _time_zones(timezone.now()))):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = [as_browser, *choices]
        if not mail_is_on():
            del self.fields["mailed"]


def _time_zones(now: datetime) -> list[tuple[str, str]]:
    """Return the time zones that are named after places, and UTC, each with its difference to UTC at present."""
    names = [name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "SystemV/"))]
    shown = ((name, f"{now.astimezone(ZoneInfo(name)):%z}") for name in sorted(names))
    return [("UTC", "UTC"), *((name, f"{name} (UTC{ahead[:3]}:{ahead[3:]})") for name, ahead in shown)]


@login_required
def profile(request: UserRequest) -> HttpResponse:
    """Show and store the choices of the account that is signed in."""
    own = Preferences.objects.filter(user=request.user).first() or Preferences()
    chosen = {name: getattr(own, name) for name in preferences.IN_SESSION}
    chosen["mailed"] = own.mailed
    chosen["wanted"] = [kind for kind in NotificationKind.values if kind not in own.muted]
    form = ProfileForm(request.POST if request.method == "POST" else None, initial=chosen)
    if request.method == "POST" and form.is_valid():
        said = dict(form.cleaned_data)
        wanted = said.pop("wanted")
        muted = [kind for kind in NotificationKind.values if kind not in wanted]
        preferences.choose(request, request.user, muted=muted, **said)
        language = form.cleaned_data["language"]
        with translation.override(language or translation.get_language_from_request(request)):
            messages.success(request, gettext("Saved."))
        return redirect("profile")
    return render(request, "accounts/profile.html", {"form": form}, status=422 if form.errors else 200)
