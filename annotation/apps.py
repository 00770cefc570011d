from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate


class AnnotationConfig(AppConfig):
    name = "annotation"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from annotation.actions import sign_ins

        sign_ins.connect()
        post_migrate.connect(self._ensure_search, sender=self)

    def _ensure_search(self, using: str, **kwargs: Any) -> None:  # noqa: ARG002 - Django calls it
        from annotation.models import words

        words.ensure(connections[using])
