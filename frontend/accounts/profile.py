"""What a person chooses for their own account."""

from __future__ import annotations

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.translation import gettext, gettext_lazy

from annotation.http import UserRequest
from annotation.models import language_of
from frontend import languages


class ProfileForm(forms.Form):
    language = forms.ChoiceField(
        label=gettext_lazy("Language"), required=False, help_text=gettext_lazy("Of all pages and mails.")
    )

    def __init__(self, *args: object, **values: object) -> None:
        super().__init__(*args, **values)  # type: ignore[arg-type]
        field = self.fields["language"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", gettext("As in the browser")), *settings.LANGUAGES]


@login_required
def profile(request: UserRequest) -> HttpResponse:
    """Show and store the choices of the account that is signed in."""
    form = ProfileForm(request.POST or None, initial={"language": language_of(request.user)})
    if request.method == "POST" and form.is_valid():
        chosen = form.cleaned_data["language"]
        languages.choose(request, request.user, chosen)
        with translation.override(chosen or translation.get_language_from_request(request)):
            messages.success(request, gettext("Saved."))
        return redirect("profile")
    return render(request, "accounts/profile.html", {"form": form}, status=422 if form.errors else 200)
