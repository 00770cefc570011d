"""What an operator sees under /admin/: who is in which project, keys, and what waits to be sent.

Accounts are made here. Judgments, tasks and texts are not changed here: a project's own pages do that, and keep what
was. Where a rule spans tables (the last admin of a project, the seats of new members), its action is called here, too.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import User
from django.forms import ModelForm
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from annotation.actions.projects import refuse_to_lose_an_admin, set_member
from annotation.errors import NotPossible
from annotation.models import Delivery, MailMessage, Membership, Project, Role, Token, Webhook


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows rows and changes none."""

    def has_add_permission(self, *_: Any) -> bool:
        return False

    def has_change_permission(self, *_: Any) -> bool:
        return False

    def has_delete_permission(self, *_: Any) -> bool:
        return False


class AccountForm(UserChangeForm):  # type: ignore[type-arg]
    def clean(self) -> dict[str, Any]:
        """Refuse to close the account of the only admin of a project, and to lose the only superuser."""
        said = super().clean() or self.cleaned_data
        closes = not said.get("is_active", self.instance.is_active)
        demotes = not said.get("is_superuser", self.instance.is_superuser)
        try:
            refuse_to_lose_an_admin(self.instance, account=closes, superuser=demotes)
        except NotPossible as refusal:
            self.add_error("is_active" if closes else "is_superuser", str(refusal))
        return said


class MembershipAdminForm(ModelForm):  # type: ignore[type-arg]
    """A person, a project and a role; somebody who is a member already gets the role."""

    class Meta:
        model = Membership
        fields = ("user", "project", "role")

    def clean(self) -> dict[str, Any]:
        said = super().clean() or self.cleaned_data
        own = Membership.objects.filter(user=said.get("user"), project=said.get("project")).first()
        self.instance = own or self.instance
        return said


admin.site.unregister(User)


@admin.register(User)
class AccountAdmin(UserAdmin):  # type: ignore[type-arg]
    """Accounts are closed or erased, not deleted: what people did must keep its author."""

    form = AccountForm
    readonly_fields = ("data_and_erasure",)
    fieldsets = (*(UserAdmin.fieldsets or ()), ("Data", {"fields": ("data_and_erasure",)}))

    @admin.display(description="Stored data")
    def data_and_erasure(self, user: User) -> str:
        return format_html('<a href="{}">View, download or erase</a>', reverse("person", args=[user.pk]))

    def has_delete_permission(self, *_: Any) -> bool:
        return False


@admin.register(Project)
class ProjectAdmin(ReadOnlyAdmin):
    list_display = ("name", "slug", "base_model", "created_at", "closed_at")
    search_fields = ("name", "slug")


@admin.register(Membership)
class MembershipAdmin(ReadOnlyAdmin):
    """Who is in a project. A superuser can add members: where a project has lost its people, this gives it an admin."""

    form = MembershipAdminForm
    raw_id_fields = ("user", "project")
    list_display = ("user", "project", "role")
    list_filter = ("role", "project")
    list_select_related = ("user", "project")
    search_fields = ("user__username", "project__name")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def save_model(self, request: Any, obj: Membership, *_: Any) -> None:
        member = set_member(project=obj.project, user=obj.user, role=Role(obj.role), by=request.user)
        obj.pk = member.pk


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
