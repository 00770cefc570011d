"""What an operator sees under /admin/: who is in which project, keys, and what waits to be sent.

Accounts are made here. Judgments, tasks and texts are not changed here: a project's own pages do that, and keep what
was. Where a rule spans tables (the last admin of a project, the seats of new members), use the project's page, too.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.html import format_html

from annotation.actions.projects import only_admin_of
from annotation.models import Delivery, MailMessage, Membership, Project, Token, Webhook


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows rows and changes none."""

    def has_add_permission(self, *_: Any) -> bool:
        return False

    def has_change_permission(self, *_: Any) -> bool:
        return False

    def has_delete_permission(self, *_: Any) -> bool:
        return False


class AccountForm(UserChangeForm):  # type: ignore[type-arg]
    def clean_is_active(self) -> bool:
        """Refuse to close the account of the only admin of a project."""
        wanted: bool = self.cleaned_data["is_active"]
        if not wanted and (alone := only_admin_of(self.instance)):
            names = ", ".join(map(str, alone))
            raise ValidationError(f"This is the only admin of {names}. Make somebody else an admin there first.")
        return wanted


admin.site.unregister(User)


@admin.register(User)
class AccountAdmin(UserAdmin):  # type: ignore[type-arg]
    """Accounts are closed or erased, not deleted: what people did must keep its author."""

    form = AccountForm
    readonly_fields = ("data_and_erasure",)
    fieldsets = (*(UserAdmin.fieldsets or ()), ("Data", {"fields": ("data_and_erasure",)}))

    @admin.display(description="Everything stored about them")
    def data_and_erasure(self, user: User) -> str:
        return format_html('<a href="{}">See, take as a file, or erase</a>', reverse("person", args=[user.pk]))

    def has_delete_permission(self, *_: Any) -> bool:
        return False


@admin.register(Project)
class ProjectAdmin(ReadOnlyAdmin):
    list_display = ("name", "slug", "base_model", "created_at", "closed_at")
    search_fields = ("name", "slug")


@admin.register(Membership)
class MembershipAdmin(ReadOnlyAdmin):
    list_display = ("user", "project", "role")
    list_filter = ("role", "project")
    list_select_related = ("user", "project")
    search_fields = ("user__username", "project__name")


@admin.register(Token)
class TokenAdmin(ReadOnlyAdmin):
    """API tokens: they can be revoked by deleting them, but neither read nor created here."""

    list_display = ("name", "user", "scopes", "created_at", "expires_at")
    list_select_related = ("user",)
    search_fields = ("name", "user__username")
    exclude = ("digest",)

    def has_delete_permission(self, *arguments: Any) -> bool:
        return admin.ModelAdmin.has_delete_permission(self, *arguments)


@admin.register(Webhook)
class WebhookAdmin(ReadOnlyAdmin):
    list_display = ("url", "project", "events", "created_at")
    list_select_related = ("project",)
    exclude = ("secret",)
    readonly_fields = ("url",)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ("message_id", "event", "webhook", "status", "attempts", "next_attempt_at", "last_status")
    list_filter = ("status", "event")
    list_select_related = ("webhook",)


@admin.register(MailMessage)
class MailMessageAdmin(ReadOnlyAdmin):
    list_display = ("subject", "user", "status", "attempts", "next_attempt_at", "last_answer")
    list_filter = ("status",)
    list_select_related = ("user",)
