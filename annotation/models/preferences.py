"""What a person has chosen for their account, in all projects."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.utils.translation import gettext_lazy


class Theme(models.TextChoices):
    SYSTEM = "", gettext_lazy("As the system")
    LIGHT = "light", gettext_lazy("Light")
    DARK = "dark", gettext_lazy("Dark")


class Preferences(models.Model):
    """The choices of one account; an account without a row uses what its browser asks for."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="preferences")
    language = models.CharField(
        max_length=12, blank=True, help_text="Language of pages and mails, such as zh-hans; empty: the browser's."
    )

    time_zone = models.CharField(
        max_length=64, blank=True, help_text="In which pages show times, such as Europe/Berlin; empty: the browser's."
    )
    theme = models.CharField(max_length=5, choices=Theme, blank=True, default=Theme.SYSTEM)

    muted = models.JSONField(
        default=list, blank=True, help_text="Kinds of notifications that this person does not want."
    )
    mailed = models.JSONField(
        default=list, blank=True, help_text="Kinds of notifications that this person gets by mail, too."
    )

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(theme__in=Theme.values), name="theme_is_known")]

    def __str__(self) -> str:
        return f"preferences of {self.user}"


def language_of(user: User) -> str:
    """Return the language that an account has chosen; empty: none."""
    return Preferences.objects.filter(user_id=user.pk).values_list("language", flat=True).first() or ""
