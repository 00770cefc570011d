"""Accounts without passwords, where PREFLOOP_PASSWORDS=off: what people may do stays as it is."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend


class WithoutPasswords(ModelBackend):
    def authenticate(self, *_: Any, **__: Any) -> None:
        """Return nobody: a password signs nobody in."""
