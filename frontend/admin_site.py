"""Django's administration with every change in the audit log, whichever app registers the page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse

from annotation import audit
from annotation.errors import NotPossible
from annotation.models import AuditAction, Project

NOT_USED = ("EmailAddress", "EmailConfirmation", "SocialApp", "SocialToken")  # of django-allauth


class RecordedSite(admin.AdminSite):
    """Mixes `Recorded` into each class that is registered: Django's, those of other packages and our own."""

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        if getattr(model_or_iterable, "__name__", "") in NOT_USED:
            return
        own = admin_class or admin.ModelAdmin
        recorded = own if issubclass(own, Recorded) else type(f"Recorded{own.__name__}", (Recorded, own), {})
        super().register(model_or_iterable, recorded, **options)

    def login(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Show Django's own form, or lead to the sign-in page where nobody has a password."""
        if settings.PASSWORD_SIGN_IN or request.user.is_authenticated:
            return super().login(request, extra_context)
        return redirect_to_login(request.GET.get("next") or reverse("admin:index"))

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> Any:  # noqa: ARG002
        """Lead to the page of the account, which limits wrong passwords: Django's own form here does not."""
        return redirect("password_change")


class Recorded(admin.ModelAdmin):  # type: ignore[type-arg]
    """Records what is added, changed and deleted: the row, and the names of its fields that changed.

    Of values only switches and choices of rows are kept: an entry outlives a person's name and address.
    """

    def changeform_view(self, request: HttpRequest, *arguments: Any, **values: Any) -> Any:
        """Answer as Django does; an action that refuses says why on the same page."""
        try:
            return super().changeform_view(request, *arguments, **values)
        except NotPossible as refusal:
            return self._refused(request, refusal)

    def _refused(self, request: HttpRequest, refusal: NotPossible) -> HttpResponseBase:
        self.message_user(request, str(refusal), messages.ERROR)
        return HttpResponseRedirect(request.path)

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        said: list[dict[str, dict[str, Any]]] = super().construct_change_message(request, form, formsets, add)
        for each in said:
            for changed in each.values():
                changed["values"] = _switches(form)
        return said

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        _record(AuditAction.ADMIN_ADDED, request, obj)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        changed = [each["changed"] for each in message if "changed" in each] if isinstance(message, list) else []
        fields = [name for each in changed for name in each.get("fields", [])]
        values = changed[0].get("values", {}) if changed else {}
        _record(AuditAction.ADMIN_CHANGED, request, obj, fields=fields, values=values)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        for obj in queryset:
            _record(AuditAction.ADMIN_DELETED, request, obj)
        return super().log_deletions(request, queryset)


def _switches(form: Any) -> dict[str, list[Any]]:
    """Return switches that changed as {name: [before, now]}, and choices of rows by their ids."""
    found = {}
    for name in form.changed_data:
        before, now = form.initial.get(name), form.cleaned_data.get(name)
        if isinstance(now, bool):
            found[name] = [before, now]
        elif isinstance(now, QuerySet):
            found[name] = [_ids(before or []), _ids(now)]
    return found


def _ids(rows: Iterable[Any]) -> list[Any]:
    return sorted(row.pk if isinstance(row, Model) else row for row in rows)


def _record(action: AuditAction, request: HttpRequest, obj: Model, **detail: Any) -> None:
    project = obj if isinstance(obj, Project) else getattr(obj, "project", None)
    audit.record(
        action,
        by=request.user,
        subject=obj if isinstance(obj, User) else None,
        project=project if isinstance(project, Project) else None,
        what=f"{obj._meta.label} {obj.pk}",
        **detail,
    )
